# SPDX-License-Identifier: Apache-2.0
"""Whom `make e2e-kill` kills, and when: drawn from a seed, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random


class Phase(str, Enum):
    """How far a task has come with its picture."""

    STARTING = "before the intent"
    INTENT = "intent on record, no POST in flight"
    SENT = "POST in flight, not taken"
    TAKEN = "POST in flight, taken, not answered"
    WAITING = "run id on record, waiting"
    LANDING = "downloading"
    LANDED = "landed"


class Victim(str, Enum):
    """What dies. Without its supervisor a task goes on: Airflow starts it again, and two are at work."""

    SUPERVISOR = "supervisor, task lives"
    TASK = "task"
    BOTH = "supervisor and task"
    API_SERVER = "api-server"


BETWEEN = (Phase.SENT, Phase.TAKEN)
"""Between intent and run id: whether the picture is bought is known to nobody but Runflow."""


@dataclass(frozen=True)
class Aim:
    """
    One kill that waits for its moment.

    :param linger: seconds that the request in flight is held on: a POST whose sender is dead takes effect late.
    :param beside: these seconds count from when the task's next try is at work: two POSTs for one picture.
    """

    phase: Phase
    victim: Victim
    linger: float = 0.0
    beside: bool = False


@dataclass(frozen=True)
class Outage:
    """
    A component is killed and started again.

    :param at: when so many steps (a run made, a picture landed) have been taken.
    :param group: with all its processes; else its first one only, as the kernel does when memory is short.
    """

    component: str
    at: int
    group: bool


@dataclass(frozen=True)
class Plan:
    """All that is to be killed; a picture's aims come one after the other."""

    aims: Mapping[str, tuple[Aim, ...]]
    outages: tuple[Outage, ...]

    @property
    def kills(self) -> int:
        return sum(len(aims) for aims in self.aims.values()) + len(self.outages)


def make_plan(seed: int, at_work: Sequence[str], deferred: Sequence[str]) -> Plan:
    """
    Draw a plan.

    :param at_work: keys of the pictures whose tasks wait on a worker.
    :param deferred: keys of those that wait in the triggerer.
    """
    dice = Random(f"e2e-kill:{seed}")  # noqa: S311 - repeatable, no secret
    waiting = dice.sample(list(at_work), 3)
    others = [key for key in (*at_work, *deferred) if key not in waiting]
    dice.shuffle(others)
    first = _aims(dice)
    aims: dict[str, tuple[Aim, ...]] = {key: (aim,) for key, aim in zip(others, first, strict=False)}
    aims |= {key: (Aim(Phase.WAITING, victim),) for key, victim in zip(waiting, _TASK_VICTIMS, strict=True)}
    # Three are hit again while they land. Not those whose first task lives on: which of two would be meant?
    again = [key for key, (aim,) in aims.items() if aim.phase in BETWEEN and aim.victim in (Victim.TASK, Victim.BOTH)]
    for key in dice.sample(again, 3):
        aims[key] += (Aim(Phase.LANDING, Victim.BOTH),)
    return Plan(aims, _outages(dice))


_TASK_VICTIMS = (Victim.SUPERVISOR, Victim.TASK, Victim.BOTH)


def _aims(dice: Random) -> list[Aim]:
    # Before the next try looks for it, and after the next try has submitted too.
    aims = [Aim(Phase.SENT, victim, dice.uniform(0, 6)) for victim in (Victim.TASK, Victim.BOTH)]
    aims += [Aim(Phase.SENT, victim, dice.uniform(5, 9), beside=True) for victim in (Victim.TASK, Victim.BOTH)]
    aims += [Aim(Phase.TAKEN, victim) for victim in (Victim.TASK, Victim.BOTH) * 2]
    aims += [Aim(Phase.LANDING, victim, dice.uniform(0, 20)) for victim in (Victim.TASK, Victim.BOTH) * 2]
    aims += [
        Aim(phase, Victim.SUPERVISOR, dice.uniform(0, 5), beside=True)
        for phase in (Phase.SENT, Phase.SENT, Phase.TAKEN, Phase.TAKEN, Phase.LANDING)
    ]
    aims += [Aim(Phase.STARTING, victim) for victim in (Victim.TASK, Victim.BOTH)]
    return [*aims, Aim(Phase.TAKEN, Victim.API_SERVER, dice.uniform(1, 4))]


def _outages(dice: Random) -> tuple[Outage, ...]:
    names = ["triggerer", "api-server", "triggerer", "api-server", "triggerer"]
    moments = [low + dice.randrange(6) for low in (5, 13, 21, 29, 37)]
    whole = dice.sample((True, False, True, False, True), 5)
    return tuple(Outage(*outage) for outage in zip(names, moments, whole, strict=True))
