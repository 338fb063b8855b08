# SPDX-License-Identifier: Apache-2.0
"""What counts as proof: a kill between intent and run id, one bill each, the bytes that were drawn."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from scripts.kill_door import Visit
from scripts.kill_killer import AimBook, Kill
from scripts.kill_plan import Aim, Outage, Phase, Plan, Victim
from scripts.kill_report import Outcome, facts, landed_as_drawn, table, too_few
from scripts.kill_watch import Entry

INTENT = Entry("ti", "deferred", 3, "running", 1, "intent", None)
AIM = Aim(Phase.SENT, Victim.TASK)


def visit(**moments: Any) -> Visit:
    return Visit("p15", "create", "key", arrived=99.0, aim=AIM, **moments)


def kill(**changes: Any) -> Kill:
    """A task process that died with its POST in flight."""
    usual = Kill(
        at=20.0,
        moment=datetime(2026, 11, 24, tzinfo=timezone.utc),
        victim=Victim.TASK.value,
        pids=(101,),
        clock=100.0,
        item="p15",
        entry=INTENT,
        phase=Phase.SENT,
        visit=visit(dropped=100.1, taken=112.0),
    )
    return replace(usual, **changes)


def test_a_sender_that_hung_up_when_it_was_killed_died_between_intent_and_run_id() -> None:
    assert kill().between


def test_a_sender_that_was_left_alive_does_not_hang_up() -> None:
    assert kill(victim=Victim.SUPERVISOR.value, visit=visit(taken=112.0)).between


@pytest.mark.parametrize(
    "changes",
    [
        {"entry": replace(INTENT, journal="submitted", run_id="run-1")},
        {"entry": replace(INTENT, journal=None)},
        {"visit": visit(dropped=100.1)},
        {"visit": visit(taken=112.0)},
        {"visit": visit(dropped=99.9, taken=112.0)},
        {"visit": visit(dropped=109.0, taken=112.0)},
        {"visit": None},
        {"phase": Phase.LANDING},
        {"victim": Victim.API_SERVER.value},
    ],
    ids=[
        "the run id was on record",
        "no intent was on record",
        "the POST never took effect",
        "somebody else's request was in flight",
        "the sender had given up before",
        "the sender gave up long after",
        "no request was seen",
        "it was doing something else",
        "no task process died",
    ],
)
def test_a_kill_without_the_evidence_does_not_count(changes: dict[str, Any]) -> None:
    assert not kill(**changes).between


@pytest.mark.parametrize(
    ("successor_at", "lived_on", "two"),
    [(None, 5.0, False), (110.0, 20.0, True), (110.0, None, True), (125.0, 20.0, False)],
)
def test_two_were_at_work_when_the_next_try_came_before_the_first_had_ended(
    successor_at: float | None, lived_on: float | None, two: bool
) -> None:
    left = kill(victim=Victim.SUPERVISOR.value, successor_at=successor_at, lived_on=lived_on)
    assert left.made_two is two
    assert not kill(successor_at=successor_at).made_two


KILLS = [kill() for _ in range(20)]


def outcome(**changes: Any) -> Outcome:
    usual = Outcome(["p00", "p01"], {"p00": ["run-1"], "p01": ["run-2"]}, {"p00": "run-1", "p01": "run-2"})
    return replace(usual, **changes)


def test_one_bill_each_and_all_landed_is_well() -> None:
    assert outcome().verdict() + too_few(KILLS) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bills": {"p00": ["run-1", "run-3"], "p01": ["run-2"]}}, "p00: paid 2 times"),
        ({"bills": {"p00": ["run-1"], "p01": []}}, "p01: never paid"),
        ({"bills": {"p00": ["run-1"], "p01": ["run-2"], "?": ["run-9"]}}, "a bill for none of the pictures"),
        ({"landed": {"p00": "run-1"}}, "run run-2: paid, and its picture is not in the bucket"),
        ({"unfinished": ["p01 deferred"]}, "unfinished: p01 deferred"),
        ({"problems": ["the key stands in a log"]}, "the key stands in a log"),
    ],
)
def test_every_other_end_is_named(changes: dict[str, Any], says: str) -> None:
    assert any(says in problem for problem in outcome(**changes).verdict())


def test_a_run_that_killed_too_little_proves_nothing() -> None:
    assert len(too_few(KILLS[:19])) == 1
    assert len(too_few([kill(phase=Phase.LANDING)] * 20)) == 1


def test_the_facts_count_money_pictures_and_kills() -> None:
    paid_twice = outcome(bills={"p00": ["run-1", "run-3"], "p01": ["run-2"]})
    found = facts(paid_twice, [kill(), kill(victim="triggerer, its first process", item="", phase=None)], seed=7)
    assert (found["billed"], found["double_paid"], found["landed"], found["lost"]) == (3, 1, 2, 1)
    assert found["kills"] == {"total": 2, "task": 1, "triggerer": 1}
    assert (found["kills_between_intent_and_run_id"], found["seed"]) == (1, 7)


def test_the_table_is_in_the_order_of_time_and_shows_what_was_seen() -> None:
    head, first, second = table([kill(at=30.0, item="p16"), kill()])
    assert "killed -9" in head
    assert "p15" in first
    assert "journal: intent, no run id" in first
    assert "sender hung up after 0.10 s" in first
    assert "p16" in second


@pytest.mark.parametrize(
    ("stored", "drawn", "well"),
    [
        (b"picture", b"picture", True),
        (b"other", b"picture", False),
        (b"picture", b"other", False),
        (None, b"picture", False),
    ],
)
def test_a_picture_has_landed_when_task_bucket_and_emulator_agree(
    stored: bytes | None, drawn: bytes, well: bool
) -> None:
    images = [{"uri": "s3://bucket/key.png", "sha256": hashlib.sha256(b"picture").hexdigest()}]
    assert landed_as_drawn(images, [drawn], {"s3://bucket/key.png": stored}.get) is well


def test_the_aims_at_a_picture_come_one_after_the_other() -> None:
    first, second = Aim(Phase.SENT, Victim.TASK), Aim(Phase.LANDING, Victim.BOTH)
    book = AimBook(Plan({"p00": (first, second)}, (Outage("triggerer", 1, True),)))
    assert book.current("p00") is first
    assert book.current("p01") is None
    book.done("p00")
    assert book.current("p00") is second
    assert book.left == ["p00: supervisor and task, downloading"]
    book.done("p00")
    assert book.current("p00") is None
