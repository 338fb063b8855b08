# SPDX-License-Identifier: Apache-2.0
"""
`make bench-rivals`: the same trials for this package and for what people would use instead.

One kind of day for all: a healthy Runflow that honours idempotency keys and lists runs, one request a task, retries and
clears of tasks that failed. Crashes, lost replies, outages and second deliveries are those of `make chaos`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import tests.conftest  # noqa: F401 - before Airflow: a home of its own
from benchmarks.rivals.trials import FIELDS, KINDS, play


def main(arguments: list[str] | None = None) -> int:
    """Print a table, and one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args(arguments)
    rows = dict(_rows(options.seed, options.trials))
    for name, row in rows.items():
        print(f"{name:36}" + "".join(f"{field} {row[field]:>5}   " for field in FIELDS), file=sys.stderr)
    machine = {"python": platform.python_version(), "system": platform.system(), "cpus": os.cpu_count()}
    print(json.dumps({"trials": options.trials, "seed": options.seed, "rows": rows, "machine": machine}, indent=2))
    ours = [row for name, row in rows.items() if KINDS[name][0] is None]
    return 1 if any(row["double_paid"] or row["lost"] for row in ours) else 0


def _rows(seed: int, trials: int) -> Iterable[tuple[str, dict[str, int]]]:
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in KINDS:
            chunks = [range(start, min(start + 50, seed + trials)) for start in range(seed, seed + trials, 50)]
            counts = list(pool.map(play, [name] * len(chunks), chunks))
            yield name, {field: sum(count[field] for count in counts) for field in FIELDS}


if __name__ == "__main__":
    sys.exit(main())
