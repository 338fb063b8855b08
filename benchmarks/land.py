# SPDX-License-Identifier: Apache-2.0
"""
`make bench-land`: pictures of 1.5 MB from HTTP into an S3 API, against what people write themselves.

The source and the bucket (`benchmarks/source.py`, `benchmarks/sink.py`) are processes of their own, made to take little
of the CPU that the landing needs; so is each reading, and the ways take turns. Two networks: `loopback`, where nothing
is waited for and two cores are the only limit, and `bucket`, where each request is answered 50 ms late. (AWS tells its
customers to expect 100-200 ms of S3 for small objects.)

Ours does more than its rivals: it hashes, looks at each picture, has S3 check the hash, and writes a sidecar, which is
a second object. CPU time is that of the landing process alone.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.land_ways import AT_ONCE, WARM_UP
from benchmarks.machine import clean_environment, hand_out, interleaved, is_full, load_average, machine, say
from benchmarks.source import Pictures
from scripts.processes import Program, stop
from scripts.waiting import wait_for

WAYS = ("ours", "serial", "pool")
#: What each request waits for its answer, in milliseconds.
NETWORKS = {"loopback": 0, "bucket": 50}
BUCKET = "bench"


@dataclass(frozen=True)
class Ends:
    """The two ends of the way, and what a landing process needs to know of them."""

    source: str
    bucket: str
    env: Mapping[str, str]


@contextlib.contextmanager
def both_ends(folder: Path, latency_ms: int) -> Iterator[Ends]:
    """Start source and bucket, and stop them in the end."""
    programs: list[Program] = []
    try:
        for name in ("source", "sink"):
            command = [sys.executable, "-m", f"benchmarks.{name}", str(folder / f"{name}.url"), str(latency_ms)]
            programs.append(Program.start(name, command, log=folder / f"{name}.log", env=clean_environment()))
        source, bucket = (_url(folder / f"{name}.url") for name in ("source", "sink"))
        extra = {
            "endpoint_url": bucket,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }
        aws = {"conn_type": "aws", "login": "bench-access", "password": "bench-secret", "extra": extra}
        runflow = {"conn_type": "runflow", "host": source, "password": "rf_live_benchmark"}
        env = clean_environment(
            AIRFLOW_HOME=str(folder / "airflow"),
            AIRFLOW_CONN_AWS_DEFAULT=json.dumps(aws),
            AIRFLOW_CONN_RUNFLOW_DEFAULT=json.dumps(runflow),
            AWS_EC2_METADATA_DISABLED="true",
        )
        yield Ends(source, bucket, env)
    finally:
        stop(programs, grace=3)


def _url(file: Path) -> str:
    return wait_for(lambda: file.read_text() if file.exists() else "", seconds=30, what=f"{file.stem} serves")


def reading(way: str, count: int, ends: Ends, pictures: Pictures) -> dict[str, Any]:
    """One reading in a fresh process, under a prefix of its own."""
    prefix = f"{way}-{uuid4().hex[:8]}"
    command = [sys.executable, "-m", "benchmarks.land_ways", way, str(count), ends.source, f"s3://{BUCKET}/{prefix}"]
    done = subprocess.run(command, env=dict(ends.env), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told = httpx.get(f"{ends.bucket}/_landed/{BUCKET}/{prefix}/", trust_env=False, timeout=60).json()
    landed = {key: facts for key, facts in told.items() if key.endswith(".png")}
    hashes = {sha256 for _, sha256 in landed.values() if sha256}
    served = {pictures.sha256(number) for number in (*range(count), *range(WARM_UP, WARM_UP + AT_ONCE))}
    if len(landed) != count + AT_ONCE or not hashes <= served:
        raise RuntimeError(f"{way}: {len(landed)} of {count + AT_ONCE} pictures landed, or not as they were served")
    return {"pictures": count, **found}


def summed_up(way: str, network: str, readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The medians of a way."""

    def median(name: str, per: int = 0) -> float:
        return float(statistics.median(each[name] / (each["pictures"] / per if per else 1) for each in readings))

    return {
        "network": network,
        "way": way,
        "objects_per_second": round(1 / median("seconds", per=1), 1),
        "cpu_ms_per_object": round(median("cpu_seconds", per=1000), 1),
        "rss_growth_mb": round(median("rss_growth_mb"), 1),
        "readings": [dict(each) for each in readings],
    }


def judged(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ratios that the targets speak of, of one network."""
    speed = {way: row["objects_per_second"] for way, row in rows.items()}
    memory = {way: row["rss_growth_mb"] for way, row in rows.items()}
    return {
        "times_the_serial_rival": round(speed["ours"] / speed["serial"], 2),
        "times_the_pool": round(speed["ours"] / speed["pool"], 2),
        "at_least_3_times_serial": speed["ours"] >= 3 * speed["serial"],
        "not_below_the_pool": speed["ours"] >= speed["pool"],
        "less_memory_than_the_pool": memory["ours"] < memory["pool"],
    }


def measure(network: str, count: int, repeats: int) -> list[dict[str, Any]]:
    """All ways over one network, interleaved."""
    readings: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    pictures = Pictures()
    with tempfile.TemporaryDirectory(prefix="runflow-bench-") as name, both_ends(Path(name), NETWORKS[network]) as ends:
        for way in interleaved(WAYS, repeats):
            # One after the other takes as long each time: a quarter of them tells how long.
            found = reading(way, count // 4 if way == "serial" else count, ends, pictures)
            readings[way].append(found)
            rate, cpu = found["pictures"] / found["seconds"], 1000 * found["cpu_seconds"] / found["pictures"]
            say(f"{network:9}{way:7}{rate:7.1f} objects/s {cpu:5.1f} ms CPU each {found['rss_growth_mb']:6.1f} MB")
    return [summed_up(way, network, found) for way, found in readings.items()]


def main() -> int:
    """Print the report."""
    count, repeats = (400, 3) if is_full() else (100, 2)
    before = load_average()
    rows = [row for network in NETWORKS for row in measure(network, count, repeats)]
    verdicts = {network: judged({row["way"]: row for row in rows if row["network"] == network}) for network in NETWORKS}
    report = {
        "pictures": count,
        "picture_bytes": Pictures().size_bytes,
        "repeats": repeats,
        "at_once": AT_ONCE,
        "latency_ms": NETWORKS,
        "rows": rows,
        "verdict": verdicts,
        "full": is_full(),
        "load_average_before": before,
        "machine": machine("boto3", "httpx", "requests", "apache-airflow-providers-amazon"),
    }
    hand_out("land", report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
