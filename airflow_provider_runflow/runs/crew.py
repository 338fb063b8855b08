# SPDX-License-Identifier: Apache-2.0
"""Many things to do with a bounded number of threads; the main thread tells how it goes, and can stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Thing = TypeVar("Thing")


def do_each(
    work: Callable[[Thing], None],
    things: Iterable[Thing],
    *,
    threads: int,
    tell: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
    every: float = 5.0,
) -> None:
    """
    Do something with each thing.

    What the main thread is told (Airflow's execution timeout, a kill) and what ``work`` raises ends it all: what runs
    is waited for, the rest is not begun.

    :param work: safe to call from several threads.
    :param threads: how many at once; with 1 it all happens in the caller's own.
    :param tell: called from the caller's thread every few seconds.
    :param stop: called at once when it all ends early, before what runs is waited for.
    :param every: seconds between two calls of ``tell``, at least.
    """
    todo = list(things)
    if threads == 1 or len(todo) == 1:
        for thing in todo:
            work(thing)
            tell()
        return
    with ThreadPoolExecutor(min(threads, len(todo) or 1), thread_name_prefix="runflow") as pool:
        futures: set[Future[None]] = {pool.submit(work, thing) for thing in todo}
        try:
            while futures:
                done, futures = wait(futures, timeout=every, return_when=FIRST_EXCEPTION)
                for each in done:
                    each.result()
                tell()
        except BaseException:
            stop()
            for each in futures:
                each.cancel()
            raise
