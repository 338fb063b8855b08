# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_runflow.emulator import SystemClock, VirtualClock

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


class TestVirtualClock:
    def test_it_stands_still_until_it_is_moved(self) -> None:
        clock = VirtualClock(START)
        assert clock.now() == clock.now() == START
        clock.advance(90)
        assert clock.now() == START + timedelta(seconds=90)

    def test_sleeping_moves_it_and_returns_at_once(self) -> None:
        clock = VirtualClock(START)
        clock.sleep(3600)
        asyncio.run(clock.asleep(60))
        assert clock.now() == START + timedelta(seconds=3660)

    def test_it_does_not_go_back_and_has_a_zone(self) -> None:
        with pytest.raises(ValueError, match="does not go back"):
            VirtualClock(START).advance(-1)
        with pytest.raises(ValueError, match="time zone"):
            VirtualClock(datetime(2026, 1, 1))


class TestSystemClock:
    def test_it_tells_the_real_time_in_utc(self) -> None:
        before = datetime.now(timezone.utc)
        assert before <= SystemClock().now() <= datetime.now(timezone.utc)

    def test_no_time_passes_when_none_is_asked_for(self) -> None:
        SystemClock().sleep(0)
        asyncio.run(SystemClock().asleep(0))
