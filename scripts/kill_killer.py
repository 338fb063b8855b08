# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan: waits for each moment, looks, kills, and writes down what was on record right then."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from scripts.kill_door import Door, Visit
from scripts.kill_plan import BETWEEN, Aim, Outage, Phase, Plan, Victim
from scripts.kill_watch import Database, Entry, Seen, TaskProcess, phase_of, processes_of, task_processes
from scripts.stack import AirflowStack

#: A held request whose sender was not found in so many seconds goes on unharmed.
GIVE_UP_AFTER = 10.0
#: So long a killed task has to hang up, which is what proves that it was the sender.
HANG_UP_WITHIN = 2.0
#: A task that has read its run so often is waiting, and not about to tell its supervisor something.
POLLS_OF_A_WAIT = 3
#: The next try comes after the heartbeat timeout and when there is a slot; one that comes later is not waited for.
LONGEST_HOLD = 55.0
#: So long the client waits for its answer (an extra of the connection), so that a held one does not give up.
PATIENCE = LONGEST_HOLD + 5
BETWEEN_OUTAGES = 12.0


@dataclass
class Kill:
    """
    One kill -9, with what was on record while the victims stood still.

    :param at: seconds since the start.
    :param journal: the state in the task state store at that moment, and Runflow's run id in it.
    :param visit: the request that was in flight.
    :param known_runs: how many runs of this request the emulator had made.
    :param deferred: how many tasks were deferred, for a component.
    :param task: the task's process.
    :param lived_on: for how many seconds, when only its supervisor was killed.
    :param successor_at: when the next try was at work.
    """

    at: float
    moment: datetime
    victim: str
    pids: tuple[int, ...]
    clock: float
    item: str = ""
    entry: Entry | None = None
    phase: Phase | None = None
    visit: Visit | None = None
    known_runs: int = 0
    deferred: int = 0
    task: TaskProcess | None = None
    lived_on: float | None = None
    successor_at: float | None = None

    @property
    def leaves_task(self) -> bool:
        """Whether the task goes on without its supervisor."""
        return self.victim == Victim.SUPERVISOR.value

    @property
    def made_two(self) -> bool:
        """Whether the task and its next try were at work at the same time."""
        if not self.leaves_task or self.successor_at is None:
            return False
        return self.lived_on is None or self.successor_at - self.clock < self.lived_on

    @property
    def between(self) -> bool:
        """
        Whether a task process died between intent and run id, by evidence.

        The intent was on record and no run id; the POST was in flight and Runflow took it, then or later; and its
        sender was the one meant: it hung up when it was killed, or it was left alive.
        """
        visit, entry = self.visit, self.entry
        if self.phase not in BETWEEN or visit is None or entry is None or self.victim == Victim.API_SERVER.value:
            return False
        hung_up = visit.dropped is not None and 0 <= visit.dropped - self.clock < HANG_UP_WITHIN
        recorded = entry.journal == "intent" and entry.run_id is None
        return recorded and visit.taken is not None and (self.leaves_task or hung_up)


@dataclass
class Killer:
    """
    Watches a DAG run and kills what the plan says.

    :param items: task id and map index of each picture.
    """

    stack: AirflowStack
    door: Door
    database: Database
    dag_id: str
    run_id: str
    plan: Plan
    items: Mapping[str, tuple[str, int]]
    began: float
    aims: AimBook
    kills: list[Kill] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    _tries: dict[str, set[str]] = field(default_factory=dict)
    _outages: list[Outage] = field(default_factory=list)
    _last_outage: float = 0.0

    def __post_init__(self) -> None:
        self._outages = list(self.plan.outages)
        self._session = self.stack.component("scheduler").pid

    def tick(self) -> None:
        """Look once, and kill what is due."""
        self.stack.check()
        processes = self.task_processes()
        entries = self._entries()
        for item, place in self.items.items():
            tries = self._tries.setdefault(item, set())
            tries.add(entries[place].ti_id)
            aim = self.aims.current(item)
            if aim is not None:
                at_work = [process for process in processes if process.ti_id in tries]
                self._pursue(item, aim, entries[place], at_work)
        self.follow(processes)
        self._let_go()
        self._outage_if_due(entries)

    @property
    def not_killed(self) -> list[str]:
        """What was planned, and whose moment did not come."""
        outages = [f"{outage.component}, after {outage.at} steps" for outage in self._outages]
        return [*self.missed, *self.aims.left, *outages]

    def task_processes(self) -> list[TaskProcess]:
        return task_processes(processes_of(self._session))

    def _entries(self) -> dict[tuple[str, int], Entry]:
        return self.database.entries(self.dag_id, self.run_id)

    # ------------------------------------------------------------------ task processes

    def _pursue(self, item: str, aim: Aim, entry: Entry, at_work: list[TaskProcess]) -> None:
        visit = next((visit for visit in list(self.door.visits) if visit.aim is aim), None)
        if visit is not None and time.monotonic() - visit.arrived > GIVE_UP_AFTER:
            self._miss(item, aim, visit)
            return
        held = aim.phase in (*BETWEEN, Phase.LANDING)
        if held and (visit is None or not visit.stands):
            return
        if aim.victim is Victim.API_SERVER:
            self._kill_component("api-server", item=item, entry=entry, phase=aim.phase, visit=visit)
            self.aims.done(item)
            return
        if aim.phase is Phase.WAITING and self.door.polls[item] < POLLS_OF_A_WAIT:
            return
        if len(at_work) != 1 or entry.state != "running":
            return  # of two, whose request would it be?
        if at_work[0].ti_id == entry.ti_id and at_work[0].supervisor is not None:
            self._strike(item, aim, at_work[0], visit)

    def _strike(self, item: str, aim: Aim, process: TaskProcess, visit: Visit | None) -> None:
        with process.frozen():
            entry = self._entries()[self.items[item]]
            phase = phase_of(entry.journal, [visit.phase for visit in self.door.in_flight(item)])
            if entry.ti_id != process.ti_id or not process.task.alive or phase is not aim.phase:
                return
            victims = _victims(aim.victim, process)
            known, now = self._known_runs(visit), time.monotonic()
            if process.task not in victims:
                # The kernel hangs up on a stopped process whose parent dies, and this one is to live.
                process.task.signal(signal.SIGCONT)
            for victim in victims:
                victim.signal(signal.SIGKILL)
        self.kills.append(
            Kill(
                at=now - self.began,
                moment=datetime.now(timezone.utc),
                victim=aim.victim.value,
                pids=tuple(victim.pid for victim in victims),
                clock=now,
                item=item,
                entry=entry,
                phase=phase,
                visit=visit,
                known_runs=known,
                task=process,
            )
        )
        self.aims.done(item)

    def _known_runs(self, visit: Visit | None) -> int:
        """How many runs the emulator has made under the key of a POST."""
        return sum(visit is not None and run.idempotency_key == visit.key for run in self.door.emulator.runs)

    def _miss(self, item: str, aim: Aim, visit: Visit) -> None:
        self.missed.append(f"{item}: {aim.victim.value}, {aim.phase.value}")
        self.aims.done(item)
        visit.release()

    def _let_go(self) -> None:
        """Release what was held for a kill, after its linger; a dead sender's not before it was seen to hang up."""
        now = time.monotonic()
        for kill in self.kills:
            visit = kill.visit
            if visit is None or visit.aim is None or visit.released:
                continue
            dead = kill.victim in (Victim.TASK.value, Victim.BOTH.value)
            if dead and visit.dropped is None and now - kill.clock < HANG_UP_WITHIN:
                continue
            since = kill.successor_at if visit.aim.beside else kill.clock
            lingered = since is not None and now - since >= visit.aim.linger
            if lingered or (not dead and now - visit.arrived >= LONGEST_HOLD):
                visit.release()

    def follow(self, processes: list[TaskProcess]) -> None:
        """See when a killed task's next try is at work, and how long one without supervisor lives on."""
        entries, now = self._entries(), time.monotonic()
        for kill in self.kills:
            if kill.task is None:
                continue
            successor = entries[self.items[kill.item]].ti_id
            at_work = successor != kill.task.ti_id and any(process.ti_id == successor for process in processes)
            if kill.successor_at is None and at_work:
                kill.successor_at = now
            if kill.leaves_task and kill.lived_on is None and not kill.task.task.alive:
                kill.lived_on = now - kill.clock

    # ------------------------------------------------------------------ components

    def _outage_if_due(self, entries: Mapping[tuple[str, int], Entry]) -> None:
        if not self._outages or time.monotonic() - self._last_outage < BETWEEN_OUTAGES:
            return
        due = self._outages[0]
        landed = sum(entry.journal == "landed" for entry in entries.values())
        if len(self.door.emulator.runs) + landed < due.at:
            return
        deferred = sum(entry.state == "deferred" for entry in entries.values())
        if (due.component == "triggerer" and not deferred) or not self.stack.api.healthy():
            return
        self._outages.pop(0)
        self._kill_component(due.component, alone=not due.group, deferred=deferred)

    def _kill_component(
        self,
        name: str,
        *,
        alone: bool = False,
        deferred: int = 0,
        item: str = "",
        entry: Entry | None = None,
        phase: Phase | None = None,
        visit: Visit | None = None,
    ) -> None:
        known, now = self._known_runs(visit), time.monotonic()
        self._last_outage = now
        dead = self.stack.kill_and_restart(name, alone=alone)
        whole = "" if name == "api-server" else ", its first process" if alone else ", all its processes"
        self.kills.append(
            Kill(
                at=now - self.began,
                moment=datetime.now(timezone.utc),
                victim=f"{name}{whole}",
                pids=(dead.pid,),
                clock=now,
                item=item,
                entry=entry,
                phase=phase,
                visit=visit,
                known_runs=known,
                deferred=deferred,
            )
        )


def _victims(victim: Victim, process: TaskProcess) -> list[Seen]:
    chosen = {Victim.SUPERVISOR: (process.supervisor,), Victim.TASK: (process.task,)}
    both = (process.supervisor, process.task)
    return [seen for seen in chosen.get(victim, both) if seen is not None]


class AimBook:
    """What each picture is aimed at now; read by the door's thread, moved on by the killer's."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._done: dict[str, int] = {}

    def current(self, item: str) -> Aim | None:
        aims, done = self._plan.aims.get(item, ()), self._done.get(item, 0)
        return aims[done] if done < len(aims) else None

    def done(self, item: str) -> None:
        self._done[item] = self._done.get(item, 0) + 1

    @property
    def left(self) -> list[str]:
        """The aims whose moment did not come."""
        return [
            f"{item}: {aim.victim.value}, {aim.phase.value}"
            for item, aims in self._plan.aims.items()
            for aim in aims[self._done.get(item, 0) :]
        ]
