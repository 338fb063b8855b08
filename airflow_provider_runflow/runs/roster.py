# SPDX-License-Identifier: Apache-2.0
"""Who waits, by what they wait for."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_runflow.runs.waiter import Waiter


class Roster:
    """Who waits, and for what. Adding and removing costs the same however many others there are."""

    def __init__(self) -> None:
        self.waiters: dict[Waiter, None] = {}
        self.by_run: dict[str, set[Waiter]] = {}
        self.by_ref: dict[str, set[Waiter]] = {}

    def add(self, waiter: Waiter) -> None:
        """Note one more."""
        self.waiters[waiter] = None
        for index, key in self._places(waiter):
            index.setdefault(key, set()).add(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Forget one."""
        self.waiters.pop(waiter, None)
        for index, key in self._places(waiter):
            there = index.get(key, set())
            there.discard(waiter)
            if not there:
                index.pop(key, None)

    def _places(self, waiter: Waiter) -> Iterable[tuple[dict[str, set[Waiter]], str]]:
        yield from ((self.by_run, run_id) for run_id in waiter.group.run_ids)
        if waiter.group.client_ref is not None:
            yield self.by_ref, waiter.group.client_ref
