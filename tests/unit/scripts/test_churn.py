# SPDX-License-Identifier: Apache-2.0
"""What `make churn` makes of its samples."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scripts.churn import facts, memory
from scripts.processes import Program
from scripts.waiting import wait_for


def test_memory_that_is_filled_once_and_stays_is_flat() -> None:
    found = facts([100.0] * 10 + [140.0] * 10 + [141.0] * 10, ["success"] * 4)
    assert found["flat"]
    assert (found["megabytes_first_third"], found["megabytes_last_third"], found["dag_runs"]) == (100.0, 141.0, 4)


def test_memory_that_goes_on_growing_is_not() -> None:
    assert not facts([float(100 + 2 * number) for number in range(30)], [])["flat"]


def test_one_sample_far_off_changes_nothing() -> None:
    assert facts([100.0] * 29 + [900.0], [])["flat"]


def test_too_few_samples_show_nothing() -> None:
    assert not facts([100.0, 100.0], [])["flat"]


def test_dag_runs_that_failed_are_counted() -> None:
    assert facts([100.0] * 9, ["success", "failed"])["failed"] == 1


def test_the_memory_of_a_program_is_that_of_all_it_started(tmp_path: Path) -> None:
    big = f"{sys.executable} -c 'kept = bytearray(30_000_000); import time; time.sleep(60)'"
    program = Program.start("two", ["sh", "-c", f"{big} & {big}"], log=tmp_path / "log", env=dict(os.environ))
    try:
        wait_for(lambda: memory(program.pid) > 60, seconds=30, what="both have their memory")
    finally:
        program.reap()
    assert memory(program.pid) == 0
