# SPDX-License-Identifier: Apache-2.0
"""runs/tally.py: how many items must succeed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.runs.tally import needed, told


@pytest.mark.parametrize(
    ("enough", "items", "count"),
    [
        (None, 7, 7),
        (0, 7, 0),
        (7, 7, 7),
        ("3", 7, 3),
        (" 3 ", 7, 3),
        ("95%", 100, 95),
        ("95%", 101, 96),
        ("7%", 100, 7),
        ("99.9 %", 10_000, 9990),
        ("100%", 3, 3),
        ("0%", 3, 0),
        ("1%", 3, 1),
        (5, 0, 5),
    ],
)
def test_a_number_a_share_rounded_up_or_all(enough: Any, items: int, count: int) -> None:
    assert needed(enough, items) == count


@pytest.mark.parametrize("wrong", [True, -1, 1.5, "101%", "-1%", "%", "all", "1e2%", [], 8])
def test_everything_else_is_an_error(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="must be a number of items, or a share of them"):
        needed(wrong, 7)


def test_outcomes_are_counted_the_most_frequent_first() -> None:
    assert told(["failed", "blocked", "blocked"]) == "2 blocked, 1 failed"
