# SPDX-License-Identifier: Apache-2.0
"""What is waited for in one measurement: the same for the server, which plays it, and for the process that waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random
from typing import Any

REF = "benchmark"
# Of each run of ours so many of other people, who keep submitting.
FOREIGN = 10


@dataclass(frozen=True)
class Scene:
    """
    One measurement.

    :param way: how is waited: ``watcher``, ``own client`` or ``shared client``.
    :param runs: how many runs are in flight.
    :param seconds: the last of them ends so many seconds after the beginning; they end from half of that on.
    :param grouped: one task waits for all of them; else each has a task.
    :param busy: ten foreign runs for each own one.
    """

    way: str
    runs: int
    seconds: float
    grouped: bool
    busy: bool
    interval: float = 5.0

    @property
    def name(self) -> str:
        """For people."""
        shape = "one group" if self.grouped else "groups of one"
        return f"{self.way}, {self.runs} runs, {shape}, {'busy' if self.busy else 'alone'}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Fate:
    """A run: when it is created and when it ends, in seconds from the beginning."""

    run_id: str
    born: float
    ends: float
    mine: bool


def fates(scene: Scene, start: float) -> list[Fate]:
    """All runs of a scene, oldest first; a run's id is a UUIDv7, as Runflow's are."""
    dice = Random(f"{scene.runs}:{scene.busy}")  # noqa: S311 - repeatable
    seconds = scene.seconds
    told = [(dice.uniform(-30, 0), dice.uniform(seconds / 2, seconds), True) for _ in range(scene.runs)]
    if scene.busy:
        births = [dice.uniform(-30, seconds) for _ in range(scene.runs * FOREIGN)]
        told += [(born, born + dice.uniform(10, 90), False) for born in births]
    told.sort()
    return [Fate(_uuid7(start + born, n, dice), born, ends, mine) for n, (born, ends, mine) in enumerate(told)]


def _uuid7(moment: float, number: int, dice: Random) -> str:
    text = f"{int(moment * 1000):012x}7{number & 0xFFF:03x}8{dice.getrandbits(60):015x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
