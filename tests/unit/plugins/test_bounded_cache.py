# SPDX-License-Identifier: Apache-2.0
"""What the cache keeps, and that a value is made once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from airflow_provider_runflow.plugins import bounded_cache
from airflow_provider_runflow.plugins.bounded_cache import BoundedCache


def test_it_never_holds_more_than_its_bound_and_drops_what_was_asked_for_longest_ago() -> None:
    cache: BoundedCache[bytes] = BoundedCache(30, len)
    for key in "abc":
        cache.get(key, lambda: b"0123456789")
    cache.get("a", lambda: b"another")
    cache.get("d", lambda: b"0123456789")
    assert cache.weight == 30
    made: list[str] = []
    for key in "acdb":
        cache.get(key, lambda key=key: made.append(key) or b"0123456789")
    assert made == ["b"]


def test_what_is_larger_than_the_bound_is_given_but_not_kept() -> None:
    cache: BoundedCache[bytes] = BoundedCache(5, len)
    assert cache.get("a", lambda: b"0123456789") == b"0123456789"
    assert cache.weight == 0


def test_many_who_ask_at_once_have_it_made_once() -> None:
    cache: BoundedCache[int] = BoundedCache(10)
    made, lock = [], threading.Lock()

    def make() -> int:
        with lock:
            made.append(1)
        time.sleep(0.05)
        return 7

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: cache.get("a", make), range(64))) == {7}
    assert len(made) == 1


def test_many_who_ask_at_once_for_what_cannot_be_made_fail_with_the_one_that_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache: BoundedCache[int] = BoundedCache(10)
    tried, waiting, wait = [], threading.Semaphore(0), Future.result

    def counted(self: Future[int], timeout: float | None = None) -> int:
        waiting.release()
        return wait(self, timeout)

    def fail() -> int:
        tried.append(1)
        for _ in range(7):
            waiting.acquire()
        raise ValueError("no")

    def ask() -> None:
        with pytest.raises(ValueError, match="no"):
            cache.get("a", fail)

    monkeypatch.setattr(bounded_cache.Future, "result", counted)
    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert len(tried) == 1


def test_what_cannot_be_made_is_tried_again_by_the_next() -> None:
    cache: BoundedCache[int] = BoundedCache(10)

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", fail)
    assert cache.get("a", lambda: 3) == 3


def test_what_is_dropped_is_made_anew_and_weighs_nothing() -> None:
    cache: BoundedCache[bytes] = BoundedCache(30, len)
    cache.get("a", lambda: b"0123456789")
    cache.drop("a")
    cache.drop("never there")
    assert cache.weight == 0
    assert cache.get("a", lambda: b"new") == b"new"
