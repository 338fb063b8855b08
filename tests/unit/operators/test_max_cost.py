# SPDX-License-Identifier: Apache-2.0
"""`max_cost_usd` on operators: over all attempts, for single tasks and for batches, in both modes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import in_dag
from tests.unit.operators.conftest import World


def batch(world: World, items: int, **facts: Any) -> GptImage2BatchOperator:
    requests = [{"key": f"k{n}", "prompt": f"cat {n}"} for n in range(items)]
    return world.operator_of(GptImage2BatchOperator, requests=requests, quality="low", **facts)


def test_a_single_request_over_its_cap_is_not_submitted(world: World) -> None:
    outcome = world.run(world.operator(quality="high", max_cost_usd="0.10", retries=2))
    assert outcome.state == "failed"
    assert world.posts == 0
    assert "max_cost_usd=0.10: $0 of this task is billed or in flight, and about $0.133 more" in str(outcome.error)
    assert "Nothing was submitted" in str(outcome.error)


def test_a_single_request_within_its_cap_is_bought(world: World) -> None:
    assert world.run(world.operator(max_cost_usd=0.01)).state == "success"


def test_a_cap_for_each_of_many_mapped_instances_is_warned_of_when_the_dag_is_parsed() -> None:
    with in_dag(), pytest.warns(UserWarning, match=r"max_cost_usd=2 in partial\(\) caps each mapped task instance"):
        mapped = GptImage2Operator.partial(task_id="many", quality="low", max_cost_usd=2).expand(prompt=["a", "b"])
    assert mapped.partial_kwargs["max_cost_usd"] == 2


def test_mapping_without_a_cap_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    with in_dag():
        GptImage2Operator.partial(task_id="many", quality="low").expand(prompt=["a", "b"])
    assert not [each for each in recwarn if "max_cost_usd" in str(each.message)]


def test_what_is_paid_already_is_brought_under_any_cap(world: World) -> None:
    outcome = world.run(world.operator())
    again = world.operator(max_cost_usd=0)
    cleared = world.airflow.run(again, try_number=2, max_tries=1, clear_number=1)
    assert world.airflow.settle(cleared).state == "success"
    assert world.posts == 1
    assert outcome.state == "success"


def test_a_batch_stops_submitting_before_its_cap_and_lands_what_it_has(world: World) -> None:
    outcome = world.run(batch(world, 10, max_cost_usd="0.05", max_in_flight=1, retries=2))
    assert outcome.state == "failed"  # and is not retried: no retry would get further
    assert len(world.billed) == 5
    assert len(world.files("*.png")) == 5
    result = world.result(outcome)
    assert (result["succeeded"], result["failed"], Decimal(result["cost_usd"])) == (5, 5, Decimal("0.045"))
    assert result["counts"]["insufficient_credit"] == 5
    assert "max_cost_usd=0.05" in result["failures"][0]["reason"]


def test_a_batch_whose_first_item_passes_the_cap_submits_nothing_and_says_why(world: World) -> None:
    outcome = world.run(batch(world, 3, max_cost_usd="0.001", retries=2))
    assert outcome.state == "failed"
    assert world.posts == 0
    assert "max_cost_usd=0.001" in str(outcome.error)


def test_a_retry_counts_what_earlier_attempts_paid(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="cat 1", outcome="failed", times=1)
    first = world.run(batch(world, 3, max_cost_usd="0.03", max_in_flight=1, retries=2))
    assert first.state == "up_for_retry"
    second = world.retry(first)
    assert second.state == "success", second.error
    assert len(world.billed) == 3


def test_threads_together_never_pass_the_cap(world: World) -> None:
    world.run(batch(world, 40, max_cost_usd="0.1", max_in_flight=16, min_success=1))
    assert sum(Decimal(bill["cost_usd"]) for bill in world.billed) <= Decimal("0.1")
    assert len(world.billed) == 11


def test_the_configuration_has_a_cap_for_tasks_without_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__RUNFLOW__DEFAULT_MAX_COST_USD", "0.005")
    assert world.run(world.operator()).state == "failed"
    assert world.run(world.operator(task_id="other", max_cost_usd="0.01")).state == "success"


def test_a_cap_needs_a_model_whose_price_is_known(world: World) -> None:
    operator = world.operator_of(RunflowModelOperator, model="acme/sketch", input={"prompt": "x"}, max_cost_usd=1)
    outcome = world.run(operator)
    assert "nothing here knows what acme/sketch costs" in str(outcome.error)
    assert world.posts == 0


def test_a_wrong_amount_fails_when_the_dag_is_parsed(world: World) -> None:
    with pytest.raises(InvalidRequestError, match="max_cost_usd='a lot': must be an amount of USD"):
        world.operator(max_cost_usd="a lot")


def test_a_cap_may_be_a_template(world: World) -> None:
    operator = world.operator(max_cost_usd="{{ params.cap }}", params={"cap": "0.001"})
    assert world.run(operator).state == "failed"
    assert isinstance(operator, GptImage2Operator)
