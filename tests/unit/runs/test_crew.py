# SPDX-License-Identifier: Apache-2.0
"""runs/crew.py: many things with a bounded number of threads, which the main thread can stop."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone

import pytest

from airflow_provider_runflow.runs import crew
from airflow_provider_runflow.runs.crew import Slots, do_each


@pytest.mark.parametrize("threads", [1, 4])
def test_each_is_done_once(threads: int) -> None:
    done: list[int] = []
    do_each(done.append, range(50), slots=Slots(threads))
    assert sorted(done) == list(range(50))


def test_nothing_is_nothing() -> None:
    do_each(lambda thing: None, [], slots=Slots(4))


def test_no_more_than_so_many_at_once() -> None:
    lock, at_once, most = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.002)
        with lock:
            at_once[0] -= 1

    do_each(work, range(40), slots=Slots(3))
    assert 1 < most[0] <= 3


def test_progress_is_told_from_the_main_thread() -> None:
    told: list[threading.Thread] = []
    do_each(
        lambda _: time.sleep(0.03),
        range(8),
        slots=Slots(2),
        every=0.02,
        tell=lambda: told.append(threading.current_thread()),
    )
    assert len(told) >= 3
    assert set(told) == {threading.main_thread()}


@pytest.mark.parametrize("threads", [1, 4])
def test_what_work_raises_ends_it_all(threads: int) -> None:
    begun: list[int] = []

    def work(thing: int) -> None:
        begun.append(thing)
        if thing == 2:
            raise KeyboardInterrupt
        time.sleep(0.005)

    with pytest.raises(KeyboardInterrupt):
        do_each(work, range(1000), slots=Slots(threads))
    assert len(begun) < 1000


def test_a_time_out_in_the_main_thread_is_told_at_once_and_lets_what_runs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    began, stopped = threading.Event(), threading.Event()
    ended: list[int] = []

    def work(thing: int) -> None:
        began.set()
        assert stopped.wait(10)  # so the main thread does not wait for it before it says so
        ended.append(thing)

    def alarm(*args: object, **kwargs: object) -> None:
        assert began.wait(10)
        raise TimeoutError("as Airflow's signal handler raises it")

    monkeypatch.setattr(crew, "wait", alarm)
    with pytest.raises(TimeoutError):
        do_each(work, range(100), slots=Slots(2), stop=stopped.set)
    assert 1 <= len(ended) <= 4


class Naps:
    """A clock on which nothing sleeps until all that may be at work have been."""

    def __init__(self, sleepers: int) -> None:
        self.all_asleep = threading.Barrier(sleepers, timeout=10)

    def now(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=timezone.utc)

    def sleep(self, seconds: float) -> None:
        self.all_asleep.wait()

    async def asleep(self, seconds: float) -> None:
        raise NotImplementedError


def test_whoever_sleeps_leaves_its_place_to_another() -> None:
    slots, done = Slots(2), []
    # Six of them are asleep at the same time, although only two may be at work.
    clock = slots.clock(Naps(6))

    def work(thing: int) -> None:
        clock.sleep(10)
        done.append(thing)

    do_each(work, range(6), slots=slots)
    assert sorted(done) == list(range(6))


def test_whoever_sleeps_in_the_main_thread_has_no_place_to_leave() -> None:
    slots = Slots(1)
    slots.clock(Naps(1)).sleep(1)
    do_each(slots.clock(Naps(1)).sleep, [1, 1], slots=slots)
