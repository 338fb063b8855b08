# SPDX-License-Identifier: Apache-2.0
"""The machine's own time, as everything takes it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client.clock import SystemClock


def test_now_is_utc_and_names_its_zone() -> None:
    now = SystemClock().now()
    assert now.tzinfo is timezone.utc
    assert abs(now - datetime.now(timezone.utc)) < timedelta(minutes=1)


async def test_both_ways_of_waiting_return() -> None:
    SystemClock().sleep(0)
    await SystemClock().asleep(0)
