# SPDX-License-Identifier: Apache-2.0
"""benchmarks/campaign: what is made of the readings."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from benchmarks.__main__ import NAMES, command
from benchmarks.campaign.__main__ import growth, items, judged, with_overhead
from benchmarks.campaign.world import cpu_seconds


def row(pictures: int, overhead: float, cpu: float = 1.0) -> dict[str, Any]:
    return {"pictures": pictures, "overhead_seconds": overhead, "airflow_cpu_seconds": cpu}


def test_an_edited_campaign_differs_in_one_prompt_and_in_no_key() -> None:
    before, after = items(600), items(600, edited=7)
    assert [a["key"] for a in before] == [b["key"] for b in after]
    assert [number for number in range(600) if before[number] != after[number]] == [7]


def test_overhead_is_what_the_slowest_run_does_not_explain() -> None:
    assert with_overhead({"wall_seconds": 40.0, "slowest_run_seconds": 24.0})["overhead_seconds"] == 16.0


def test_growth_compares_what_a_picture_costs() -> None:
    found = growth(row(500, 20.0), row(5000, 150.0))
    assert (found["overhead_ms_per_picture_from"], found["overhead_ms_per_picture_to"]) == (40.0, 30.0)
    assert found["linear_or_better"]
    assert not growth(row(500, 20.0), row(5000, 250.0))["linear_or_better"]


def test_the_verdict_of_a_pair_has_both_targets() -> None:
    verdict = judged(row(300, 20.0, cpu=30.0), row(300, 160.0, cpu=400.0))
    assert (verdict["overhead_ratio"], verdict["cpu_share"]) == (8.0, 0.075)
    assert verdict["overhead_in_time"]
    assert verdict["a_tenth_of_the_cpu"]


def test_cpu_time_of_a_child_that_has_ended_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(1, flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used = cpu_seconds([process.pid])
        process.communicate("\n")
    assert used > 0.35  # the kernel counts in ticks


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_is_a_module_that_exists(name: str) -> None:
    module = command(name, "python", full=False)[2]
    __import__(module)
