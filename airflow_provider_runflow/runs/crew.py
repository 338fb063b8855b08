# SPDX-License-Identifier: Apache-2.0
"""Many things to do, so many of them at once; the main thread tells how it goes, and can stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from airflow_provider_runflow.client.clock import Clock

Thing = TypeVar("Thing")

# For each that works, so many more may wait for a time to come: a thread that sleeps costs next to nothing.
ASLEEP_FOR_EACH = 4


class Slots:
    """
    How many threads may be at work at once; one that sleeps by :meth:`clock` leaves its place to another meanwhile.

    :param count: how many; 1 does everything in the caller's own thread.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)
        self._mine = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Be at work."""
        with self._free:
            self._mine.taken = True
            try:
                yield
            finally:
                self._mine.taken = False

    def clock(self, clock: Clock) -> Clock:
        """Make a clock that tells the same time."""
        return _GivingWay(clock, self)

    def sleep(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Let time pass, and others to work."""
        if not getattr(self._mine, "taken", False):
            sleep(seconds)
            return
        self._free.release()
        try:
            sleep(seconds)
        finally:
            self._free.acquire()


class _GivingWay:
    def __init__(self, clock: Clock, slots: Slots) -> None:
        self._clock = clock
        self._slots = slots

    def now(self) -> datetime:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._slots.sleep(seconds, self._clock.sleep)

    async def asleep(self, seconds: float) -> None:
        await self._clock.asleep(seconds)


def do_each(
    work: Callable[[Thing], None],
    things: Iterable[Thing],
    *,
    slots: Slots,
    tell: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
    every: float = 5.0,
) -> None:
    """
    Do something with each thing.

    What the main thread is told (Airflow's execution timeout, a kill) and what ``work`` raises ends it all: what runs
    is waited for, the rest is not begun.

    :param work: safe to call from several threads.
    :param slots: how many at once; with one it all happens in the caller's own thread.
    :param tell: called from the caller's thread every few seconds.
    :param stop: called at once when it all ends early, before what runs is waited for.
    :param every: seconds between two calls of ``tell``, at least.
    """
    todo = list(things)
    if slots.count == 1 or len(todo) == 1:
        for thing in todo:
            work(thing)
            tell()
        return

    over = threading.Event()

    def do(thing: Thing) -> None:
        with slots.taken():
            if not over.is_set():
                work(thing)

    threads = min(slots.count * (1 + ASLEEP_FOR_EACH), len(todo) or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="runflow") as pool:
        futures: set[Future[None]] = {pool.submit(do, thing) for thing in todo}
        try:
            while futures:
                done, futures = wait(futures, timeout=every, return_when=FIRST_EXCEPTION)
                for each in done:
                    each.result()
                tell()
        except BaseException:
            over.set()
            stop()
            for each in futures:
                each.cancel()
            raise
