# SPDX-License-Identifier: Apache-2.0
"""
Writes the tables of `docs/performance.md` from the JSON under `benchmarks/results`, so that the page cannot drift.

    python -m benchmarks.tables             writes them
    python -m benchmarks.tables --keep      first takes over what `make bench` has left in bench-output
    python -m benchmarks.tables --check     exit code 1 when the page says something else
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import OUTPUT, REPOSITORY, say

PAGE = REPOSITORY / "docs" / "performance.md"
RESULTS = Path(__file__).with_name("results")
_MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Report = Mapping[str, Any]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def number(value: float | None, digits: int = 1) -> str:
    """A figure as people read it."""
    return "-" if value is None else f"{value:,.{digits}f}"


def imports(report: Report) -> str:
    """What importing costs."""
    times = {**report["times_ours"]}
    rows = [
        (
            f"`{row['provider']}` {row['version']}",
            number(row["median_cpu_ms"]),
            number(times[row["provider"]]) if row["provider"] in times else "1",
            f"{row['modules_added']:,}",
            number(row["rss_growth_mb"]),
        )
        for row in report["rows"]
    ]
    return table(("provider", "CPU ms, median", "times ours", "modules", "MB"), rows)


def land(report: Report) -> str:
    """What landing costs."""
    names = {"ours": "ours", "serial": "`requests` + `load_bytes`, a loop", "pool": "the same, 16 threads"}
    rows = [
        (
            f"{row['network']} ({report['latency_ms'][row['network']]} ms)",
            names[row["way"]],
            number(row["objects_per_second"]),
            number(row["cpu_ms_per_object"]),
            number(row["rss_growth_mb"]),
        )
        for row in report["rows"]
    ]
    return table(("network", "way", "pictures/s", "CPU ms a picture", "memory growth, MB"), rows)


def campaign(report: Report) -> str:
    """What a campaign costs."""
    rows = [
        (
            "one batch task" if row["dag"] == "batch" else "mapped tasks",
            f"{row['pictures']:,}",
            number(row["overhead_seconds"]),
            number(row["airflow_cpu_seconds"]),
            f"{row['task_executions']:,}",
            f"{row['requests']['POST create']:,}",
        )
        for row in report["rows"]
    ]
    head = ("shape", "pictures", "s over the slowest run", "CPU s of Airflow", "task executions", "POSTs")
    return table(head, rows)


def reuse(report: Report) -> str:
    """What the same campaign costs again."""
    again = report["reuse"]
    rows = [
        (f"{again['items']} items, unchanged", again["unchanged_posts"], number(again["unchanged_task_seconds"])),
        ("one of them edited", again["one_edited_posts"], "-"),
    ]
    return table(("the same campaign in a new DAG run", "POSTs", "s of task time"), rows)


def watch(report: Report) -> str:
    """What waiting costs."""
    rows = [
        (
            "one watcher" if row["way"] == "watcher" else row["way"],
            f"{row['runs']:,} {'in one group' if row['grouped'] else 'alone'}{', busy' if row['busy'] else ''}",
            f"{row['calls']:,}",
            number(row["cpu_s"], 2),
            number(row["rss_growth_mb"]),
            f"{number(row['completion_to_event_s']['p50'])} / {number(row['completion_to_event_s']['p95'])}",
        )
        for row in report["rows"]
    ]
    return table(("way", "runs", "calls", "CPU s", "memory growth, MB", "completion to event, p50 / p95 s"), rows)


def derivatives(report: Report) -> str:
    """What channel sizes cost: all of them, from one master."""
    names = {
        "ours": "ours, the master opened for each",
        "rival": "`ImageOps.fit` and a save, the master opened for each",
        "ours, all": "ours, as a task does it: decoded once",
    }
    rows = [
        (row["master"], names[row["way"]], number(row["median_ms"]), number(row["peak_mb"]))
        for row in report["rows"]
        if row["derivative"] == "all"
    ]
    return table(("master", "way", "ms", "peak memory, MB"), rows)


def facts(report: Report) -> str:
    """The machine, in a sentence."""
    machine = report["machine"]
    load = report.get("load_average_before", machine.get("load_before", machine.get("load_average")))
    cpus = machine.get("cpus", machine.get("cores"))
    what = "A quick round" if report.get("full") is False else "Measured"
    return f"{what} on {cpus} cores, Python {machine['python']}, {machine['system']}; load average before: {load}.\n"


#: Marker in the page -> file of results, and how it is shown.
TABLES: Mapping[str, tuple[str, Callable[[Report], str]]] = {
    "import": ("import", imports),
    "land": ("land", land),
    "campaign": ("campaign", campaign),
    "reuse": ("campaign", reuse),
    "watch": ("watch", watch),
    "derivatives": ("derivatives", derivatives),
}


def written(page: str, read: Callable[[str], Report | None]) -> str:
    """
    The page with every marked table made anew.

    :param page: the text with its markers.
    :param read: gives a report by its name; ``None`` when there is none yet.
    """

    def fill(found: re.Match[str]) -> str:
        name, show = TABLES[found[2]]
        report = read(name)
        body = "Not measured yet.\n" if report is None else f"\n{show(report)}\n{facts(report)}"
        return f"{found[1]}{body}{found[3]}"

    return _MARKED.sub(fill, page)


def read_result(name: str) -> Report | None:
    """A report that is committed."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    report: Report = json.loads(path.read_text())
    return report


def keep() -> None:
    """Take over what was measured last."""
    RESULTS.mkdir(exist_ok=True)
    for name in sorted({name for name, _ in TABLES.values()}):
        measured = OUTPUT / f"{name}.json"
        if measured.exists():
            (RESULTS / measured.name).write_text(measured.read_text())
            say(f"benchmarks/results/{measured.name}")


def main(arguments: Sequence[str]) -> int:
    """Write or check the page."""
    if "--keep" in arguments:
        keep()
    page = PAGE.read_text()
    wanted = written(page, read_result)
    if "--check" in arguments:
        return 0 if wanted == page else 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
