# SPDX-License-Identifier: Apache-2.0
"""How the runs of a batch stand, as a worker reads it: with one list where that is possible, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import NotFoundError, PermissionDeniedError, RequestRejectedError
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR

STATUS_FIELDS = ("id", "status_code", "created_at")
# Runs that no list shows are read one by one, so many at each look.
READS_A_ROUND = 100


@dataclass
class GroupReader:
    """
    Tells a group how its runs stand.

    :param find_runs: lists those of a ``client_ref``.
    :param get_run: reads one.
    :param clock: tells the time.
    """

    find_runs: Callable[..., Iterable[Run]]
    get_run: Callable[[str], Run]
    clock: Clock
    _refused: bool = field(default=False, init=False)
    _missing: dict[str, datetime] = field(default_factory=dict, init=False)
    _turn: int = field(default=0, init=False)

    def read(self, group: Group) -> None:
        """
        Read all, as far as the budget of a round goes.

        :raises ApiError: Runflow does not answer, or refuses everything.
        """
        self.read_list(group)
        # A list may lag, and a run that was adopted from another scope is on none of ours.
        unlisted = sorted(run_id for run_id in group.pending if self._refused or run_id not in group.statuses)
        # In turn, so that no run waits for those before it to end.
        first = self._turn % len(unlisted) if unlisted else 0
        for run_id in [*unlisted[first:], *unlisted[:first]][:READS_A_ROUND]:
            self._turn += 1
            self._read_one(run_id, group)

    def read_list(self, group: Group) -> None:
        """Read what the list tells, unless this key may not list; raises :class:`ApiError` when there is no answer."""
        if self._refused or group.client_ref is None:
            return
        try:
            for row in self.find_runs(group.client_ref, fields=STATUS_FIELDS):
                group.on_row(row.id, row.status_code, row.created_at)
        except (NotFoundError, PermissionDeniedError, RequestRejectedError):
            # Runs can be read all the same; where not even that is allowed, reading them says so.
            self._refused = True

    def _read_one(self, run_id: str, group: Group) -> None:
        try:
            run = self.get_run(run_id)
        except NotFoundError:
            since = self._missing.setdefault(run_id, self.clock.now())
            if self.clock.now() - since >= NOT_FOUND_FOR:
                # Nothing to wait for: whoever lands it finds out why, and the others do not wait for it.
                group.on_row(run_id, "failed")
            return
        self._missing.pop(run_id, None)
        group.on_row(run.id, run.status_code, run.created_at)
