# SPDX-License-Identifier: Apache-2.0
"""Runs that are waited for together, without I/O: the watcher of the triggerer and the worker's loop feed it rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from airflow_provider_runflow.client.wire import DELIVERED, TERMINAL, same_status

# `since` was read off a worker's clock, `created_at` off Runflow's: so far apart they may be. Whatever shares the
# client_ref and is older belongs to an earlier go of the task.
CLOCK_SKEW = timedelta(minutes=5)


class Group:
    """
    Runs that are waited for together.

    Either exactly ``run_ids``; ``client_ref`` then merely tells by what list they can be found. Or, without ids, all
    runs of ``client_ref`` that were created at ``since`` or later.

    :param run_ids: the runs; duplicates count once.
    :param client_ref: what the runs carry.
    :param count: without ids: how many runs there are at least. Fewer are listed while the list lags. With 0 the group
        is over as soon as one is listed and none is active.
    :param since: without ids: aware time of the first submission; ``None``: the whole list. Rows that are up to
        :data:`CLOCK_SKEW` older belong to the group, and so do those that do not tell when they were created.
    """

    def __init__(
        self,
        *,
        run_ids: Sequence[str] = (),
        client_ref: str | None = None,
        count: int = 0,
        since: datetime | None = None,
    ) -> None:
        self.run_ids = tuple(dict.fromkeys(run_ids))
        self.client_ref = client_ref
        self.count = len(self.run_ids) or max(1, count)
        self.since = since
        self._members = frozenset(self.run_ids)
        self._pending = set(self.run_ids)
        self._statuses: dict[str, str] = {}

    def on_row(self, run_id: str, status_code: str, created_at: datetime | None = None) -> None:
        """
        Take in what was read of a run; of one that is none of the group's, nothing.

        A run that has ended stays ended: a list that lags behind may show it as active once more.
        """
        if not self._has(run_id, created_at) or self._statuses.get(run_id) in TERMINAL:
            return
        # Interned: thousands of rows a round say the same few words.
        status = self._statuses[run_id] = sys.intern(same_status(status_code))
        if status in TERMINAL:
            self._pending.discard(run_id)
        else:
            self._pending.add(run_id)

    def _has(self, run_id: str, created_at: datetime | None) -> bool:
        if self._members:
            return run_id in self._members
        return self.since is None or created_at is None or created_at >= self.since - CLOCK_SKEW

    @property
    def is_counted(self) -> bool:
        """Whether the list says which runs there are, and not ids."""
        return not self._members

    @property
    def over(self) -> bool:
        """
        Whether all have ended.

        Of a group without ids, ask only when its list was read to the end: a further page may hold an active run.
        """
        return not self._pending and len(self._statuses) >= self.count

    @property
    def delivered(self) -> bool:
        """Whether all have ended, and each with pictures to fetch."""
        return self.over and all(status in DELIVERED for status in self._statuses.values())

    @property
    def pending(self) -> set[str]:
        """The runs that have not ended, as far as is known: not yet read, active, or in an unknown status."""
        return set(self._pending)

    @property
    def statuses(self) -> Mapping[str, str]:
        """The last known status of each run that was read."""
        return MappingProxyType(self._statuses)

    @property
    def ended(self) -> int:
        """How many runs are known to have ended."""
        return len(self._statuses.keys() - self._pending)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in which status; runs that were never read are in none."""
        return dict(sorted(Counter(self._statuses.values()).items()))
