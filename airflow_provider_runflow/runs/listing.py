# SPDX-License-Identifier: Apache-2.0
"""The runs of a scope as Runflow lists them: one list serves every request of a task that may make do with it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import ApiError, NotFoundError, PermissionDeniedError, RequestRejectedError
from airflow_provider_runflow.runs import resolution
from airflow_provider_runflow.runs.identity import Scope
from airflow_provider_runflow.runs.lookup import LIST_FIELDS, LookUpRefused, RunsApi
from airflow_provider_runflow.runs.resolution import Candidate, candidate_of


class RunList:
    """
    What Runflow listed of one ``client_ref``, oldest first.

    :param rows: projections, without the runs' outputs.
    :param as_of: when the list was asked for. What it lacks may have been bought since.
    """

    def __init__(self, rows: Sequence[Run], as_of: datetime) -> None:
        self.rows = rows
        self.as_of = as_of
        self.candidates = [each for each in map(candidate_of, rows) if each is not None]
        self._by_fingerprint: dict[str, list[Candidate]] = defaultdict(list)
        self._by_item: dict[str, list[Candidate]] = defaultdict(list)
        for each in self.candidates:
            self._by_fingerprint[each.fingerprint].append(each)
            self._by_item[each.item_key].append(each)

    def of_request(self, fingerprint: str) -> Sequence[Candidate]:
        """Return the runs of one request, whatever item bought it."""
        return self._by_fingerprint.get(fingerprint, ())

    def of_item(self, item_key: str) -> Sequence[Candidate]:
        """Return the runs of one item, whatever it asked for."""
        return self._by_item.get(item_key, ())


@dataclass
class Lister:
    """
    Lists the runs of scopes; safe to share between threads.

    Whoever comes while a list is being read waits, and shares the next one with all that came meanwhile.

    :param api: client of the account.
    :param clock: tells the time.
    """

    api: RunsApi
    clock: Clock
    begun: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _latest: dict[str, tuple[int, datetime, RunList | ApiError | LookUpRefused]] = field(
        default_factory=dict, init=False
    )
    _whole: dict[str, Run] = field(default_factory=dict, init=False)

    def is_allowed(self, client_ref: str) -> bool:
        """Whether this key may list the scope's runs, as far as can be told; asks if nobody has asked yet."""
        try:
            self.listing(client_ref)
        except LookUpRefused:
            return False
        except ApiError:
            return True
        return True

    def listing(self, client_ref: str, *, after: int = 0, since: datetime | None = None) -> RunList:
        """
        Return a list that is new enough, reading it if need be.

        :param after: what :attr:`begun` was when the last submission that must be on it had ended.
        :param since: when it must have been asked for at the earliest.
        :raises LookUpRefused: a definite no; asking again would not help.
        :raises ApiError: no answer, or bad credentials.
        """
        with self._lock:
            known = self._latest.get(client_ref)
            if known is None or known[0] <= after or (since is not None and known[1] < since):
                self.begun += 1
                now = self.clock.now()
                known = self._latest[client_ref] = (self.begun, now, self._read(client_ref, now))
        if isinstance(known[2], Exception):
            raise known[2]
        return known[2]

    def _read(self, client_ref: str, now: datetime) -> RunList | ApiError | LookUpRefused:
        try:
            listed = self.api.find_runs(client_ref, fields=LIST_FIELDS)
            # A server that ignores the filter must not hand out another scope's runs.
            rows = [row for row in listed if row.client_ref in (None, client_ref)]
        except (PermissionDeniedError, NotFoundError, RequestRejectedError) as refused:
            if refused.status is not None and refused.status < 400:
                return refused  # a redirect: the connection's host is wrong
            return LookUpRefused(str(refused))
        except ApiError as error:
            return error
        try:
            return RunList(self._with_metadata(rows), now)
        except ApiError as error:
            return error

    def _with_metadata(self, rows: Sequence[Run]) -> list[Run]:
        """Read each run once, should list rows turn out to carry no metadata."""
        whole = []
        for row in rows:
            if row.metadata is not None:
                whole.append(row)
                continue
            known = self._whole.get(row.id)
            try:
                run = self.api.get_run(row.id) if known is None else _as_listed(known, row)
            except NotFoundError:
                continue  # listed, but no longer kept: it cannot be attached to
            self._whole[row.id] = run
            whole.append(run)
        return whole


def look_up(
    lister: Lister, scope: Scope, fingerprint: str, *, journal: bool, after: int = 0, since: datetime | None = None
) -> tuple[list[Candidate], datetime]:
    """
    Find the runs of one request among all of its scope, oldest first; and say when Runflow was asked.

    :param journal: whether a journal tells which request this go asked for first; without one, the look-up has to.
    :param after: and
    :param since: how new the list has to be, as for :meth:`Lister.listing`, which says what is raised.
    """
    listed = lister.listing(scope.client_ref, after=after, since=since)
    found = resolution.candidates(listed.of_request(fingerprint), scope)
    if not found and not journal:
        found = resolution.drifted(listed.of_item(scope.item_key), scope)
    return found, listed.as_of


def _as_listed(known: Run, row: Run) -> Run:
    """Return a run that was read before, with what a newer list row tells of it."""
    return known.model_copy(update=row.model_dump(exclude_unset=True, exclude={"metadata"}))
