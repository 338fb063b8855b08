# SPDX-License-Identifier: Apache-2.0
"""
The poll decision, without I/O: the sync loop and the watcher differ only in how they sleep.

A wait ends because the run ended or the deadline passed. Network errors, 429, 5xx and malformed answers never end it;
only credentials that stay refused after the connection was read again do, and a run that Runflow keeps denying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client.wire import ACTIVE, TERMINAL, Run
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
THEY_GO_ON = "the runs themselves go on, and those that succeed are billed"


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
class Over:
    """All runs of a group are in a terminal state."""


@dataclass(frozen=True)
class Late:
    """The deadline has passed; the run goes on."""

    run: Run | None = None


@dataclass(frozen=True)
class GiveUp:
    """The run cannot be read; it is left alone. ``run_id``: which one, where it is one of several."""

    error: ApiError
    run_id: str | None = None


Outcome = Sleep | Done | Late | GiveUp


class Patience:
    """
    What failed reads do to a wait, be it for one run or for many.

    :param what: what is waited for, for messages.
    :param deadline: wall clock; aware.
    :param interval: seconds between polls.
    :param jitter: source of jitter as ``random.uniform``: pollers that start together must not stay in phase.
    :param warn: where to tell of trouble.
    :param goes_on: what becomes of it meanwhile, for messages.
    """

    def __init__(
        self,
        what: str,
        deadline: datetime,
        interval: float,
        jitter: Callable[[float, float], float],
        warn: Callable[[str], None],
        goes_on: str = GOES_ON,
    ) -> None:
        self.what = what
        self.deadline = deadline
        self.interval = interval
        self.jitter = jitter
        self.warn = warn
        self._goes_on = goes_on
        self._errors = 0
        self._refused = False
        self._odd: set[str] = set()

    def on_answer(self) -> None:
        """Note that it was read."""
        if self._errors:
            self.warn(f"{self.what} can be read again.")
        self._errors, self._refused = 0, False

    def on_status(self, run_id: str, status: str) -> None:
        """Tell of a status that nobody knows, once."""
        if status in ACTIVE or status in TERMINAL or status in self._odd:
            return
        self._odd.add(status)
        self.warn(f"Runflow run {run_id} has the unknown status {status!r}; taken as not finished.")

    def on_refusal(self, error: ApiError, now: datetime) -> Sleep | Late | GiveUp:
        """Decide when the credentials were refused: the connection is read again once."""
        self._errors += 1
        if self._refused:
            return GiveUp(error)
        self._refused = True
        self.warn(f"{self.what} cannot be read: {error}. Reading the connection again.")
        return self.again(self.interval, now, reconnect=True)

    def on_trouble(
        self, error: ApiError, now: datetime, *, wait: float | None = None, certain: bool = True
    ) -> Sleep | Late:
        """
        Decide when a read failed in a way that passes.

        :param wait: seconds until the next look, where somebody else decides on that.
        :param certain: whether there is such a run; of one that Runflow does not know nothing can be said.
        """
        self._errors += 1
        if wait is None:
            wait = backoff(self.interval, self._errors, self.jitter, error)
        money = f"; {self._goes_on}" if certain else ""
        self.warn(f"{self.what} cannot be read: {error}. {self._next(wait, now)}{money}.")
        return self.again(wait, now)

    def on_unreadable_connection(self, error: ConfigurationError, now: datetime) -> Sleep | Late:
        """Decide when the connection itself cannot be read: a secrets backend may be down for a while."""
        self._errors += 1
        wait = min(MAX_BACKOFF, self.interval * 2 ** min(self._errors, 6))
        self.warn(f"{error} {self.what}: {self._next(wait, now)}; {self._goes_on}.")
        return self.again(wait, now, reconnect=True)

    def again(self, seconds: float, now: datetime, *, reconnect: bool = False) -> Sleep | Late:
        """Look again after so many seconds; the last look is at the deadline: what finished in time is not late."""
        left = (self.deadline - now).total_seconds()
        return Late() if left <= 0 else Sleep(max(0.05, min(seconds, left)), reconnect)

    def _next(self, wait: float, now: datetime) -> str:
        until, today = self.deadline.astimezone(timezone.utc), now.astimezone(timezone.utc).date()
        told = f"{until:%H:%M} UTC" if until.date() == today else f"{until:%Y-%m-%d %H:%M} UTC"
        return f"The wait goes on until {told}, next look in {wait:.0f} s"


class Poll(Patience):
    """
    One wait for one run.

    :param run_id: the run; the other parameters are those of :class:`Patience`.
    """

    def __init__(
        self,
        run_id: str,
        deadline: datetime,
        interval: float,
        jitter: Callable[[float, float], float],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(f"Runflow run {run_id}", deadline, interval, jitter, warn)
        self.run_id = run_id
        self._missing_since: datetime | None = None
        self._last: Run | None = None

    def on_run(self, run: Run, now: datetime) -> Outcome:
        """Decide after a successful read."""
        self.on_answer()
        self.on_status(run.id, run.status_code)
        self._missing_since, self._last = None, run
        if run.is_terminal:
            return Done(run)
        return self.again(self.interval * self.jitter(0.9, 1.1), now)

    def on_error(self, error: ApiError, now: datetime) -> Outcome:
        """Decide after a failed read."""
        if isinstance(error, (AuthenticationError, PermissionDeniedError)):
            return self.on_refusal(error, now)
        if isinstance(error, NotFoundError):
            self._missing_since = self._missing_since or now
            if now - self._missing_since >= NOT_FOUND_FOR:
                return GiveUp(error)
        return self.on_trouble(error, now, certain=self._missing_since is None)

    def again(self, seconds: float, now: datetime, *, reconnect: bool = False) -> Sleep | Late:
        """Look again, or say how the run was last seen."""
        outcome = super().again(seconds, now, reconnect=reconnect)
        return Late(self._last) if isinstance(outcome, Late) else outcome


def backoff(
    interval: float, errors: int, jitter: Callable[[float, float], float], error: ApiError | None = None
) -> float:
    """Seconds to wait after so many failures in a row, and never less than the server asked for."""
    wait: float = min(MAX_BACKOFF, interval * 2 ** min(errors, 6)) * jitter(0.5, 1.0)
    return max(wait, (error.retry_after if error else None) or 0.0)
