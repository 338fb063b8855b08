# SPDX-License-Identifier: Apache-2.0
"""
One reading of the landing benchmark, in a process of its own.

    python -m benchmarks.land_ways WAY COUNT SOURCE_URL DESTINATION

`ours` is what a batch task does once its runs have ended. `serial` and `pool` are what people write: `requests`, then
`S3Hook.load_bytes`, which is how HttpToS3Operator stores an answer. They know no hash, no check, no sidecar.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from benchmarks.source import picture_path

AT_ONCE = 16
#: Numbers from here on warm a process up: clients, connections, code.
WARM_UP = 90_000

Land = Callable[[range], None]


@contextlib.contextmanager
def ours(source: str, destination: str) -> Iterator[Land]:
    """The landing engine, put together as the batch operators do."""
    from decimal import Decimal

    from airflow_provider_runflow.client.wire import Run
    from airflow_provider_runflow.hooks.runflow import RunflowHook
    from airflow_provider_runflow.landing.names import DEFAULT_PATTERN
    from airflow_provider_runflow.operators.delivery import Delivery, LandingPlace
    from airflow_provider_runflow.operators.progress import ItemLog
    from airflow_provider_runflow.runs.crew import Slots, do_each
    from airflow_provider_runflow.runs.identity import Request, TaskIdentity, make_scope

    log, task = logging.getLogger("bench"), TaskIdentity("bench", "land", "manual")
    place = LandingPlace(destination, "beside", {"aws_conn_id": "aws_default"}, RunflowHook(), log)
    place.store.check()

    def land_one(number: int) -> None:
        scope = make_scope("dag_run", namespace="", task=task, item_key=f"item-{number}")
        request = Request("openai/gpt-image-2", {"prompt": f"a mug, number {number}", "quality": "low"})
        labels, item_log = {"number": str(number)}, ItemLog(log, scope.item_key)
        delivery = Delivery(place, DEFAULT_PATTERN, False, scope, labels=labels, log=item_log)
        output = {"outputs": [{"url": source + picture_path(number)}]}
        run = Run(id=f"run-{number:05}", status_code="succeeded", cost=Decimal("0.009"), output=output)
        place.land_job(delivery.job(request), run, item_log)

    with place.open_client() as place.client:
        yield lambda numbers: do_each(land_one, numbers, slots=Slots(AT_ONCE))


@contextlib.contextmanager
def serial(source: str, destination: str) -> Iterator[Land]:
    """One after the other."""
    copy = _rival(source, destination)

    def land(numbers: range) -> None:
        for number in numbers:
            copy(number)

    yield land


@contextlib.contextmanager
def pool(source: str, destination: str) -> Iterator[Land]:
    """The same in as many threads as ours."""
    copy = _rival(source, destination)
    with ThreadPoolExecutor(AT_ONCE) as threads:

        def land(numbers: range) -> None:
            for _ in threads.map(copy, numbers):
                pass

        yield land


def _rival(source: str, destination: str) -> Callable[[int], None]:
    import requests
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook, own = S3Hook(aws_conn_id="aws_default"), threading.local()
    bucket, _, prefix = destination.removeprefix("s3://").partition("/")
    hook.get_conn()  # made once, which is not safe from several threads

    def copy(number: int) -> None:
        # A session a thread: they keep their connections, as ours do.
        session: requests.Session = own.__dict__.setdefault("session", requests.Session())
        answer = session.get(source + picture_path(number), timeout=60)
        answer.raise_for_status()
        hook.load_bytes(answer.content, f"{prefix}/{number}.png", bucket)

    return copy


WAYS = {"ours": ours, "serial": serial, "pool": pool}


def read(way: str, count: int, source: str, destination: str) -> dict[str, Any]:
    """Land so many pictures, and say what that took."""
    process = psutil.Process()
    with WAYS[way](source, destination) as land:
        land(range(WARM_UP, WARM_UP + AT_ONCE))
        _forget_the_peak()
        before, cpu, began = process.memory_info().rss, time.process_time(), time.perf_counter()
        land(range(count))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        grown = max(0, _peak() - before)
    return {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "rss_growth_mb": round(grown / 1e6, 1)}


def _forget_the_peak() -> None:
    """Let the kernel count the peak from here on (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


def main() -> int:
    """Print one reading as JSON."""
    way, count, source, destination = sys.argv[1:]
    print(json.dumps(read(way, int(count), source, destination)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
