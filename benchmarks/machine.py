# SPDX-License-Identifier: Apache-2.0
"""What every benchmark says of the machine that it ran on, and how it hands out what it measured."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
#: Where `make bench` leaves its JSON. `benchmarks/results` holds what the documentation shows.
OUTPUT = REPOSITORY / "bench-output"
#: Of the person's environment this must not reach a measured process.
FOREIGN = ("AIRFLOW", "_AIRFLOW", "AWS_", "RUNFLOW", "PYTHONDONTWRITEBYTECODE")


def machine(*packages: str) -> dict[str, Any]:
    """
    The facts that a reader needs to judge a figure.

    :param packages: name the versions of these, too.
    """
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in ("apache-airflow", *packages)},
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": load_average(),
    }


def load_average() -> float:
    """How busy the machine was in the last minute, the benchmark's own work included."""
    return round(os.getloadavg()[0], 2)


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of a measured process: the person's, without their Airflow, Runflow and AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **more}


def say(text: str) -> None:
    """Tell a person; the JSON has the standard output to itself."""
    print(text, file=sys.stderr, flush=True)


def hand_out(name: str, report: Mapping[str, Any], folder: Path = OUTPUT, *, quiet: bool = False) -> None:
    """Print a report as JSON (unless it is to be quiet), and keep it as `<name>.json`."""
    text = json.dumps(report, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(f"{text}\n")
    if not quiet:
        print(text, flush=True)


def is_full() -> bool:
    """Whether all was asked for (`FULL=1`), not the quick round."""
    return os.environ.get("FULL", "") not in ("", "0", "false", "no")


def interleaved(ways: Sequence[str], repeats: int) -> Iterable[str]:
    """Each way in turn, again and again: what else the machine does meanwhile meets all of them."""
    return (way for _ in range(repeats) for way in ways)
