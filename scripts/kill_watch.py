# SPDX-License-Identifier: Apache-2.0
"""What `make e2e-kill` sees: Airflow's task processes, and what its database has on record about each picture."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from scripts.kill_plan import Phase
from scripts.processes import session_members
from scripts.waiting import wait_for

TASK_TITLE = re.compile(r"airflow worker -- ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
WORKER_TITLE = re.compile(r"airflow worker -- LocalExecutor: (.+)")


@dataclass(frozen=True)
class Seen:
    """A process; with its start, its id cannot be mistaken for that of a later one."""

    pid: int
    parent: int
    started: float
    title: str

    def stands_still(self) -> bool:
        """Whether it does nothing any more: a signal to stop takes effect a little later."""
        try:
            return psutil.Process(self.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    @property
    def alive(self) -> bool:
        """Whether it is still there, and no zombie."""
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True)
class TaskProcess:
    """
    The process that runs a task's code, and the one that supervises it.

    :param supervisor: ``None`` when it is dead: the task goes on by itself.
    """

    ti_id: str
    task: Seen
    supervisor: Seen | None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """While one looks, neither gets any further; what is not killed meanwhile goes on."""
        both = [process for process in (self.supervisor, self.task) if process is not None]
        for process in both:
            process.signal(signal.SIGSTOP)
        try:
            for process in both:
                wait_for(process.stands_still, seconds=5, what=f"{process.pid} stands still", every=0.001)
            yield
        finally:
            for process in both:
                process.signal(signal.SIGCONT)


def processes_of(session: int) -> list[Seen]:
    """Every process that a program has started, whoever is its parent by now."""
    found = []
    for process in session_members(session):
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline()).strip()
            found.append(Seen(process.pid, process.ppid(), process.create_time(), title))
    return found


def task_processes(seen: Iterable[Seen]) -> list[TaskProcess]:
    """
    Pick those that run a task's code.

    A worker without work is never among them: killed while it holds the queue's lock, it stops Airflow for good.
    """
    by_pid = {process.pid: process for process in seen}
    found = []
    for process in by_pid.values():
        if named := TASK_TITLE.fullmatch(process.title):
            above = by_pid.get(process.parent)
            busy = above is not None and _works_on(above.title, named.group(1))
            found.append(TaskProcess(named.group(1), process, above if busy else None))
    return found


def _works_on(title: str, ti_id: str) -> bool:
    worker = WORKER_TITLE.fullmatch(title)
    return worker is not None and worker.group(1) == ti_id


# ---------------------------------------------------------------------------- what is on record


@dataclass(frozen=True)
class Entry:
    """
    A task instance as the database has it, with the journal of its picture.

    :param journal: ``intent``, ``submitted``, ``landed``, ...; ``None``: nothing is on record.
    :param run_id: Runflow's, as recorded.
    """

    ti_id: str
    task_id: str
    map_index: int
    state: str
    try_number: int
    journal: str | None
    run_id: str | None


_KEPT = """(
    SELECT value FROM task_state_store AS store
    WHERE store.dag_id = ti.dag_id AND store.run_id = ti.run_id AND store.task_id = ti.task_id
      AND store.map_index = ti.map_index AND store.key = '{}'
)"""
_QUERY = f"""
    SELECT ti.id, ti.task_id, ti.map_index, ti.state, ti.try_number,
        COALESCE({_KEPT.format("runflow.run")}, {_KEPT.format("runflow.intent")})
    FROM task_instance AS ti WHERE ti.dag_id = ? AND ti.run_id = ?
"""  # noqa: S608 - nothing is put in but the two keys above; values are bound


@dataclass(frozen=True)
class Database:
    """Airflow's SQLite database, read only: it answers while the API server is dead."""

    path: Path

    def entries(self, dag_id: str, run_id: str) -> dict[tuple[str, int], Entry]:
        """By task id and map index."""
        rows = self._all(_QUERY, dag_id, run_id)
        return {(row[1], row[2]): _entry(*row) for row in rows}

    def run_state(self, dag_id: str, run_id: str) -> str:
        rows = self._all("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return str(rows[0][0])

    def _all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(query, values).fetchall()


def _entry(ti_id: str, task_id: str, map_index: int, state: str | None, number: int, value: str | None) -> Entry:
    record = _record(value)
    return Entry(
        str(UUID(ti_id)), task_id, map_index, state or "none", number, record.get("state"), record.get("run_id")
    )


def _record(value: str | None) -> Mapping[str, Any]:
    record: Any = value
    while isinstance(record, str):
        record = json.loads(record)
    return record or {}


def phase_of(journal: str | None, in_flight: Iterable[Phase]) -> Phase:
    """
    Tell how far a task is.

    :param journal: the state on record.
    :param in_flight: of its requests that are under way.
    """
    for phase in in_flight:
        return phase
    by_state = {"intent": Phase.INTENT, "submitted": Phase.WAITING, "landed": Phase.LANDED}
    return by_state.get(journal or "", Phase.STARTING)
