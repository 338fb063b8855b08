# SPDX-License-Identifier: Apache-2.0
"""One wait among those that a watcher serves, without I/O: what it knows of its runs, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.wire import TERMINAL, Row
from airflow_provider_runflow.exceptions import ApiError
from airflow_provider_runflow.runs.group import CLOCK_SKEW, Group
from airflow_provider_runflow.runs.pace import Durations, next_look
from airflow_provider_runflow.runs.polling import (
    GOES_ON,
    NOT_FOUND_FOR,
    THEY_GO_ON,
    GiveUp,
    Late,
    Over,
    Patience,
    Sleep,
)
from airflow_provider_runflow.runs.survey import born_by_id
from airflow_provider_runflow.runs.tally import goes_on

# What a wait comes to; `Sleep`: the connection is to be read again, and the wait goes on.
Ended = Over | Late | GiveUp | Sleep

# A run that a list does not show is asked for by its id after so long: lists lag behind.
LAG_FOR = timedelta(seconds=10)
SHORTEST = 0.05
TOLD_EVERY = timedelta(seconds=5)
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class Waiter(Patience):
    """
    A wait for a group of runs.

    It outlives watchers: when the connection is to be read again, it moves on to the next one.

    :param group: the runs.
    :param deadline: wall clock; aware.
    :param interval: seconds between looks.
    :param jitter: as ``random.uniform``.
    :param warn: the wait's own log.
    :param tell: the same, for what goes as it should: how a group stands, whenever that changes.
    :raises InvalidRequestError: an id or the client_ref cannot be sent.
    """

    def __init__(
        self,
        group: Group,
        *,
        deadline: datetime,
        interval: float,
        jitter: Callable[[float, float], float],
        warn: Callable[[str], None],
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        alone = len(group.run_ids) == 1
        super().__init__(
            _name(group), deadline, max(SHORTEST, interval), jitter, warn, GOES_ON if alone else THEY_GO_ON
        )
        for run_id in group.run_ids:
            protocol.run_path(run_id)
        if group.client_ref is not None:
            protocol.check_client_ref(group.client_ref)
        self.group = group
        self._tell = tell
        self._told: tuple[datetime, int] = (_LONG_AGO, 0)
        self.due: datetime | None = None
        self._since: datetime | None = None
        self._whole = False
        self._born: dict[str, datetime] = {}
        self._read: dict[str, datetime] = {}
        self._unlisted: dict[str, datetime] = {}
        self._missing: dict[str, tuple[datetime, ApiError]] = {}
        self._no_list: tuple[datetime, ApiError] | None = None

    # ------------------------------------------------------------------ what it wants to know

    def on_start(self, now: datetime) -> None:
        """Note that a watcher looks after it from now on, and that nothing is known since the last one."""
        self._since = self._since or now
        self._whole, self.due = False, now
        self._read.clear()

    @property
    def needs_list(self) -> bool:
        """Whether only the list of its client_ref tells which runs there are."""
        group = self.group
        return group.is_counted and (len(group.statuses) < group.count or not group.pending)

    def unread(self, now: datetime) -> set[str]:
        """Runs that may have ended since they were read; at the deadline all of them."""
        pending = self.group.pending
        if now >= self.deadline:
            return pending
        fresh = now - timedelta(seconds=self.interval / 2)
        return {run_id for run_id in pending if self.read_at(run_id) <= fresh}

    def was_read(self, now: datetime) -> bool:
        """Whether every run that goes on was read in the round of that time."""
        return all(self.read_at(run_id) >= now for run_id in self.group.pending)

    @property
    def has_whole_list(self) -> bool:
        """Whether the list of its client_ref was read to the end in this round."""
        return self._whole

    def read_at(self, run_id: str) -> datetime:
        """When a run was last read."""
        return self._read.get(run_id, _LONG_AGO)

    def born(self, run_id: str) -> datetime | None:
        """When a run was created, or about: to know where in a list it stands."""
        return self._born.get(run_id) or born_by_id(run_id) or self._since

    def oldest_of_list(self) -> datetime | None:
        """What is older is none of the group's, so that its list need not be read any further."""
        group = self.group
        return group.since - CLOCK_SKEW if group.is_counted and group.since else None

    # ------------------------------------------------------------------ what it gets to know

    def on_row(self, row: Row, now: datetime) -> float | None:
        """
        Take in what was read of a run.

        :return: of a run that has ended since the last look: how long it took at least.
        """
        run_id = row.id
        self.group.on_row(run_id, row.status_code, row.created_at)
        known = self.group.statuses.get(run_id)
        if known is None:
            return None
        before = self._read.pop(run_id, None)
        self._unlisted.pop(run_id, None)
        self._missing.pop(run_id, None)
        if known in TERMINAL:
            born = self._born.pop(run_id, None)
            return (before - born).total_seconds() if before and born else None
        self._read[run_id] = now
        if row.created_at is not None:
            self._born[run_id] = row.created_at
        self.on_status(run_id, known)
        return None

    def on_whole_list(self) -> None:
        """Note that the list of its client_ref was read to the end in this round."""
        self._whole, self._no_list = True, None

    def on_no_list(self, error: ApiError, now: datetime) -> None:
        """Note that the list of its client_ref, on which the wait depends, was refused for good."""
        if self._no_list is None:
            self._no_list = now, error
        self.on_trouble(error, now, wait=self.interval, certain=False)

    def on_unlisted(self, run_id: str, now: datetime) -> bool:
        """
        Note that a list does not show a run that it should.

        :return: whether that may pass by itself; else it is to be asked for by its id.
        """
        since = self._unlisted.setdefault(run_id, now)
        if now - since >= LAG_FOR:
            return False
        self._read[run_id] = now
        return True

    def on_unknown_run(self, run_id: str, error: ApiError, now: datetime) -> None:
        """Note that Runflow says that there is no such run: it may be too new for every reader to know it."""
        if run_id not in self._missing:
            self._missing[run_id] = now, error
            self.warn(f"Runflow run {run_id} cannot be read: {error}. {self._next(self.interval, now)}.")
        self._read[run_id] = now

    # ------------------------------------------------------------------ what follows

    def judge(self, now: datetime) -> Over | Late | GiveUp | None:
        """
        Decide after a round.

        A run that Runflow keeps denying ends the wait only when nothing else is waited for.
        """
        whole, self._whole = self._whole, False
        if self.group.over and (whole or not self.group.is_counted):
            return Over()
        if now >= self.deadline:
            return Late()
        if self._no_list and now - self._no_list[0] >= NOT_FOUND_FOR:
            return GiveUp(self._no_list[1])
        if self._missing and self.group.pending <= self._missing.keys():
            run_id, (since, error) = next(iter(self._missing.items()))
            if now - since >= NOT_FOUND_FOR:
                return GiveUp(error, run_id)
        return None

    def on_round(self, now: datetime, durations: Durations) -> None:
        """Note that all its runs were read in this round; says when the next look is due."""
        self.on_answer()
        self._tell_progress(now)
        pending = self.group.pending
        complete = len(self.group.statuses) >= self.group.count
        births = [self._born[run_id] for run_id in pending if run_id in self._born]
        youngest = max(births) if complete and births and len(births) == len(pending) else None
        self.due = next_look(now, self.interval, youngest, durations.quickest)

    def _tell_progress(self, now: datetime) -> None:
        """Say how a group of many stands, if that has changed, and the last line is some seconds old."""
        ended, (at, before) = self.group.ended, self._told
        if self.group.count > 1 and ended != before and now - at >= TOLD_EVERY and self._since is not None:
            self._told = now, ended
            self._tell(goes_on(self.group, self._since, now))


def _name(group: Group) -> str:
    if not group.run_ids:
        return f"The list of Runflow runs with client_ref {group.client_ref!r}"
    first = group.run_ids[0]
    if len(group.run_ids) == 1:
        return f"Runflow run {first}"
    return f"The group of {len(group.run_ids)} Runflow runs from {first} on"
