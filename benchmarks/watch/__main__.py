# SPDX-License-Identifier: Apache-2.0
"""
`make bench-watch`: what waiting for many runs costs, here and in the ways that people would use instead.

Each measurement has a server and a waiting process of its own; CPU and memory are those of the waiting process alone.
Quick by default (about three minutes); FULL=1 takes twenty.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.watch.scene import Scene

RIVALS = ("own client", "shared client")
Row = dict[str, Any]


def main() -> int:
    """Print a line for each measurement, and one JSON document; exit code 1 when a target is missed."""
    full = os.environ.get("FULL", "") not in ("", "0")
    machine = _machine()
    rows = [{**scene.to_dict(), **_measure(scene)} for scene in _scenes(full)]
    document = {
        "machine": machine,
        "full": full,
        "rows": rows,
        "ratios": list(_ratios(rows)),
        "targets": _targets(rows),
    }
    print(json.dumps(document, indent=2))
    return 0 if all(target["met"] for target in document["targets"]) else 1


def _scenes(full: bool) -> Iterator[Scene]:
    seconds = 60.0 if full else 20.0
    for runs in (100, 1000, 5000) if full else (5000,):
        for busy in (False, True):
            yield Scene("watcher", runs, seconds, grouped=True, busy=busy)
    for runs in (100, 1000) if full else (100,):
        for busy in (False, True):
            yield Scene("watcher", runs, seconds, grouped=False, busy=busy)
    for runs in (100, 1000) if full else (100,):
        for way in RIVALS:
            yield Scene(way, runs, seconds, grouped=False, busy=False)


def _measure(scene: Scene) -> Row:
    told = json.dumps(scene.to_dict())
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watch.server", told], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        port = server.stdout.readline().strip() if server.stdout else ""
        waiting = subprocess.run(
            [sys.executable, "-m", "benchmarks.watch.waiting", told, port],
            stdout=subprocess.PIPE, text=True, check=True, env=environment,
        )  # fmt: skip
        row: Row = json.loads(waiting.stdout.strip().splitlines()[-1])
        row["server_cpu_s"] = _cpu_of(server.pid)
    finally:
        server.terminate()
        server.wait()
    shown = {name: row[name] for name in ("calls", "cpu_s", "rss_growth_mb", "completion_to_event_s")}
    print(f"{scene.name:48} {shown}", file=sys.stderr)
    return row


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)


def _ratios(rows: list[Row]) -> Iterator[Row]:
    """How much more each rival takes than the watcher, with as many runs."""
    for rival in rows:
        if rival["way"] == "watcher":
            continue
        for ours in rows:
            if ours["way"] == "watcher" and ours["runs"] == rival["runs"]:
                yield {
                    "rival": rival["way"],
                    "runs": rival["runs"],
                    "against": "one group" if ours["grouped"] else "groups of one",
                    "busy": ours["busy"],
                    "calls": round(rival["calls"] / max(1, ours["calls"]), 1),
                    "cpu": round(rival["cpu_s"] / max(0.001, ours["cpu_s"]), 1),
                    "rss": round(rival["rss_growth_mb"] / max(0.1, ours["rss_growth_mb"]), 1),
                }


def _targets(rows: list[Row]) -> list[Row]:
    ours = [row for row in rows if row["way"] == "watcher"]
    limit = ours[0]["interval"] + 2
    large = [row for row in ours if row["runs"] == 5000]
    found = [
        ("calls a round <= runs / 100", max(row["calls_per_round"] for row in large), 50.0),
        ("CPU, share of one core", max(row["cpu_of_one_core"] for row in large), 0.25),
        ("RSS growth in MB", max(row["rss_growth_mb"] for row in large), 150.0),
        ("completion to event, p95 in s", max(row["completion_to_event_s"]["p95"] for row in ours), limit),
        ("longest hold of the loop in s, 5,000 runs", max(row["loop_held_longest_s"] for row in large), 0.2),
    ]
    return [{"target": name, "found": value, "limit": limit, "met": value <= limit} for name, value, limit in found]


def _machine() -> Row:
    models = [line.split(":", 1)[1].strip() for line in _cpu_info() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "airflow": version("apache-airflow-core"),
        "httpx": version("httpx"),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
