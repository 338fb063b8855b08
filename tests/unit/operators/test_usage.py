# SPDX-License-Identifier: Apache-2.0
"""The XCom `usage`: what a task instance paid, over all its attempts, however it ended; equal to the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.harness import HAS_TASK_STATE_STORE, Outcome
from tests.unit.operators.conftest import World


def usage(world: World, outcome: Outcome) -> dict[str, Any]:
    attempt = outcome.attempt
    told: dict[str, Any] = world.airflow.xcom(attempt.task, "usage", run_id=attempt.run_id)
    return told


def billed(world: World) -> Decimal:
    return sum((Decimal(str(row["cost_usd"])) for row in world.billed), Decimal(0))


def test_says_what_a_run_cost_and_what_was_expected(world: World) -> None:
    outcome = world.run(world.operator(num_images=2))
    assert usage(world, outcome) == {
        "schema_version": 1,
        "model": "openai/gpt-image-2",
        "runs": 1,
        "images": 2,
        "cost_usd": "0.018000",
        "estimated_cost_usd": "0.018",
        "runs_of_unknown_cost": 0,
        "reused_runs": 0,
        "reused_cost_usd": None,
    }


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="without a journal what an earlier try landed counts as reused")
def test_sums_up_a_batch_to_the_cent_of_the_ledger(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="of b", outcome="failed", times=1)
    first = world.run(world.batch(["a", "b", "c"], retries=1))
    assert Decimal(usage(world, first)["cost_usd"]) == billed(world) == Decimal("0.018")
    again = world.retry(first)
    assert Decimal(usage(world, again)["cost_usd"]) == billed(world) == Decimal("0.027")
    assert Decimal(world.result(again)["cost_usd"]) == billed(world)
    assert (usage(world, again)["runs"], usage(world, again)["images"]) == (3, 3)


def test_counts_what_is_billed_for_nothing(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="of b", outcome="cancelled")
    ended = world.run(world.batch(["a", "b"], min_success=1))
    assert (ended.state, world.rows()["b"]["outcome"]) == ("success", "cancelled")
    world.clock.advance(600)  # a cancelled run is debited when it would have ended
    assert billed(world) == Decimal("0.018")
    assert Decimal(world.result(ended)["cost_usd"]) == Decimal(usage(world, ended)["cost_usd"]) == billed(world)
    single = world.run(world.operator(prompt="a picture of b", task_id="single"))
    assert (single.state, usage(world, single)["cost_usd"]) == ("failed", "0.009000")


def test_of_pictures_that_another_task_bought_is_nothing(world: World) -> None:
    world.run(world.operator(reuse_within="destination"), run_id="one")
    outcome = world.run(world.operator(reuse_within="destination"), run_id="two")
    told = usage(world, outcome)
    assert (told["cost_usd"], told["runs"]) == ("0", 0)
    assert (told["reused_cost_usd"], told["reused_runs"]) == ("0.009000", 1)


def test_is_there_although_the_task_fails(world: World) -> None:
    world.emulator.add_fault(route="create", outcome="failed")
    assert usage(world, world.run(world.operator()))["cost_usd"] == "0"
    world.emulator.clear_faults()
    world.emulator.add_fault(route="create", outcome="partial", images=1)
    outcome = world.run(world.operator(num_images=2, variation=2, task_id="more"))
    assert (outcome.state, Decimal(usage(world, outcome)["cost_usd"])) == ("failed", billed(world))


def test_the_log_names_the_estimate_before_anything_is_submitted(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(world.operator(num_images=2))
    told = caplog.text + capsys.readouterr().out
    estimate = told.index("To be bought: 2 picture(s) of openai/gpt-image-2, for about $0.018.")
    assert estimate < told.index("Submitted Runflow run")


def test_what_is_paid_already_is_no_submission_that_could_cost(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    first = world.run(world.operator())
    _ = caplog.text, capsys.readouterr()
    caplog.clear()
    world.clear(first)
    assert "for about $" not in caplog.text + capsys.readouterr().out


def test_the_log_says_so_where_the_bill_is_not_the_estimate(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    # What a page leaves open is estimated at its dearest; two of four pictures cost half.
    world.emulator.add_fault(route="create", outcome="partial", images=1)
    world.run(world.batch([{"key": "a", "prompt": "a cat", "num_images": 4}]))
    told = caplog.text + capsys.readouterr().out
    assert f"Runflow billed ${billed(world):f}; $0.036 was the estimate." in told
