# SPDX-License-Identifier: Apache-2.0
"""
`make bench`: every benchmark after the other, as one JSON document and as `bench-output/<name>.json`.

    python -m benchmarks PYTHON [NAME ...]        PYTHON has the other providers (`.venv-bench`); all names by default
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.machine import hand_out, is_full, load_average, machine, say

NAMES = ("import", "land", "campaign", "watch", "derivatives")


def command(name: str, python: str, *, full: bool) -> list[str]:
    """How a benchmark is started."""
    module = "benchmarks.imports" if name == "import" else f"benchmarks.{name}"
    more = {"import": [python], "derivatives": [] if full else ["--rounds", "1"]}.get(name, [])
    return [sys.executable, "-m", module, *more]


def run(name: str, python: str) -> dict[str, Any]:
    """One benchmark; its report, how long it took, and whether it says that all is well."""
    say(f"== {name}")
    began = time.monotonic()
    done = subprocess.run(command(name, python, full=is_full()), stdout=subprocess.PIPE, text=True, check=False)
    found: dict[str, Any] = {"exit_code": done.returncode, "seconds": round(time.monotonic() - began, 1)}
    try:
        found["report"] = json.loads(done.stdout)
    except ValueError:
        say(f"{name}: no report")
    return found


def main(arguments: Sequence[str]) -> int:
    """Print the document; exit code 1 when one of them is not well."""
    python, *names = arguments
    found: dict[str, Any] = {}
    for name in names or NAMES:
        found[name] = run(name, python)
        if "report" in found[name] and name in ("watch", "derivatives"):  # these two only print theirs
            hand_out(name, found[name]["report"], quiet=True)
    summary = {"full": is_full(), "load_average": load_average(), "machine": machine(), "benchmarks": found}
    hand_out("all", summary)
    for name, each in found.items():
        say(f"{name:12} {each['seconds']:>7} s  {'well' if each['exit_code'] == 0 else 'NOT as it should be'}")
    return 1 if any(each["exit_code"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
