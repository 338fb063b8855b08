# SPDX-License-Identifier: Apache-2.0
"""`on_blocked`: what content moderation refuses fails, or is skipped; it is never bought again unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator
from tests.unit.operators.conftest import World


def batch(world: World, prompts: list[str], **facts: Any) -> GptImage2BatchOperator:
    requests = [{"key": prompt, "prompt": prompt} for prompt in prompts]
    return world.operator_of(GptImage2BatchOperator, requests=requests, quality="low", **facts)


@pytest.fixture(autouse=True)
def moderated(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="gun", outcome="blocked")


def test_a_blocked_picture_fails_its_task_at_once(world: World) -> None:
    outcome = world.run(world.operator(prompt="a gun", retries=2))
    assert outcome.state == "failed"
    assert "not retried" in str(outcome.error)


def test_or_skips_it_and_a_clear_finds_the_same_without_a_post(world: World) -> None:
    outcome = world.run(world.operator(prompt="a gun", retries=2, on_blocked="skip"))
    assert outcome.state == "skipped"
    assert world.clear(outcome).state == "skipped"
    assert world.posts == 1
    assert world.billed == []


def test_in_a_batch_only_the_item_is_skipped(world: World) -> None:
    outcome = world.run(batch(world, ["a cat", "a gun", "a dog"], on_blocked="skip"))
    assert outcome.state == "success", outcome.error
    result = world.result(outcome)
    assert (result["status"], result["succeeded"], result["counts"]["blocked"]) == ("partial", 2, 1)


def test_a_skipped_item_counts_neither_way_for_min_success(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="dog", status=422, effect="status")
    items = ["a cat", "a gun", "a dog", "a cow"]
    assert world.run(batch(world, items, on_blocked="skip", min_success="66%")).state == "success"
    assert world.run(batch(world, items, task_id="more", on_blocked="skip", min_success=3)).state == "failed"


def test_a_batch_of_which_all_is_blocked_is_skipped_itself(world: World) -> None:
    outcome = world.run(batch(world, ["a gun", "two guns"], on_blocked="skip", retries=2))
    assert outcome.state == "skipped"
    assert world.result(outcome)["counts"]["blocked"] == 2


def test_a_wrong_word_fails_when_the_dag_is_parsed(world: World) -> None:
    with pytest.raises(InvalidRequestError, match=r"on_blocked='ignore': must be 'fail' or 'skip'"):
        world.operator(on_blocked="ignore")
