# SPDX-License-Identifier: Apache-2.0
"""What the campaign benchmark runs on: a real Airflow, the emulator and an S3 API, each in processes of its own."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.machine import load_average
from scripts.demo_services import LocalS3
from scripts.kill_watch import Database
from scripts.processes import Program, stop
from scripts.stack import COMPONENTS, AirflowStack, own_environment
from scripts.waiting import wait_for

DAGS = Path(__file__).with_name("dags")
BUCKET = "bench"
KEY = "rf_live_benchmark"
PARALLELISM = 8
#: Small, so that drawing them does not count: what is measured here is Airflow and the submitting.
PICTURE = [64, 64]
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Emulator:
    """The emulator, over HTTP."""

    program: Program
    url: str

    @classmethod
    def start(cls, folder: Path, time_scale: float) -> Emulator:
        """Start it; return once it answers."""
        ready = folder / "emulator.url"
        command = [sys.executable, "-m", "airflow_provider_runflow.emulator.cli", "--port", "0", "--quiet"]
        command += ["--ready-file", str(ready), "--balance", "1000000", "--time-scale", str(time_scale)]
        log = folder / "emulator.log"
        program = Program.start("emulator", command, log=log, env=own_environment(RUNFLOW_EMULATOR_API_KEY=KEY))
        url = wait_for(lambda: ready.read_text() if ready.exists() else "", seconds=30, what="the emulator answers")
        emulator = cls(program, url)
        emulator.reset()
        return emulator

    def reset(self) -> None:
        """Let it forget all runs, and draw small pictures."""
        for name, body in (("reset", {}), ("config", {"picture_size": PICTURE})):
            httpx.post(f"{self.url}/_emulator/{name}", json=body, trust_env=False, timeout=60).raise_for_status()

    def requests(self) -> dict[str, int]:
        """How many requests of which kind it has had."""
        found = httpx.get(f"{self.url}/_emulator/ledger", trust_env=False, timeout=60).raise_for_status().json()
        counts: dict[str, int] = found["requests"]
        return {**counts, "billed": found["totals"]["billed_runs"]}

    def durations(self, count: int) -> list[float]:
        """How many seconds the latest runs took, from their creation."""
        found: list[float] = []
        params: dict[str, Any] = {"limit": 500, "sort_by": "created_at:desc"}
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60) as http:
            while len(found) < count:
                page = http.get("/v1/runs", params=params).raise_for_status().json()
                found += [_seconds(row["created_at"], row["completed_at"]) for row in page["items"]]
                if not page.get("next"):
                    break
                params["pq"] = page["next"]
        return found[:count]


@dataclass
class World:
    """Everything that runs."""

    emulator: Emulator
    s3: Any
    stack: AirflowStack
    idle: float = 0.0

    def look_at_idle(self, seconds: float = 10.0) -> None:
        """Measure what this Airflow uses of a core when it has nothing to do."""
        components = [self.stack.component(name).pid for name in COMPONENTS]
        time.sleep(SETTLE_SECONDS)
        before = cpu_seconds(components)
        time.sleep(seconds)
        self.idle = round((cpu_seconds(components) - before) / seconds, 2)

    def write_requests(self, name: str, items: Sequence[Mapping[str, Any]]) -> str:
        """Put a list of items into the bucket; the address that a DAG run is given."""
        key = f"requests/{name}.jsonl"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body="".join(f"{json.dumps(item)}\n" for item in items).encode())
        return f"s3://{BUCKET}/{key}"

    def play(self, dag_id: str, conf: Mapping[str, Any], *, pictures: int, seconds: float) -> dict[str, Any]:
        """One DAG run, from its trigger to its end, and what it took."""
        api, database = self.stack.api, Database(self.stack.home / "airflow.db")
        components = [
            self.stack.component(name).pid for name in ("api-server", "scheduler", "dag-processor", "triggerer")
        ]
        before, cpu = self.emulator.requests(), cpu_seconds(components)
        emulators, began = cpu_seconds([self.emulator.program.pid]), time.monotonic()
        run_id = api.trigger(dag_id, conf=conf)
        ended = ("success", "failed")
        state = wait_for(
            lambda: found if (found := database.run_state(dag_id, run_id)) in ended else None,
            seconds=seconds,
            what=f"{dag_id} with {pictures} pictures ended",
            every=0.5,
        )
        wall = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)  # the last task process is waited for by then, and counts
        cpu, emulators = cpu_seconds(components) - cpu, cpu_seconds([self.emulator.program.pid]) - emulators
        instances = api.task_instances(dag_id, run_id)
        bad = [each for each in instances if each["state"] != "success"]
        if state != "success" or bad:
            raise RuntimeError(f"{dag_id}: {state}; {len(bad)} bad, first: {api.error_of(bad[0]) if bad else ''}")
        after = self.emulator.requests()
        requests = {name: after[name] - before[name] for name in after}
        starts = api.get("/eventLogs", dag_id=dag_id, run_id=run_id, event="running", limit=1)["total_entries"]
        return {
            "dag": dag_id,
            "pictures": pictures,
            "wall_seconds": round(wall, 1),
            "slowest_run_seconds": round(max(self.emulator.durations(requests["POST create"]), default=0.0), 1),
            "airflow_cpu_seconds": round(cpu, 1),
            "emulator_cpu_seconds": round(emulators, 1),
            "load_average": load_average(),
            "task_instances": len(instances),
            "task_executions": starts,
            "requests": requests,
            "instances": instances,
        }


def _seconds(begin: str, end: str) -> float:
    first, last = (datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (begin, end))
    return (last - first).total_seconds()


def cpu_seconds(roots: Iterable[int]) -> float:
    """What programs and all their descendants have used; one that has ended is in its parent's account."""
    total = 0.0
    for pid in roots:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # own user and system, then those of ended children
    return total


def s3_client(aws: Mapping[str, Any]) -> Any:
    """boto3's client for an Airflow connection."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        aws_access_key_id=aws["login"],
        aws_secret_access_key=aws["password"],
        endpoint_url=aws["extra"]["endpoint_url"],
        region_name=aws["extra"]["region_name"],
        config=Config(**aws["extra"]["config_kwargs"]),
    )


@contextlib.contextmanager
def started(folder: Path, *, mapped: Sequence[int], time_scale: float) -> Iterator[World]:
    """All of it, for as long as the block lasts."""
    programs: list[Program] = []
    (folder / "s3" / BUCKET).mkdir(parents=True)
    try:
        emulator = Emulator.start(folder, time_scale)
        programs.append(emulator.program)
        s3 = LocalS3.start(folder / "s3", folder / "s3.log")
        programs.append(s3.program)
        aws = s3.connection(s3.wait())
        runflow = {"conn_type": "runflow", "host": emulator.url, "password": KEY}
        env = {
            "AIRFLOW_CONN_AWS_DEFAULT": aws,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": json.dumps(runflow),
            "AIRFLOW__TRIGGERER__CAPACITY": "2000",
            "BENCH_MAPPED": json.dumps(list(mapped)),
        }
        with AirflowStack(folder / "airflow", {"bench": DAGS}, env=env, parallelism=PARALLELISM) as stack:
            stack.api.wait_for_dags(["batch", *(f"mapped_{size}" for size in mapped)])
            yield World(emulator, s3_client(json.loads(aws)), stack)
    finally:
        stop(programs, grace=5)
