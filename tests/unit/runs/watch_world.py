# SPDX-License-Identifier: Apache-2.0
"""A Runflow with many runs, and tasks that wait for them with one watcher: without Airflow, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.emulator import Emulator, Request, VirtualClock, emulator_transport
from airflow_provider_runflow.emulator.runs import Run
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.polling import Sleep
from airflow_provider_runflow.runs.waiter import Ended, Waiter
from airflow_provider_runflow.runs.watcher import Watcher, Watchers, in_this_context

KEY = "rf_live_watch_world"
INTERVAL = 5.0


class Lines:
    """A log of one's own."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, msg: Any, /, *args: Any) -> None:
        self.lines.append(str(msg) % args if args else str(msg))

    info = warning = error = __call__

    def __contains__(self, part: str) -> bool:
        return any(part in line for line in self.lines)


class Numbers:
    """Metrics as they came in."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}

    def incr(self, name: str, count: int = 1) -> None:
        self.counts[name] += count

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value

    def timing(self, name: str, seconds: float) -> None:
        self.counts[name] += 1


@dataclass
class Task:
    """A task that waits, as a trigger does: it reads the connection again when it is told to."""

    world: WatchWorld
    waiter: Waiter
    log: Lines
    ended: Ended | None = None
    ended_at: datetime | None = None

    async def run(self) -> Ended:
        world = self.world
        while True:
            outcome = await world.watchers.wait(world.account().access, self.waiter, world.make)
            if not isinstance(outcome, Sleep):
                self.ended, self.ended_at = outcome, world.clock.now()
                return outcome
            await world.clock.asleep(outcome.seconds)


@dataclass
class WatchWorld:
    """Everything around a watcher."""

    emulator: Emulator = field(default_factory=lambda: Emulator(picture_size=(16, 16), balance="1000000"))
    clock: VirtualClock = field(default_factory=VirtualClock)
    watchers: Watchers = field(default_factory=Watchers)
    log: Lines = field(default_factory=Lines)
    metrics: Numbers = field(default_factory=Numbers)
    key: str = KEY
    made: list[Watcher] = field(default_factory=list)
    transport: Any = None
    uniform: Callable[[float, float], float] = field(default_factory=lambda: Random(1).uniform)

    def __post_init__(self) -> None:
        self.transport = emulator_transport(self.emulator, self.clock)
        self._pattern: Run | None = None

    # ------------------------------------------------------------------ Runflow

    def buy(self, *refs: str | None, takes: float = 20.0, age: float = 0.0) -> list[str]:
        """Have one run for each reference, created `age` seconds ago, that takes so many seconds; give their ids."""
        state, pattern = self.emulator.state, self._bought()
        created = self.clock.now() - timedelta(seconds=age)
        ids = []
        for ref in refs:
            number = len(state.runs) + 1
            run_id = state.new_run_id(number, created)
            line = replace(
                pattern.timeline,
                created_at=created,
                dispatching_at=created,
                started_at=created,
                ended_at=created + timedelta(seconds=takes),
            )
            state.runs[run_id] = replace(pattern, id=run_id, number=number, client_ref=ref, timeline=line)
            ids.append(run_id)
        return ids

    def _bought(self) -> Run:
        if self._pattern is None:
            body = json.dumps({"input": {"prompt": "a cat", "quality": "low"}}).encode()
            path = "/v1/models/openai/gpt-image-2/runs"
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            self.emulator.handle(Request("POST", path, headers=headers, body=body), self.clock.now())
            (self._pattern,) = self.emulator.state.runs.values()
        return self._pattern

    @property
    def calls(self) -> int:
        """GETs and list pages so far."""
        requests = self.emulator.state.requests
        return requests["GET run"] + requests["GET list"]

    def rounds(self) -> Counter[datetime]:
        """How many calls came at which moment."""
        return Counter(request.at for request in self.emulator.request_log if request.method == "GET")

    def routes(self) -> Counter[str]:
        return Counter(request.route for request in self.emulator.request_log if request.method == "GET")

    # ------------------------------------------------------------------ the triggerer

    def account(self) -> Account:
        return Account("http://runflow.test", self.key)

    def make(self, on_close: Callable[[Watcher], None]) -> Watcher:
        reader = AsyncRunflowClient(self.account(), transport=self.transport, sleep=self.clock.asleep)
        watcher = Watcher(
            reader,
            name="runflow.test",
            clock=self.clock,
            uniform=self.uniform,
            log=self.log,
            metrics=self.metrics,
            on_close=on_close,
        )
        self.made.append(watcher)
        return watcher

    def task(self, *run_ids: str, seconds: float = 3600.0, interval: float = INTERVAL, **group: Any) -> Task:
        """A task that waits for a group, at most so many seconds."""
        log = Lines()
        waiter = Waiter(
            Group(run_ids=run_ids, **group),
            deadline=self.clock.now() + timedelta(seconds=seconds),
            interval=interval,
            jitter=self.uniform,
            warn=in_this_context(log),
        )
        return Task(self, waiter, log)

    def finish(self, *tasks: Task) -> list[Ended]:
        """Let them wait until the last one is over, in an event loop of their own."""

        async def all_of_them() -> list[Ended]:
            return list(await asyncio.gather(*(task.run() for task in tasks)))

        return asyncio.run(asyncio.wait_for(all_of_them(), 60))


class Tampered(httpx.AsyncBaseTransport):
    """The way to the emulator, with a look at each request before it is sent."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, before: Callable[[httpx.Request], httpx.Response | None]
    ) -> None:
        self._inner = inner
        self._before = before

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._before(request)
        return answer if answer is not None else await self._inner.handle_async_request(request)
