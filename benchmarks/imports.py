# SPDX-License-Identifier: Apache-2.0
"""
`make bench-import FULL=1`: what importing operators adds to `airflow.sdk`, here and in other providers of AI jobs.

    python -m benchmarks.imports PYTHON        the interpreter of an environment that has them all (`.venv-bench`)

Every task process and every parse of a DAG file pays it. Each reading is a fresh process that imports `airflow.sdk` and
then times one import; the providers take turns, all in one environment, byte-compiled, with one Airflow.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import clean_environment, hand_out, interleaved, load_average, machine, say
from scripts.bench_import import BUDGET_MS, MODULES

PROCESSES = 7
OURS = "airflow-provider-runflow"
#: Of each provider the operators that buy something and wait for it, as a DAG file would import them.
PROVIDERS: Mapping[str, Sequence[str]] = {
    OURS: MODULES,
    "apache-airflow-providers-openai": ["airflow.providers.openai.operators.openai"],
    "apache-airflow-providers-anthropic": ["airflow.providers.anthropic.operators.batch"],
    "apache-airflow-providers-common-ai": ["airflow.providers.common.ai.operators.llm_batch"],
    "apache-airflow-providers-databricks": ["airflow.providers.databricks.operators.databricks"],
}

PROBE = """
import importlib, importlib.util, json, os, resource, sys, time
import airflow.sdk
from importlib.metadata import version
package, *names = sys.argv[1:]
def rss(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
before, memory = set(sys.modules), rss() if sys.platform == "linux" else 0.0
began = time.perf_counter(), time.process_time()
for name in names:
    importlib.import_module(name)
ended = time.perf_counter(), time.process_time()
clock, cpu = ((after - first) * 1000 for first, after in zip(began, ended))
grown = rss() - memory if sys.platform == "linux" else 0.0
compiled = all(os.path.exists(importlib.util.find_spec(name).cached) for name in names)
print(json.dumps({"ms": clock, "cpu_ms": cpu, "modules": len(set(sys.modules) - before), "mb": grown,
                  "compiled": compiled, "version": version(package), "airflow": version("apache-airflow")}))
"""


def reading(python: str, provider: str, home: str) -> dict[str, Any]:
    """One fresh process."""
    command = [python, "-W", "ignore", "-c", PROBE, provider, *PROVIDERS[provider]]
    done = subprocess.run(
        command, env=clean_environment(AIRFLOW_HOME=home), capture_output=True, text=True, check=False, cwd=home
    )
    if done.returncode != 0:
        raise SystemExit(f"bench-import: {provider} cannot be imported:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summed_up(provider: str, readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The medians of a provider."""

    def median(name: str) -> float:
        return round(float(statistics.median(each[name] for each in readings)), 1)

    return {
        "provider": provider,
        "version": readings[0]["version"],
        "operators": list(PROVIDERS[provider]),
        "median_cpu_ms": median("cpu_ms"),
        "median_ms": median("ms"),
        "min_ms": round(min(each["ms"] for each in readings), 1),
        "modules_added": readings[0]["modules"],
        "rss_growth_mb": median("mb"),
        "byte_compiled": all(each["compiled"] for each in readings),
    }


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How many times ours each of the others takes."""
    ours = next(row["median_cpu_ms"] for row in rows if row["provider"] == OURS)
    return {row["provider"]: round(row["median_cpu_ms"] / ours, 1) for row in rows if row["provider"] != OURS}


def main(arguments: Sequence[str]) -> int:
    """Print the report; exit code 1 when ours is not within its budget, or nothing was byte-compiled."""
    # Not resolved: the link in an environment is what makes it one.
    python, before = str(Path(arguments[0]).absolute()), load_average()
    readings: dict[str, list[dict[str, Any]]] = {provider: [] for provider in PROVIDERS}
    with tempfile.TemporaryDirectory(prefix="runflow-bench-") as home:
        for provider in interleaved(list(PROVIDERS), PROCESSES):
            readings[provider].append(reading(python, provider, home))
    rows = [summed_up(provider, found) for provider, found in readings.items()]
    for row in rows:
        say(f"{row['provider']:38}{row['median_cpu_ms']:>8} ms CPU  {row['modules_added']:>5} modules")
    within = rows[0]["median_cpu_ms"] < BUDGET_MS
    compiled = all(row["byte_compiled"] for row in rows)
    facts = {**machine(), "apache-airflow": readings[OURS][0]["airflow"]}
    report = {
        "on_top_of": "airflow.sdk",
        "processes": PROCESSES,
        "rows": rows,
        "times_ours": ratios(rows),
        "budget_ms": BUDGET_MS,
        "within_budget": within,
        "byte_compiled": compiled,
        "load_average_before": before,
        "machine": facts,
    }
    hand_out("import", report)
    return 0 if within and compiled else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
