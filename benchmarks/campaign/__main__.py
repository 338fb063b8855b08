# SPDX-License-Identifier: Apache-2.0
"""
`make bench-campaign`: pictures through a real Airflow, in one batch task and in a mapped task each.

Scheduler, DAG processor, triggerer and API server of one Airflow (SQLite, LocalExecutor, `parallelism` 8), the emulator
with 20-second runs and small pictures, and `rclone serve s3` on loopback. `overhead_seconds` is the wall time from the
trigger of the DAG run to its end, without that of the slowest run; CPU time is that of all Airflow processes, those
that have ended included. FULL=1 has 300 against 300,
1,000 against 1,000, and 5,000 in one task; PAIRS=300 beside it leaves out the second pair.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.campaign.world import World, started
from benchmarks.machine import hand_out, is_full, load_average, machine, say
from scripts.processes import interruptible

#: Unchanged, then with one item edited.
REUSED = 600
MAX_XCOM_BYTES = 8 * 1024
MAX_UNCHANGED_SECONDS = 5.0
MAX_OVERHEAD_SECONDS = 30.0
MAX_CPU_SHARE = 0.1


@dataclass(frozen=True)
class Plan:
    """How many pictures."""

    pairs: tuple[int, ...]
    small: int
    large: int
    time_scale: float = 0.5  # of a low quality: runs of 20 to 24 s


QUICK = Plan(pairs=(60,), small=60, large=REUSED)
FULL = Plan(pairs=(300, 1000), small=500, large=5000)


def items(count: int, *, edited: int = -1) -> list[dict[str, Any]]:
    """A campaign of mugs."""
    return [
        {
            "key": f"mug-{number}",
            "labels": {"number": str(number)},
            "alt_text": f"A mug with the number {number}",
            "prompt": f"a {'blue ' if number == edited else ''}mug, number {number}",
        }
        for number in range(count)
    ]


def with_overhead(row: dict[str, Any]) -> dict[str, Any]:
    """Add what the target speaks of, and leave out what only this program needs."""
    row.pop("instances", None)
    return {**row, "overhead_seconds": round(row["wall_seconds"] - row["slowest_run_seconds"], 1)}


def batch(world: World, count: int, place: str, **change: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One batch task; its row, and what it returned."""
    conf = {
        "requests": world.write_requests(f"{place}-edited" if change else place, items(count, **change)),
        "place": place,
    }
    row = world.play("batch", conf, pictures=count, seconds=300 + count)
    (instance,) = row["instances"]
    returned = world.stack.api.xcom(instance)
    row["task_seconds"] = round(_duration(instance), 2)
    row["xcom_bytes"] = len(json.dumps(returned))
    shown = with_overhead(row)
    say(f"batch   {told(shown)}  {shown['xcom_bytes']} bytes of XCom")
    return shown, returned


def mapped(world: World, count: int) -> dict[str, Any]:
    """A mapped task for each picture."""
    row = with_overhead(world.play(f"mapped_{count}", {}, pictures=count, seconds=300 + 3 * count))
    say(f"mapped  {told(row)}")
    return row


def told(row: Mapping[str, Any]) -> str:
    """One line."""
    return (
        f"{row['pictures']:>5} pictures  {row['wall_seconds']:>6} s wall  {row['overhead_seconds']:>6} s over the "
        f"slowest run  {row['airflow_cpu_seconds']:>6} s CPU  {row['task_executions']:>5} executions"
    )


def _duration(instance: Mapping[str, Any]) -> float:
    first, last = (datetime.fromisoformat(instance[name].replace("Z", "+00:00")) for name in ("start_date", "end_date"))
    return (last - first).total_seconds()


def growth(small: Mapping[str, Any], large: Mapping[str, Any]) -> dict[str, Any]:
    """What a picture more costs, against what one costs in the small campaign."""
    each = {name: row["overhead_seconds"] / row["pictures"] for name, row in (("small", small), ("large", large))}
    return {
        "from": small["pictures"],
        "to": large["pictures"],
        "overhead_ms_per_picture_from": round(1000 * each["small"], 1),
        "overhead_ms_per_picture_to": round(1000 * each["large"], 1),
        "linear_or_better": each["large"] <= each["small"],
    }


def reused(world: World, place: str) -> dict[str, Any]:
    """The same campaign again in new DAG runs: unchanged, then with one item edited."""
    same, _ = batch(world, REUSED, place)
    edited, _ = batch(world, REUSED, place, edited=7)
    return {
        "items": REUSED,
        "unchanged_posts": same["requests"]["POST create"],
        "unchanged_task_seconds": same["task_seconds"],
        "one_edited_posts": edited["requests"]["POST create"],
        "unchanged_costs_nothing_in_time": same["requests"]["POST create"] == 0
        and same["task_seconds"] < MAX_UNCHANGED_SECONDS,
        "one_edited_costs_one": edited["requests"]["POST create"] == 1,
    }


def judged(one: Mapping[str, Any], many: Mapping[str, Any]) -> dict[str, Any]:
    """One batch task against as many mapped tasks."""
    share = one["airflow_cpu_seconds"] / many["airflow_cpu_seconds"]
    return {
        "pictures": one["pictures"],
        "overhead_ratio": round(many["overhead_seconds"] / max(one["overhead_seconds"], 0.1), 1),
        "cpu_share": round(share, 3),
        "overhead_in_time": one["overhead_seconds"] <= MAX_OVERHEAD_SECONDS,
        "a_tenth_of_the_cpu": share <= MAX_CPU_SHARE,
    }


def measure(world: World, plan: Plan) -> dict[str, Any]:
    """All of a plan, in one Airflow."""
    rows, verdicts = [], []
    for count in plan.pairs:
        world.emulator.reset()
        one, _ = batch(world, count, f"pair-{count}")
        world.emulator.reset()
        many = mapped(world, count)
        rows += [one, many]
        verdicts.append(judged(one, many))
    world.emulator.reset()
    same_size = [row for row in rows if row["dag"] == "batch" and row["pictures"] == plan.small]
    small = same_size[0] if same_size else batch(world, plan.small, "small")[0]
    world.emulator.reset()
    large, _ = batch(world, plan.large, "large")
    rows += [row for row in (small, large) if row not in rows]
    place = "large"
    if plan.large != REUSED:
        world.emulator.reset()
        place = "reused"
        rows.append(batch(world, REUSED, place)[0])
    return {
        "rows": rows,
        "verdicts": verdicts,
        "growth": growth(small, large),
        "xcom_bytes_at_most": max(row.get("xcom_bytes", 0) for row in rows),
        "reuse": reused(world, place),
    }


def main(arguments: Sequence[str] = ()) -> int:
    """Print the report."""
    before = load_average()
    plan = FULL if is_full() else QUICK
    if pairs := os.environ.get("PAIRS"):
        plan = replace(plan, pairs=tuple(map(int, pairs.split(","))))
    keep = os.environ.get("KEEP")
    with tempfile.TemporaryDirectory(prefix="runflow-bench-") as name:
        folder = Path(keep) if keep else Path(name)
        with interruptible(), started(folder, mapped=plan.pairs, time_scale=plan.time_scale) as world:
            world.look_at_idle()
            found = {**measure(world, plan), "idle_cpu_share": world.idle}
    report = {
        **found,
        "full": is_full(),
        "load_average_before": before,
        "machine": machine("apache-airflow-task-sdk", "psutil"),
    }
    hand_out("campaign", report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
