# SPDX-License-Identifier: Apache-2.0
"""
The poll decision, without I/O: the sync loop and the trigger differ only in how they sleep.

A wait ends because the run ended or the deadline passed. Network errors, 429, 5xx and malformed answers never end it;
only credentials that stay refused after the connection was read again do, and a run that Runflow keeps denying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client.wire import ACTIVE, Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
)

MAX_BACKOFF = 60.0
# A run may be unknown to a reader for a moment after it was created; how long is documented nowhere.
NOT_FOUND_FOR = timedelta(seconds=60)
GOES_ON = "the run itself goes on, and is billed if it succeeds"


@dataclass(frozen=True)
class Sleep:
    """Poll again after this many seconds; ``reconnect``: read the connection again first."""

    seconds: float
    reconnect: bool = False


@dataclass(frozen=True)
class Done:
    """The run is in a terminal state."""

    run: Run


@dataclass(frozen=True)
class Late:
    """The deadline has passed; the run goes on."""

    run: Run | None


@dataclass(frozen=True)
class GiveUp:
    """The run cannot be read; it is left alone."""

    error: ApiError


Outcome = Sleep | Done | Late | GiveUp


@dataclass
class Poll:
    """
    One wait for one run.

    :param run_id: for messages.
    :param deadline: wall clock; aware.
    :param interval: seconds between polls.
    :param jitter: source of jitter as ``random.uniform``: pollers that start together must not stay in phase.
    :param warn: where to tell of trouble.
    """

    run_id: str
    deadline: datetime
    interval: float
    jitter: Callable[[float, float], float]
    warn: Callable[[str], None]
    _errors: int = field(default=0, init=False)
    _refused: bool = field(default=False, init=False)
    _missing_since: datetime | None = field(default=None, init=False)
    _last: Run | None = field(default=None, init=False)

    def on_run(self, run: Run, now: datetime) -> Outcome:
        """Decide after a successful read."""
        if self._errors:
            self.warn(f"Runflow run {self.run_id} can be read again.")
        if (
            run.status_code not in ACTIVE
            and not run.is_terminal
            and (self._last is None or self._last.status_code != run.status_code)
        ):
            self.warn(f"Runflow run {self.run_id} has the unknown status {run.status_code!r}; taken as not finished.")
        self._errors, self._refused, self._missing_since, self._last = 0, False, None, run
        if run.is_terminal:
            return Done(run)
        return self._again(self.interval * self.jitter(0.9, 1.1), now)

    def on_error(self, error: ApiError, now: datetime) -> Outcome:
        """Decide after a failed read."""
        self._errors += 1
        if isinstance(error, (AuthenticationError, PermissionDeniedError)):
            if self._refused:
                return GiveUp(error)
            self._refused = True
            self.warn(f"Runflow run {self.run_id} cannot be read: {error}. Reading the connection again.")
            return self._again(self.interval, now, reconnect=True)
        if isinstance(error, NotFoundError):
            self._missing_since = self._missing_since or now
            if now - self._missing_since >= NOT_FOUND_FOR:
                return GiveUp(error)
        wait = min(MAX_BACKOFF, self.interval * 2 ** min(self._errors, 6)) * self.jitter(0.5, 1.0)
        wait = max(wait, error.retry_after or 0.0)
        # Of a run that Runflow does not know nothing can be said.
        money = "" if self._missing_since else f"; {GOES_ON}"
        self.warn(f"Runflow run {self.run_id} cannot be read: {error}. {self._next(wait, now)}{money}.")
        return self._again(wait, now)

    def on_unreadable_connection(self, error: ConfigurationError, now: datetime) -> Outcome:
        """Decide when the connection itself cannot be read: a secrets backend may be down for a while."""
        self._errors += 1
        wait = min(MAX_BACKOFF, self.interval * 2 ** min(self._errors, 6))
        self.warn(f"{error} Runflow run {self.run_id}: {self._next(wait, now)}; {GOES_ON}.")
        return self._again(wait, now, reconnect=True)

    def _next(self, wait: float, now: datetime) -> str:
        until, today = self.deadline.astimezone(timezone.utc), now.astimezone(timezone.utc).date()
        told = f"{until:%H:%M} UTC" if until.date() == today else f"{until:%Y-%m-%d %H:%M} UTC"
        return f"The wait goes on until {told}, next look in {wait:.0f} s"

    def _again(self, seconds: float, now: datetime, *, reconnect: bool = False) -> Sleep | Late:
        left = (self.deadline - now).total_seconds()
        # The last look is at the deadline itself: a run that finished in time is not called late.
        return Late(self._last) if left <= 0 else Sleep(max(0.05, min(seconds, left)), reconnect)
