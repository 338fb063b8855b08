# SPDX-License-Identifier: Apache-2.0
"""`make chaos`: many seeded trials on all cores, one JSON line; a failure prints the seed that replays it."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import tests.conftest  # noqa: F401 - before Airflow: a home of its own
from tests.chaos.judge import Verdict, keep_modules, try_chunk

SHOWN = 20


def main(arguments: list[str] | None = None) -> int:
    """Run the trials; 1 when one of them found something."""
    options = _options().parse_args(arguments)
    seeds = range(options.seed, options.seed + options.trials)
    print(f"chaos: trials {seeds.start} to {seeds.stop - 1} on {options.processes} processes", file=sys.stderr)
    began = time.monotonic()
    total = _sum(_chunks(seeds, 25), options.processes)
    for problem in total.problems[:SHOWN]:
        print(problem, file=sys.stderr)
    if total.problems:
        seed = total.problems[0].split(":")[0].removeprefix("seed ")
        print(f"chaos: {len(total.problems)} problems. Replay one: make chaos SEED={seed} TRIALS=1", file=sys.stderr)
    print(json.dumps({**total.counts(), "seed": options.seed, "seconds": round(time.monotonic() - began, 1)}))
    return 1 if total.problems or not total.billed else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


def _sum(chunks: Iterable[range], processes: int) -> Verdict:
    total = Verdict()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=keep_modules) as pool:
        for verdict in pool.map(try_chunk, chunks):
            total.add(verdict)
    return total


def _chunks(seeds: range, size: int) -> Iterable[range]:
    for start in range(seeds.start, seeds.stop, size):
        yield range(start, min(start + size, seeds.stop))


if __name__ == "__main__":
    sys.exit(main())
