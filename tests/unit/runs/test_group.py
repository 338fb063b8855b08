# SPDX-License-Identifier: Apache-2.0
"""Groups: which rows are theirs, and when the last one has ended."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_runflow.runs.group import CLOCK_SKEW, Group

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=timezone.utc)


class TestExactlyTheseRuns:
    def test_it_is_over_when_the_last_of_them_has_ended(self) -> None:
        group = Group(run_ids=["a", "b"])
        assert group.pending == {"a", "b"}
        group.on_row("a", "succeeded", NOW)
        assert (group.over, group.pending) == (False, {"b"})
        group.on_row("b", "failed", NOW)
        assert (group.over, group.pending, group.delivered) == (True, set(), False)
        assert group.statuses == {"a": "succeeded", "b": "failed"}

    def test_other_runs_of_the_list_are_none_of_its_business(self) -> None:
        group = Group(run_ids=["a"], client_ref="campaign")
        group.on_row("a", "succeeded", NOW)
        group.on_row("another", "running", NOW)
        assert group.over
        assert group.statuses == {"a": "succeeded"}

    def test_neither_count_nor_age_matters_where_ids_are_known(self) -> None:
        group = Group(run_ids=["a", "a"], count=7, since=NOW)
        group.on_row("a", "succeeded", NOW - timedelta(days=3))
        assert group.over


class TestAllRunsOfAClientRef:
    def test_it_is_over_when_enough_are_listed_and_none_is_active(self) -> None:
        group = Group(client_ref="campaign", count=2, since=NOW)
        group.on_row("a", "succeeded", NOW)
        assert not group.over, "a list that lags shows fewer"
        group.on_row("b", "running", NOW)
        assert (group.over, group.pending) == (False, {"b"})
        group.on_row("b", "succeeded", NOW)
        assert (group.over, group.delivered) == (True, True)

    def test_more_runs_than_counted_are_waited_for_too(self) -> None:
        group = Group(client_ref="campaign", count=1, since=NOW)
        group.on_row("a", "failed", NOW)
        group.on_row("a-again", "queued", NOW)
        assert not group.over

    def test_with_nothing_listed_it_is_never_over(self) -> None:
        assert not Group(client_ref="campaign").over

    @pytest.mark.parametrize(
        ("created_at", "belongs"),
        [
            (NOW - CLOCK_SKEW, True),
            (NOW - CLOCK_SKEW - timedelta(seconds=1), False),
            (None, True),
        ],
    )
    def test_runs_of_an_earlier_go_are_left_out_but_clocks_may_differ(
        self, created_at: datetime | None, belongs: bool
    ) -> None:
        group = Group(client_ref="campaign", count=1, since=NOW)
        group.on_row("a", "succeeded", created_at)
        assert group.over is belongs

    def test_without_a_beginning_the_whole_list_belongs(self) -> None:
        group = Group(client_ref="campaign", count=1)
        group.on_row("a", "succeeded", NOW - timedelta(days=365))
        assert group.over


@pytest.mark.parametrize("facts", [{"run_ids": ["a"]}, {"client_ref": "campaign"}])
class TestEither:
    def test_a_run_that_has_ended_stays_ended_though_a_lagging_list_says_otherwise(self, facts: dict[str, str]) -> None:
        group = Group(**facts)  # type: ignore[arg-type]
        group.on_row("a", "succeeded", NOW)
        group.on_row("a", "running", NOW)
        assert group.over
        assert group.statuses == {"a": "succeeded"}

    def test_an_unknown_status_counts_as_not_ended(self, facts: dict[str, str]) -> None:
        group = Group(**facts)  # type: ignore[arg-type]
        group.on_row("a", "pondering", NOW)
        assert (group.over, group.pending, group.counts) == (False, {"a"}, {"pondering": 1})

    def test_both_spellings_of_cancelled_are_one(self, facts: dict[str, str]) -> None:
        group = Group(**facts)  # type: ignore[arg-type]
        group.on_row("a", "canceled", NOW)
        assert group.over
        assert group.counts == {"cancelled": 1}


def test_counts_tell_how_many_are_in_which_status() -> None:
    group = Group(client_ref="campaign", count=3)
    for run_id, status in [("a", "succeeded"), ("b", "running"), ("c", "succeeded")]:
        group.on_row(run_id, status, NOW)
    assert group.counts == {"running": 1, "succeeded": 2}


def test_what_it_hands_out_cannot_change_it() -> None:
    group = Group(run_ids=["a"])
    group.pending.clear()
    assert group.pending == {"a"}
    with pytest.raises(TypeError):
        group.statuses["a"] = "succeeded"  # type: ignore[index]
