# SPDX-License-Identifier: Apache-2.0
"""Whom a kill may hit: a task's own process and its supervisor, and never a worker without work."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.kill_plan import Phase
from scripts.kill_watch import Database, Seen, TaskProcess, phase_of, task_processes
from scripts.waiting import wait_for

FIRST = "01a20ae8-6cf7-7006-ba98-efba5ae95fc2"
SECOND = "01a20ae8-ace7-7019-be0a-fbb0e8f11b0b"
SCHEDULER = Seen(10, 1, 1.0, "python -m airflow scheduler -s")
IDLE = Seen(11, 10, 1.0, "airflow worker -- LocalExecutor: <idle>")
BUSY = Seen(12, 10, 1.0, f"airflow worker -- LocalExecutor: {FIRST}")
TASK = Seen(13, 12, 2.0, f"airflow worker -- {FIRST}")


def test_a_task_is_found_with_its_supervisor() -> None:
    assert task_processes([SCHEDULER, IDLE, BUSY, TASK]) == [TaskProcess(FIRST, TASK, BUSY)]


def test_idle_workers_and_the_scheduler_are_never_among_them() -> None:
    assert task_processes([SCHEDULER, IDLE]) == []


def test_a_worker_whose_task_has_not_begun_or_has_ended_is_left_alone() -> None:
    beginning = Seen(13, 12, 2.0, BUSY.title)  # forked, and not yet named
    assert task_processes([SCHEDULER, BUSY, beginning]) == []


def test_a_task_without_supervisor_is_found_as_such() -> None:
    orphan = Seen(13, 1, 2.0, TASK.title)
    assert task_processes([SCHEDULER, IDLE, orphan]) == [TaskProcess(FIRST, orphan, None)]


def test_a_parent_that_works_on_something_else_is_not_its_supervisor() -> None:
    other = Seen(12, 10, 1.0, f"airflow worker -- LocalExecutor: {SECOND}")
    assert task_processes([SCHEDULER, other, TASK]) == [TaskProcess(FIRST, TASK, None)]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_with_a_reused_id_is_not_taken_for_the_one_that_was_seen(sleeper: subprocess.Popen[bytes]) -> None:
    started = psutil.Process(sleeper.pid).create_time()
    assert Seen(sleeper.pid, os.getpid(), started, "").alive
    assert not Seen(sleeper.pid, os.getpid(), started - 100, "").alive


def test_both_stand_still_while_one_looks_and_go_on_after(sleeper: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(sleeper.pid)
    seen = Seen(sleeper.pid, os.getpid(), process.create_time(), "")
    with TaskProcess(FIRST, seen, None).frozen():
        assert process.status() == psutil.STATUS_STOPPED
    wait_for(lambda: process.status() != psutil.STATUS_STOPPED, seconds=5, what="it goes on", every=0.001)


@pytest.mark.parametrize(
    ("journal", "in_flight", "phase"),
    [
        (None, [], Phase.STARTING),
        ("intent", [], Phase.INTENT),
        ("intent", [Phase.SENT], Phase.SENT),
        ("intent", [Phase.TAKEN], Phase.TAKEN),
        ("submitted", [], Phase.WAITING),
        ("submitted", [Phase.LANDING], Phase.LANDING),
        ("landed", [], Phase.LANDED),
    ],
)
def test_journal_and_requests_in_flight_tell_how_far_a_task_is(
    journal: str | None, in_flight: list[Phase], phase: Phase
) -> None:
    assert phase_of(journal, in_flight) is phase


@pytest.mark.parametrize("encode", [json.dumps, lambda record: json.dumps(json.dumps(record))], ids=["once", "twice"])
def test_the_database_tells_try_and_journal_of_each_task_instance(tmp_path: Path, encode: object) -> None:
    path = tmp_path / "airflow.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE task_instance (id, dag_id, run_id, task_id, map_index, state, try_number)")
        database.execute("CREATE TABLE task_state_store (dag_id, run_id, task_id, map_index, key, value)")
        database.execute(
            "INSERT INTO task_instance VALUES (?, 'd', 'r', 't', 0, 'running', 2)", [FIRST.replace("-", "")]
        )
        database.execute("INSERT INTO task_instance VALUES (?, 'd', 'r', 't', 1, NULL, 0)", [SECOND.replace("-", "")])
        value = encode({"state": "submitted", "run_id": "run-1"})  # type: ignore[operator]
        database.execute("INSERT INTO task_state_store VALUES ('d', 'r', 't', 0, 'runflow.run', ?)", [value])
        for index in (0, 1):
            intent = encode({"state": "intent", "run_id": None})  # type: ignore[operator]
            row = [index, intent]
            database.execute("INSERT INTO task_state_store VALUES ('d', 'r', 't', ?, 'runflow.intent', ?)", row)
    database.close()
    entries = Database(path).entries("d", "r")
    first, second = entries["t", 0], entries["t", 1]
    assert (first.ti_id, first.state, first.try_number, first.journal, first.run_id) == (
        FIRST, "running", 2, "submitted", "run-1",
    )  # fmt: skip
    assert (second.ti_id, second.state, second.journal) == (SECOND, "none", "intent")
