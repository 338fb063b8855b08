# SPDX-License-Identifier: Apache-2.0
"""Where a process can die: before and after each call that leaves it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Event = Callable[[str], None]


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing in the code under test may catch it and go on."""


class Hang(BaseException):
    """A trial made more calls than any good reason explains."""


@dataclass
class Process:
    """
    A stretch of work on a worker or a triggerer.

    :param events: by the number of the point at which they strike.
    """

    events: Mapping[int, Event] = field(default_factory=dict)
    passed: int = 0
    dead: bool = False


class Points:
    """Every call that leaves a process passes here, before it and after it took effect."""

    def __init__(self, limit: int = 20_000) -> None:
        self.limit = limit
        self.count = 0
        #: Where each event struck, oldest first.
        self.struck: list[str] = []
        self._running: list[Process] = []

    @contextlib.contextmanager
    def process(self, process: Process) -> Iterator[Process]:
        """Work of one process; another one may run inside of it, while it stands still."""
        self._running.append(process)
        try:
            yield process
        finally:
            self._running.remove(process)

    def at(self, where: str) -> None:
        """Pass a point: what a dead process does has no effect."""
        if not self._running:
            return
        process = self._running[-1]
        if process.dead:
            raise Killed(where)
        self.count += 1
        if self.count > self.limit:
            raise Hang(f"{self.limit} calls, the latest {where}")
        process.passed += 1
        event = process.events.get(process.passed)
        if event is not None:
            self.struck.append(where)
            event(where)

    def kill(self, where: str) -> None:
        """End the process that runs now, as `kill -9` does."""
        self._running[-1].dead = True
        raise Killed(where)
