# SPDX-License-Identifier: Apache-2.0
"""One wait of many: what it wants to know, and when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_runflow.client.wire import Row
from airflow_provider_runflow.exceptions import AuthenticationError, InvalidRequestError, NotFoundError
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.pace import ENOUGH, Durations
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR, GiveUp, Late, Over, Sleep
from airflow_provider_runflow.runs.waiter import LAG_FOR, Waiter
from tests.unit.runs.engine_world import NOON
from tests.unit.runs.watch_world import Lines

UNKNOWN = NotFoundError("Run not found.", status=404)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def waiter(*run_ids: str, said: Lines | None = None, told: Lines | None = None, **group: Any) -> Waiter:
    made = Waiter(
        Group(run_ids=run_ids, **group),
        deadline=at(600),
        interval=5.0,
        jitter=lambda low, high: high,
        warn=said if said is not None else Lines(),
        tell=told if told is not None else Lines(),
    )
    made.on_start(NOON)
    return made


def row(run_id: str, status: str = "running", born: float = 0) -> Row:
    return Row(run_id, status, at(born))


class TestWhatItWantsToKnow:
    def test_are_the_runs_that_were_not_read_just_now(self) -> None:
        one = waiter("a", "b")
        assert one.unread(NOON) == {"a", "b"}
        one.on_row(row("a"), NOON)
        assert one.unread(at(1)) == {"b"}
        assert one.unread(at(5)) == {"a", "b"}

    def test_are_not_the_runs_that_have_ended(self) -> None:
        one = waiter("a", "b")
        one.on_row(row("a", "failed"), NOON)
        assert one.unread(at(100)) == {"b"}

    def test_at_the_deadline_are_all_that_go_on(self) -> None:
        one = waiter("a", "b")
        one.on_row(row("a"), at(599))
        assert one.unread(at(600)) == {"a", "b"}

    def test_without_ids_is_the_list_until_enough_are_listed_and_when_none_goes_on(self) -> None:
        one = waiter(client_ref="campaign", count=2)
        assert one.needs_list
        one.on_row(row("a"), NOON)
        assert one.needs_list
        one.on_row(row("b"), NOON)
        assert not one.needs_list
        assert one.unread(at(5)) == {"a", "b"}
        for run_id in "ab":
            one.on_row(row(run_id, "succeeded"), at(5))
        assert one.needs_list


class TestTheEnd:
    def test_comes_with_the_last_run(self) -> None:
        one = waiter("a")
        assert one.judge(NOON) is None
        one.on_row(row("a", "succeeded"), NOON)
        assert one.judge(NOON) == Over()

    def test_comes_without_ids_only_after_the_whole_list_was_read(self) -> None:
        one = waiter(client_ref="campaign", count=1)
        one.on_row(row("a", "succeeded"), NOON)
        assert one.judge(NOON) is None
        one.on_whole_list()
        assert one.judge(NOON) == Over()

    def test_comes_with_the_deadline(self) -> None:
        assert waiter("a").judge(at(599)) is None
        assert waiter("a").judge(at(600)) == Late()

    def test_comes_when_the_last_that_is_left_is_denied_for_long(self) -> None:
        one = waiter("a", "b")
        one.on_unknown_run("b", UNKNOWN, NOON)
        later = NOON + NOT_FOUND_FOR
        assert one.judge(later) is None
        one.on_row(row("a", "succeeded"), later)
        assert one.judge(later) == GiveUp(UNKNOWN, "b")

    def test_does_not_come_for_a_run_that_appears_after_all(self) -> None:
        one = waiter("a")
        one.on_unknown_run("a", UNKNOWN, NOON)
        one.on_row(row("a"), at(30))
        assert one.judge(at(120)) is None

    def test_comes_when_the_list_that_it_depends_on_stays_refused(self) -> None:
        one = waiter(client_ref="campaign", count=1)
        one.on_no_list(UNKNOWN, NOON)
        assert one.judge(at(1)) is None
        assert one.judge(NOON + NOT_FOUND_FOR) == GiveUp(UNKNOWN)

    def test_comes_with_credentials_that_stay_refused_after_the_connection_was_read_again(self) -> None:
        refused = AuthenticationError("no", status=401)
        one = waiter("a")
        assert one.on_refusal(refused, NOON) == Sleep(5.0, reconnect=True)
        assert one.on_refusal(refused, at(5)) == GiveUp(refused)

    def test_does_not_come_with_a_second_refusal_long_after_the_first(self) -> None:
        refused = AuthenticationError("no", status=401)
        one = waiter("a")
        one.on_refusal(refused, NOON)
        one.on_round(at(5), Durations())
        assert isinstance(one.on_refusal(refused, at(300)), Sleep)


class TestTheNextLook:
    def test_is_an_interval_later(self) -> None:
        one = waiter("a")
        one.on_row(row("a"), NOON)
        one.on_round(NOON, Durations())
        assert one.due == at(5)

    def test_is_later_while_the_youngest_run_cannot_have_ended(self) -> None:
        durations = Durations()
        for _ in range(ENOUGH):
            durations.add(30, NOON)
        one = waiter("a", "b")
        one.on_row(row("a", born=-60), NOON)
        one.on_row(row("b", born=-18), NOON)
        one.on_round(NOON, durations)
        assert one.due == at(12)

    def test_is_an_interval_later_where_a_runs_age_is_not_known(self) -> None:
        durations = Durations()
        for _ in range(ENOUGH):
            durations.add(30, NOON)
        one = waiter("a")
        one.on_row(Row("a", "running"), NOON)
        one.on_round(NOON, durations)
        assert one.due == at(5)


def test_a_run_that_has_ended_tells_how_long_it_took_at_least() -> None:
    one = waiter("a", "b")
    one.on_row(row("a", born=-3), NOON)
    assert one.on_row(row("a", "succeeded", born=-3), at(5)) == 3
    assert one.on_row(row("b", "succeeded", born=-3), at(5)) is None, "seen for the first time, it tells nothing"


def test_a_run_that_a_list_leaves_out_is_asked_for_by_its_id_after_a_while() -> None:
    one = waiter("a")
    assert one.on_unlisted("a", NOON)
    assert not one.on_unlisted("a", NOON + LAG_FOR)


def test_trouble_is_told_with_what_becomes_of_the_money() -> None:
    said = Lines()
    waiter("a", said=said).on_trouble(UNKNOWN, NOON, wait=20)
    waiter("a", "b", said=said).on_trouble(UNKNOWN, NOON, wait=20)
    assert said.lines == [
        f"Runflow run a cannot be read: {UNKNOWN}. The wait goes on until 12:10 UTC, next look in 20 s; the run itself "
        "goes on, and is billed if it succeeds.",
        f"The group of 2 Runflow runs from a on cannot be read: {UNKNOWN}. The wait goes on until 12:10 UTC, next look "
        "in 20 s; the runs themselves go on, and those that succeed are billed.",
    ]


@pytest.mark.parametrize(("run_ids", "facts"), [([".."], {}), ([""], {}), ([], {"client_ref": "it's"})])
def test_what_cannot_be_sent_is_refused_at_once(run_ids: list[str], facts: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        waiter(*run_ids, **facts)


class TestWhoLooksAtTheLog:
    def test_sees_how_a_group_stands_and_when_it_will_be_over(self) -> None:
        told = Lines()
        group = waiter("a", "b", "c", "d", told=told)
        for second, run_id, status in ((10, "a", "succeeded"), (20, "b", "failed")):
            group.on_row(row(run_id, status), at(second))
            group.on_round(at(second), Durations())
        assert told.lines == [
            "1 of 4 runs have ended (1 succeeded). At this pace all have ended by 12:00:40 UTC.",
            "2 of 4 runs have ended (1 succeeded, 1 failed). At this pace all have ended by 12:00:40 UTC.",
        ]

    def test_is_told_no_date_while_hardly_anything_has_ended(self) -> None:
        told = Lines()
        group = waiter(told=told, client_ref="af.x", count=11)
        group.on_row(row("a", "succeeded"), at(10))
        group.on_row(row("b"), at(10))
        group.on_round(at(10), Durations())
        assert told.lines == ["1 of 11 runs have ended (1 succeeded, 1 running)."]

    def test_is_told_nothing_that_has_not_changed_and_nothing_twice_in_a_few_seconds(self) -> None:
        told = Lines()
        group = waiter("a", "b", "c", told=told)
        group.on_row(row("a", "succeeded"), at(10))
        for second in (10, 20, 30):
            group.on_round(at(second), Durations())
        group.on_row(row("b", "succeeded"), at(31))
        group.on_round(at(31), Durations())
        group.on_row(row("c", "succeeded"), at(34))
        group.on_round(at(34), Durations())
        assert len(told.lines) == 2

    def test_is_told_nothing_of_a_single_run(self) -> None:
        told = Lines()
        single = waiter("a", told=told)
        single.on_row(row("a", "succeeded"), at(10))
        single.on_round(at(10), Durations())
        assert told.lines == []
