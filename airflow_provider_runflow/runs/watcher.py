# SPDX-License-Identifier: Apache-2.0
"""
The watcher: one for each event loop and account, however many tasks wait there.

It looks at the runs of all of them in rounds: never more often than the smallest interval that anybody asked for
(:mod:`.pace` says when a round may be later), with as few calls as possible (:mod:`.round`), and keeps quiet for all at
once when Runflow asks for that. It lives while somebody waits.

It counts ``runflow.watcher.polls`` (API calls), ``.rounds``, ``.troubles`` (rounds that failed as a whole) and
``.restarts`` (bugs), tells how many wait (``.waiting``) and how long a round took (``.round``).

Nothing that happens to it ends or hangs a wait: whoever waits is told to read the connection again and to come back,
and the first who does so starts the next watcher.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.metrics import NO_METRICS, Metrics
from airflow_provider_runflow.exceptions import ApiError, AuthenticationError, RateLimitedError
from airflow_provider_runflow.runs.polling import Sleep, backoff
from airflow_provider_runflow.runs.roster import Roster
from airflow_provider_runflow.runs.round import AccountTrouble, Memory, Reader, Round
from airflow_provider_runflow.runs.waiter import Ended, Waiter

# Runs that are read by their ids, a second on average: where no list helps, looks at many runs come less often.
GETS_PER_SECOND = 50
FEWEST_GETS = 20
# Rounds are up to so many intervals apart: watchers that started together must not stay in phase.
MOST_SPREAD = 1.1
# Between two looks at the clock, which somebody may have set.
LONGEST_SLEEP = 60.0

Result = TypeVar("Result")


class Watcher:
    """
    Looks after the runs of everybody who waits with one account in one event loop.

    :param reader: the account's client; closed when nobody waits any more.
    :param name: of the account, for messages.
    :param clock: time, and how to wait.
    :param uniform: source of jitter.
    :param log: the watcher's own log; what concerns one wait goes to that wait's own.
    :param on_close: called when it takes nobody any more.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        name: str,
        clock: Clock,
        uniform: Callable[[float, float], float],
        log: Log,
        metrics: Metrics = NO_METRICS,
        on_close: Callable[[Watcher], None] = lambda watcher: None,
    ) -> None:
        self.name = name
        self._reader = reader
        self._clock = clock
        self._uniform = uniform
        self._log = log
        self._metrics = metrics
        self._on_close = on_close
        self._roster = Roster()
        self._futures: dict[Waiter, asyncio.Future[Ended]] = {}
        self._memory = Memory()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._sleeps_until: datetime | None = None
        self._last: datetime | None = None
        self._spread = 1.0
        self._quiet_until: datetime | None = None
        self._silent_until: datetime | None = None
        self._errors = 0
        self._told = (-1, -1)
        self.is_closed = False

    # ------------------------------------------------------------------ coming and going

    async def wait(self, waiter: Waiter) -> Ended:
        """
        Wait until the runs of a waiter have ended, it is late, or nothing more can be known here.

        Cancelling this leaves nothing behind.
        """
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._add(waiter, future)
        try:
            return await future
        finally:
            self._remove(waiter)

    def _add(self, waiter: Waiter, future: asyncio.Future[Ended]) -> None:
        waiter.on_start(self._clock.now())
        self._futures[waiter] = future
        self._roster.add(waiter)
        if self._task is None:
            # In a context of its own: in that of the first waiter its log lines would be that task's.
            self._task = contextvars.Context().run(asyncio.ensure_future, self._live())
            self._task.add_done_callback(self._on_end)
        elif self._sleeps_until and self._wakes_at(waiter, waiter.interval) < self._sleeps_until:
            self._wake.set()

    def _remove(self, waiter: Waiter) -> None:
        if self._futures.pop(waiter, None) is None:
            return
        self._roster.remove(waiter)
        client_ref = waiter.group.client_ref
        if client_ref is not None and client_ref not in self._roster.by_ref:
            self._memory.survey.forget_ref(client_ref)
        if not self._futures:
            self._close()

    def _end(self, waiter: Waiter, outcome: Ended | BaseException) -> None:
        future = self._futures.get(waiter)
        self._remove(waiter)
        if future is None or future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._on_close(self)
            self._wake.set()

    # ------------------------------------------------------------------ living

    async def _live(self) -> None:
        try:
            while await self._pause():
                await self._look()
        except asyncio.CancelledError:
            self._send_everybody_back("was stopped")
            raise
        except Exception as bug:
            self._metrics.incr("runflow.watcher.restarts")
            self._log.error("The Runflow watcher of %s failed: %s: %s", self.name, type(bug).__name__, bug)
            self._send_everybody_back(f"failed unexpectedly ({type(bug).__name__}: {bug})")
        except BaseException as end:
            # The process is about to end, and so is everybody in it.
            for waiter in list(self._futures):
                self._end(waiter, end)
        finally:
            self._close()
            await self._reader.aclose()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Make sure that nobody is left, even if it was stopped before it began."""
        self._close()
        self._send_everybody_back("was stopped")

    async def _pause(self) -> bool:
        """Wait until the next round; say whether anybody still waits."""
        # Whoever comes in the same moment is looked after in the same round; and nothing here can hold the event loop.
        await asyncio.sleep(0)
        while self._futures:
            now, interval = self._clock.now(), self._smallest_interval()
            if self._last is not None and now < self._last:
                self._on_clock_set_back(now)
            until = min(self._wakes_at(waiter, interval) for waiter in self._futures)
            if until <= now:
                return True
            self._sleeps_until = until
            self._wake.clear()
            try:
                seconds = min(LONGEST_SLEEP, (until - now).total_seconds())
                await _first(self._clock.asleep(seconds), self._wake.wait())
            finally:
                self._sleeps_until = None
        return False

    def _on_clock_set_back(self, now: datetime) -> None:
        """Begin anew: what is to come is known by a clock that has been set back."""
        self._last = self._quiet_until = self._silent_until = None
        for waiter in self._futures:
            waiter.on_start(now)

    def _smallest_interval(self) -> float:
        return min(waiter.interval for waiter in self._futures)

    def _next_round(self, interval: float) -> datetime | None:
        """When the next round may begin; ``None``: at any time."""
        if self._last is None:
            return None
        regular = self._last + timedelta(seconds=interval * self._spread)
        return max(regular, self._quiet_until) if self._quiet_until else regular

    def _wakes_at(self, waiter: Waiter, interval: float) -> datetime:
        """When a round for this one begins, if the smallest interval is this; the look at its deadline is on time."""
        due, next_round = waiter.due or self._clock.now(), self._next_round(interval)
        return min(waiter.deadline, max(due, next_round) if next_round else due)

    async def _look(self) -> None:
        """One round, and what follows from it."""
        now, interval = self._clock.now(), self._smallest_interval()
        next_round = self._next_round(interval)
        regular = next_round is None or now >= next_round
        # Whoever could not wait for the round after this one takes part in it.
        horizon = now + timedelta(seconds=interval * MOST_SPREAD)
        due = [
            waiter
            for waiter in self._futures
            if now >= waiter.deadline or (regular and (waiter.due is None or waiter.due < horizon))
        ]
        if self._silent_until and now < self._silent_until:
            self._judge(now)
        else:
            await self._round(due, now, interval, regular=regular)

    async def _round(self, due: list[Waiter], now: datetime, interval: float, *, regular: bool) -> None:
        passed = interval if self._last is None else min(60.0, (now - self._last).total_seconds())
        gets = max(FEWEST_GETS, int(GETS_PER_SECOND * passed))
        memory, log = self._memory, self._log
        round_ = Round(self._reader, self._roster, memory, now=now, interval=interval, gets=gets, log=log)
        trouble: ApiError | None = None
        try:
            await round_.run(due)
        except AccountTrouble as abort:
            trouble = abort.error
        if regular or trouble:
            self._last, self._spread = now, self._uniform(1.0, MOST_SPREAD)
        self._quiet(trouble, now, interval)
        self._tell(round_, now, trouble)
        complete = {waiter for waiter in due if round_.complete(waiter)}
        # By the time at which it began: whose deadline passed meanwhile still gets a look of its own.
        self._judge(now)
        self._follow_up(round_, [waiter for waiter in due if waiter in self._futures], complete, trouble)

    def _quiet(self, trouble: ApiError | None, now: datetime, interval: float) -> None:
        """After trouble that concerns everybody, everybody keeps quiet for a while."""
        if trouble is None:
            self._errors, self._quiet_until, self._silent_until = 0, None, None
            return
        self._errors += 1
        self._quiet_until = now + timedelta(seconds=backoff(interval, self._errors, self._uniform, trouble))
        # Asked to keep quiet, it does so even where a deadline passes: the worker looks once more.
        self._silent_until = self._quiet_until if isinstance(trouble, RateLimitedError) else None

    # ------------------------------------------------------------------ what follows

    def _follow_up(self, round_: Round, due: list[Waiter], complete: set[Waiter], trouble: ApiError | None) -> None:
        """Tell each wait what the round brought for it."""
        now = self._clock.now()
        if isinstance(trouble, AuthenticationError):
            for waiter in list(self._futures):
                self._end(waiter, waiter.on_refusal(trouble, now))
            return
        pause = max(0.0, (self._quiet_until - now).total_seconds()) if self._quiet_until else 0.0
        for waiter in due:
            if waiter in round_.refused:
                self._end(waiter, waiter.on_refusal(round_.refused[waiter], now))
            elif waiter in complete:
                waiter.on_round(round_.now, self._memory.durations)
            elif trouble is not None:
                self._put_off(waiter, waiter.on_trouble(trouble, now, wait=pause), now)
            elif waiter in round_.failed:
                self._put_off(waiter, waiter.on_trouble(round_.failed[waiter], now), now)

    def _put_off(self, waiter: Waiter, outcome: Ended, now: datetime) -> None:
        if isinstance(outcome, Sleep):
            waiter.due = now + timedelta(seconds=outcome.seconds)

    def _judge(self, now: datetime) -> None:
        """End the waits that are over."""
        for waiter in list(self._futures):
            outcome = waiter.judge(now)
            if outcome is not None:
                self._end(waiter, outcome)

    def _send_everybody_back(self, why: str) -> None:
        now = self._clock.now()
        for waiter in list(self._futures):
            waiter.warn(f"{waiter.what}: the watcher {why}. The wait goes on with another one.")
            self._end(waiter, waiter.again(waiter.interval, now, reconnect=True))

    # ------------------------------------------------------------------ telling

    def _tell(self, round_: Round, now: datetime, trouble: ApiError | None) -> None:
        """Count; and say in a line how it looks, whenever that changes."""
        metrics, waiting = self._metrics, len(self._futures)
        metrics.incr("runflow.watcher.rounds")
        metrics.incr("runflow.watcher.polls", round_.lists + round_.gets)
        metrics.timing("runflow.watcher.round", (self._clock.now() - now).total_seconds())
        metrics.gauge("runflow.watcher.waiting", waiting)
        if trouble is not None:
            metrics.incr("runflow.watcher.troubles")
            pause = (self._quiet_until - now).total_seconds() if self._quiet_until else 0.0
            told = "Runflow at %s cannot be read: %s. Tasks that wait: %d; next look in %.0f s."
            self._log.warning(told, self.name, trouble, waiting, pause)
            self._told = (-1, -1)
            return
        ways = min(1, round_.lists), min(1, round_.gets - round_.checks)
        if round_.size > 1 and ways not in ((0, 0), self._told):
            self._told = ways
            told = "Watching Runflow at %s for %d task(s): a look at %d run(s) takes %d list page(s) and %d GET(s)."
            self._log.info(told, self.name, waiting, round_.size, round_.lists, round_.gets)


class Watchers:
    """The watchers of a process: one for each event loop and account."""

    def __init__(self) -> None:
        self._known: dict[tuple[asyncio.AbstractEventLoop, str], Watcher] = {}

    async def wait(self, access: str, waiter: Waiter, make: Callable[[Callable[[Watcher], None]], Watcher]) -> Ended:
        """
        Wait with the watcher of an account, which is made when there is none.

        :param access: tells accounts apart; see :attr:`Account.access`.
        :param make: makes a watcher, given what is to be called when it closes.
        """
        for left in [place for place in list(self._known) if place[0].is_closed()]:
            self._known.pop(left, None)
        place = asyncio.get_running_loop(), access
        watcher = self._known.get(place)
        if watcher is None:
            watcher = self._known[place] = make(lambda closed: self._forget(place, closed))
        return await watcher.wait(waiter)

    def _forget(self, place: tuple[asyncio.AbstractEventLoop, str], watcher: Watcher) -> None:
        if self._known.get(place) is watcher:
            del self._known[place]

    def __len__(self) -> int:
        return len(self._known)


def in_this_context(call: Callable[..., Result]) -> Callable[..., Result]:
    """Make a function that runs in the context of now, wherever it is called: a log line then finds its task."""
    context = contextvars.copy_context()
    return lambda *args: context.run(call, *args)


async def _first(*awaitables: Any) -> None:
    """Wait for whichever comes first, and leave nothing of the others."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
