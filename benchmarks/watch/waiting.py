# SPDX-License-Identifier: Apache-2.0
"""The process that waits, alone: `python -m benchmarks.watch.waiting SCENE PORT` prints what it cost, as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

import httpx

import tests.conftest  # noqa: F401 - before Airflow: a home of its own
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.hooks.settings import Settings, read_connection
from airflow_provider_runflow.runs.waiter import Waiter
from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger
from benchmarks.watch.scene import REF, Scene

Noticed = dict[str, float]
# Seconds after the end of the last run.
GRACE = 60.0
TERMINAL = {"succeeded", "partial_succeeded", "failed", "cancelled", "canceled"}


def main(arguments: list[str]) -> None:
    """Wait for a scene's runs, and print the bill."""
    scene, port = Scene(**json.loads(arguments[0])), int(arguments[1])
    base = f"http://127.0.0.1:{port}"
    logging.disable(logging.WARNING)
    _connect(base)
    begun = json.loads(_read(f"{base}/begin"))
    ends: dict[str, float] = begun["ends"]
    memory = _resident()
    time.sleep(max(0.0, begun["start"] - time.time()))
    cpu, wall = time.process_time(), time.perf_counter()
    noticed: Noticed = {}
    events: list[float] = []
    peak, longest = asyncio.run(_measured(WAYS[scene.way](scene, base, ends, noticed, events)))
    used, passed = time.process_time() - cpu, time.perf_counter() - wall
    seen = _late(noticed[run_id] - ends[run_id] for run_id in ends if run_id in noticed)
    # A group is one event, for the last of its runs.
    events_late = _late([max(events) - max(ends.values())]) if scene.grouped else seen
    calls = json.loads(_read(f"{base}/calls"))
    bill = {
        "events": len(events),
        "unfinished": len(ends) - len(noticed),
        "completion_to_event_s": events_late,
        "completion_to_noticed_s": seen,
        "calls": sum(calls.values()),
        "calls_by_kind": calls,
        "calls_per_round": round(sum(calls.values()) / max(1.0, passed / scene.interval), 1),
        "cpu_s": round(used, 3),
        "cpu_of_one_core": round(used / passed, 4),
        "rss_growth_mb": round(max(0.0, peak - memory), 1),
        "loop_held_longest_s": round(longest, 3),
        "wall_s": round(passed, 1),
    }
    print(json.dumps(bill))


def _late(seconds: Iterable[float]) -> dict[str, float | None]:
    found = sorted(seconds)
    if not found:
        return {"p50": None, "p95": None}
    return {"p50": round(statistics.median(found), 3), "p95": round(found[int(len(found) * 0.95)], 3)}


def _connect(base: str) -> None:
    """Hand over the connection: there is no Airflow here that could be asked for it."""

    async def settings(self: RunflowHook) -> Settings:
        facts = {"conn_id": "runflow_default", "conn_type": "runflow", "host": base, "password": "rf_live_bench"}
        return read_connection(SimpleNamespace(**facts, schema=None, login=None, port=None, extra=None), {})

    RunflowHook._read_settings = settings  # type: ignore[method-assign]


async def _measured(work: Awaitable[None]) -> tuple[float, float]:
    """
    Do it; give the peak of the resident memory, and how long the event loop was held at most.

    Held by ourselves: that the machine had no core for us is not our doing.
    """
    peak, longest = 0.0, 0.0

    async def look() -> None:
        nonlocal peak, longest
        while True:
            peak, before, used = max(peak, _resident()), time.perf_counter(), time.process_time()
            await asyncio.sleep(0.1)
            held = time.perf_counter() - before - 0.1
            longest = max(longest, min(held, time.process_time() - used))

    watching = asyncio.ensure_future(look())
    try:
        await work
    finally:
        watching.cancel()
    return peak, longest


async def _watcher(scene: Scene, base: str, ends: dict[str, float], noticed: Noticed, events: list[float]) -> None:
    """This package: real triggers, as the triggerer runs them."""
    deadline = time.time() + scene.seconds + 600
    real = Waiter.on_row

    def on_row(self: Waiter, row: Any, now: Any) -> Any:
        if scene.grouped and row.status_code in TERMINAL and row.id not in noticed:
            noticed[row.id] = time.time()
        return real(self, row, now)

    Waiter.on_row = on_row  # type: ignore[method-assign]

    async def fire(trigger: RunCompletionTrigger, run_id: str | None) -> None:
        async for event in trigger.run():
            if event.payload["status"] != "finished":
                raise RuntimeError(f"not finished: {event.payload}")
            events.append(time.time())
            if run_id is not None:
                noticed[run_id] = time.time()

    facts: dict[str, Any] = {"runflow_conn_id": "runflow_default", "poll_interval": scene.interval}
    if scene.grouped:
        since = time.time() - 60
        group = RunCompletionTrigger("", deadline=deadline, client_ref=REF, count=scene.runs, since=since, **facts)
        await fire(group, None)
    else:
        await asyncio.gather(*(fire(RunCompletionTrigger(run, deadline=deadline, **facts), run) for run in ends))


async def _own_client(scene: Scene, base: str, ends: dict[str, float], noticed: Noticed, events: list[float]) -> None:
    """A trigger for each run with a client of its own: what the surveyed providers do."""

    async def wait(run_id: str) -> None:
        async with httpx.AsyncClient(base_url=base) as client:
            await _poll(client, run_id, scene.interval)
        noticed[run_id] = time.time()
        events.append(noticed[run_id])

    await _all(map(wait, ends), scene)


async def _shared_client(
    scene: Scene, base: str, ends: dict[str, float], noticed: Noticed, events: list[float]
) -> None:
    """A trigger for each run, and one client for all of them."""
    async with httpx.AsyncClient(base_url=base, timeout=30.0) as client:

        async def wait(run_id: str) -> None:
            await _poll(client, run_id, scene.interval)
            noticed[run_id] = time.time()
            events.append(noticed[run_id])

        await _all(map(wait, ends), scene)


async def _all(waits: Iterable[Coroutine[Any, Any, None]], scene: Scene) -> None:
    """Let them wait; those that are not through long after the last run has ended are left out, and counted."""
    _, unfinished = await asyncio.wait([asyncio.ensure_future(wait) for wait in waits], timeout=scene.seconds + GRACE)
    for each in unfinished:
        each.cancel()
    await asyncio.gather(*unfinished, return_exceptions=True)


async def _poll(client: httpx.AsyncClient, run_id: str, interval: float) -> None:
    headers = {"Authorization": "Bearer rf_live_bench"}
    while True:
        try:
            response = await client.get(f"/v1/runs/{run_id}", headers=headers)
            if response.json()["status_code"] in TERMINAL:
                return
        except httpx.TimeoutException:
            pass
        await asyncio.sleep(interval)


WAYS: dict[str, Callable[..., Awaitable[None]]] = {
    "watcher": _watcher,
    "own client": _own_client,
    "shared client": _shared_client,
}


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
        return bytes(answer.read())


if __name__ == "__main__":
    main(sys.argv[1:])
