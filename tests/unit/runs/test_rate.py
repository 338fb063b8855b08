# SPDX-License-Identifier: Apache-2.0
"""runs/rate.py: how fast a task submits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from airflow_provider_runflow.emulator import VirtualClock
from airflow_provider_runflow.runs.rate import SubmissionRate


def elapsed(clock: VirtualClock, began: float) -> float:
    return clock.now().timestamp() - began


def test_as_fast_as_they_come_waits_for_nobody() -> None:
    clock = VirtualClock()
    rate, began = SubmissionRate(None, clock), clock.now().timestamp()
    for _ in range(100):
        rate.wait()
    assert elapsed(clock, began) == 0


def test_so_many_a_minute_are_spaced_evenly_and_the_first_goes_at_once() -> None:
    clock = VirtualClock()
    rate, began = SubmissionRate(6, clock), clock.now().timestamp()
    turns = []
    for _ in range(4):
        rate.wait()
        turns.append(round(elapsed(clock, began)))
    assert turns == [0, 10, 20, 30]


def test_several_threads_share_it() -> None:
    clock = VirtualClock()
    rate, began = SubmissionRate(60, clock), clock.now().timestamp()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: rate.wait(), range(20)))
    assert elapsed(clock, began) >= 19


def test_a_pause_holds_all_even_those_who_wait_for_their_turn_already() -> None:
    clock = VirtualClock()
    rate, began = SubmissionRate(None, clock), clock.now().timestamp()
    rate.pause(30)
    rate.pause(5)  # a shorter one does not shorten it
    rate.wait()
    assert elapsed(clock, began) == 30


def test_nobody_waits_once_all_is_over() -> None:
    clock = VirtualClock()
    rate, began = SubmissionRate(1, clock), clock.now().timestamp()
    rate.wait()
    asked = iter([False, False, True])
    rate.wait(lambda: next(asked))
    assert elapsed(clock, began) == 2
