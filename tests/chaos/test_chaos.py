# SPDX-License-Identifier: Apache-2.0
"""A few of the trials of `make chaos`, and the proof that they would notice."""

from __future__ import annotations

import json

import pytest

from tests.chaos.judge import try_plan, try_seed, try_seeds
from tests.chaos.mutants import MUTANTS, Mutant, hunt
from tests.chaos.plan import CLASSES, NO_FENCE, make_plan
from tests.harness import HAS_TASK_STATE_STORE

pytestmark = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the trials switch the task state store on and off")


def test_no_trial_pays_twice_loses_a_picture_hangs_or_leaks() -> None:
    verdict = try_seeds(range(1, 201))
    assert verdict.problems == []
    assert verdict.billed > 200
    assert verdict.struck > 200


@pytest.mark.parametrize("name", [name for name, _, _ in CLASSES])
def test_every_class_of_trials_is_played(name: str) -> None:
    assert any(make_plan(seed).fences_name == name for seed in range(1, 201))


def test_where_no_fence_works_a_task_stops_and_does_not_pay() -> None:
    plans = [plan for plan in map(make_plan, range(1, 2000)) if plan.fences_name == NO_FENCE][:60]
    verdicts = [try_plan(plan) for plan in plans]
    assert sum(verdict.stopped_unknown for verdict in verdicts) > 0
    assert [verdict.double_paid for verdict in verdicts] == [0] * len(plans)


def test_a_seed_replays_the_same_trial() -> None:
    assert try_seed(17).counts() == try_seed(17).counts()
    assert str(make_plan(17)) == str(make_plan(17))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_package_without_one_of_its_fences_is_caught(mutant: Mutant) -> None:
    assert hunt(mutant, patience=400).verdict is not None


def test_the_command_prints_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.chaos.__main__ import main

    assert main(["--trials", "4", "--processes", "1"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert {"trials", "items", "requests", "billed", "double_paid", "lost", "stopped_unknown"} <= line.keys()
