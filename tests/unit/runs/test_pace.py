# SPDX-License-Identifier: Apache-2.0
"""When the next look is due: an interval later, or when the youngest run can have ended at the earliest."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from airflow_provider_runflow.runs.pace import ENOUGH, REMEMBERED, STRETCH, Durations, next_look
from tests.unit.runs.engine_world import NOON


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("age", "quickest", "expected"),
    [
        (0, 0, 5),
        (None, 60, 5),
        (0, 3, 5),
        (0, 12, 12),
        (8, 20, 12),
        (0, 60, 5 * STRETCH),
        (55, 60, 5),
        (100, 60, 5),
    ],
    ids=[
        "nothing is known of others",
        "nothing is known of its age",
        "an interval at least",
        "when it can have ended",
        "counted from its creation",
        "but not for ever",
        "it is about to end",
        "it is overdue",
    ],
)
def test_the_next_look(age: float | None, quickest: float, expected: float) -> None:
    youngest = None if age is None else after(-age)
    assert next_look(NOON, 5.0, youngest, quickest) == after(expected)


class TestDurations:
    def test_of_few_runs_nothing_is_concluded(self) -> None:
        durations = Durations()
        for _ in range(ENOUGH - 1):
            durations.add(30, NOON)
        assert (durations.quickest, durations.slowest) == (0.0, None)

    def test_the_quickest_of_all_counts_and_not_the_latest(self) -> None:
        durations = Durations()
        durations.add(10, NOON)
        for number in range(ENOUGH):
            durations.add(30 + number, after(5))
        assert (durations.quickest, durations.slowest) == (10, 30 + ENOUGH - 1)

    def test_what_was_long_ago_is_forgotten(self) -> None:
        durations = Durations()
        durations.add(1, NOON)
        for number in range(REMEMBERED):
            durations.add(30, after(5 + number))
        assert durations.quickest == 30
