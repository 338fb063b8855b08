# SPDX-License-Identifier: Apache-2.0
"""What importing all operators adds on top of `airflow.sdk`: promise 7, as JSON (`make bench-import`).

Every task process and every parse of a DAG file pays it. Measured in fresh processes that import `airflow.sdk`
first and then time ours, byte-compiled; exit code 1 when the median is not below the budget. It is judged by the
process's own time on the CPU, which is all that an import takes: other work on the machine only moves the clock.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

MODULES = [f"airflow_provider_runflow.operators.{name}" for name in ("gpt_image_2", "gpt_image_1_5", "flux", "runflow")]
BASELINE = "airflow.sdk"
PROCESSES = 7
BUDGET_MS = 30.0

PROBE = f"""
import importlib, json, sys, time
import {BASELINE}
before = set(sys.modules)
began = time.perf_counter(), time.process_time()
for module in {MODULES!r}:
    importlib.import_module(module)
ended = time.perf_counter(), time.process_time()
clock, cpu = ((after - first) * 1000 for first, after in zip(began, ended))
print(json.dumps({{"ms": clock, "cpu_ms": cpu, "modules": len(set(sys.modules) - before)}}))
"""


def measure(processes: int = PROCESSES) -> list[dict[str, Any]]:
    """One reading per fresh process."""
    return [_one_process() for _ in range(processes)]


def _one_process() -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench-import: the import failed:\n{done.stderr}")
    reading: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return reading


def byte_compiled() -> bool:
    """Whether Python would read bytecode for our modules instead of compiling them again."""
    specs = [importlib.util.find_spec(module) for module in MODULES]
    return all(spec and spec.cached and Path(spec.cached).exists() for spec in specs)


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "airflow": version("apache-airflow"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    readings = measure()
    times = sorted(reading["ms"] for reading in readings)
    cpu = statistics.median(reading["cpu_ms"] for reading in readings)
    report = {
        "modules": MODULES,
        "on_top_of": BASELINE,
        "median_ms": round(statistics.median(times), 1),
        "median_cpu_ms": round(cpu, 1),
        "min_ms": round(times[0], 1),
        "max_ms": round(times[-1], 1),
        "processes": len(times),
        "modules_added": readings[-1]["modules"],
        "budget_ms": BUDGET_MS,
        "within_budget": cpu < BUDGET_MS,
        "byte_compiled": byte_compiled(),
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))
    return 0 if report["within_budget"] and report["byte_compiled"] else 1


if __name__ == "__main__":
    sys.exit(main())
