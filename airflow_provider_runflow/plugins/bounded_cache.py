# SPDX-License-Identifier: Apache-2.0
"""A cache in memory with a bound, whose values are made once even when many ask at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """
    Keeps what was asked for last.

    :param capacity: what all values may weigh together. A value that weighs more is made, but not kept.
    :param weigh: tells the weight of a value.
    """

    def __init__(self, capacity: int, weigh: Callable[[Value], int] = lambda value: 1) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._weight = 0
        self._making: dict[Hashable, Future[Value]] = {}
        self._lock = threading.Lock()

    @property
    def weight(self) -> int:
        """What its values weigh now."""
        return self._weight

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """
        Return a value, making it if it is not there; what ``make`` raises is raised, and nothing is kept.

        :param key: of the value.
        :param make: makes it; those who ask for the same one meanwhile wait for it, or for its failure.
        """
        with self._lock:
            if (found := self._found(key)) is not None:
                return found[0]
            making, ours = self._making.get(key), Future[Value]()
            if making is None:
                self._making[key] = ours
        if making is not None:
            return making.result()
        try:
            value = make()
            self._keep(key, value)
        except BaseException as error:
            ours.set_exception(error)
            raise
        else:
            ours.set_result(value)
            return value
        finally:
            with self._lock:
                del self._making[key]

    def drop(self, key: Hashable) -> None:
        """Forget a value: it has turned out to be of no use."""
        with self._lock:
            if key in self._values:
                self._weight -= self._values.pop(key)[1]

    def _found(self, key: Hashable) -> tuple[Value, int] | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def _keep(self, key: Hashable, value: Value) -> None:
        weight = self._weigh(value)
        if weight > self._capacity:
            return
        with self._lock:
            self._weight += weight - self._values.get(key, (value, 0))[1]
            self._values[key] = (value, weight)
            while self._weight > self._capacity:
                _, (_, gone) = self._values.popitem(last=False)
                self._weight -= gone
