# SPDX-License-Identifier: Apache-2.0
"""Many requests in one task: each is paid once, none waits for another's trouble, and the task judges all."""

from __future__ import annotations

from typing import Any

from airflow_provider_runflow.operators.runflow import RunflowModelBatchOperator
from tests.unit.operators.conftest import World

SIX = ["a", "b", "c", "d", "e", "f"]


def fault(world: World, key: str, **facts: Any) -> None:
    """Let something befall the item of this key alone."""
    world.emulator.add_fault(route=facts.pop("route", "create"), prompt_contains=f"picture of {key}", **facts)


class TestACampaign:
    def test_lands_a_picture_and_a_sidecar_of_each_item_and_says_so_in_order(self, world: World) -> None:
        items = [
            {"labels": {"product": p, "locale": l}, "prompt": f"{p} {l}"} for p in ("cup", "pot") for l in ("de", "fr")
        ]
        outcome = world.run(world.batch(items, destination=str(world.destination)))
        assert outcome.state == "success"
        result = world.result(outcome)
        assert result["status"] == "succeeded"
        assert (result["succeeded"], result["failed"], result["failures"]) == (4, 0, [])
        assert result["counts"] == {"items": 4, "reused": 0, "dropped": 0, "vanished": 0, "images": 4, "succeeded": 4}
        assert result["cost_usd"] == "0.036"
        assert result["manifest_uri"] == f"file://{world.destination}/manifest.jsonl"
        assert list(world.rows()) == ["cup_de", "cup_fr", "pot_de", "pot_fr"]
        assert [told["labels"] for told in world.sidecars()] == [item["labels"] for item in items]
        assert len(world.files()) == len(world.billed) == world.posts == 4

    def test_what_an_item_does_not_say_is_that_of_the_task(self, world: World) -> None:
        world.run(
            world.batch([{"key": "a"}, {"key": "b", "quality": "high", "prompt": "b"}], prompt="all", num_images=2)
        )
        inputs = {row["key"]: row["input"] for row in world.rows().values()}
        assert (inputs["a"]["prompt"], inputs["a"]["quality"], inputs["a"]["num_images"]) == ("all", "low", 2)
        assert (inputs["b"]["prompt"], inputs["b"]["quality"], inputs["b"]["num_images"]) == ("b", "high", 2)

    def test_defers_once_for_all(self, world: World) -> None:
        outcome = world.airflow.run(world.batch(SIX))
        assert outcome.deferred is world.deferrable
        if world.deferrable:
            assert world.airflow.resume(world.airflow.fire(outcome)).state == "success"

    def test_any_model_takes_items_with_models_and_inputs_of_their_own(self, world: World) -> None:
        task = world.operator_of(
            RunflowModelBatchOperator,
            model="openai/gpt-image-2",
            input={"quality": "low"},
            requests=[
                {"key": "a", "input": {"prompt": "a"}},
                {"key": "b", "model": "openai/gpt-image-1.5", "input": {"prompt": "b"}},
            ],
        )
        assert world.run(task).state == "success"
        assert {row["key"]: row["model"] for row in world.rows().values()} == {
            "a": "openai/gpt-image-2",
            "b": "openai/gpt-image-1.5",
        }
        assert world.rows()["a"]["input"] == {"prompt": "a", "quality": "low"}


class TestIndependence:
    def test_trouble_of_one_kind_each_leaves_the_others_alone(self, world: World) -> None:
        fault(world, "a", outcome="blocked")
        fault(world, "b", outcome="failed")
        fault(world, "c", effect="status", status=422)
        fault(world, "d", outcome="stuck")
        outcome = world.run(world.batch([*SIX, "g"], timeout=600, min_success=3))
        assert outcome.state == "success"
        result = world.result(outcome)
        assert result["status"] == "partial"
        rows = world.rows()
        assert {key: row["outcome"] for key, row in rows.items()} == {
            "a": "blocked",
            "b": "failed",
            "c": "invalid",
            "d": "timed_out",
            "e": "succeeded",
            "f": "succeeded",
            "g": "succeeded",
        }
        assert all(row["reason"] for key, row in rows.items() if key < "e")
        assert {told["labels"] == {} for told in world.sidecars()} == {True}
        assert len(world.sidecars()) == len(world.files()) == 3
        assert [each["key"] for each in result["failures"]] == ["a", "b", "c", "d"]

    def test_a_download_that_breaks_is_that_items_alone_and_a_retry_lands_it_for_nothing(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="status", status=500, times=5)
        outcome = world.run(world.batch(SIX, retries=1, max_in_flight=1))
        assert outcome.state == "up_for_retry"
        assert world.result(outcome)["succeeded"] == 5
        assert world.retry(outcome).state == "success"
        assert len(world.files()) == 6
        assert world.posts == len(world.billed) == 6
