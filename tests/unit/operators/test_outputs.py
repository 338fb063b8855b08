# SPDX-License-Identifier: Apache-2.0
"""What a run delivered is held against what was asked for: flagged pictures, other pixels. Nothing is paid again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operators.conftest import World, named


@pytest.fixture
def flagging(world: World) -> World:
    """Content moderation lets pictures of guns through, and flags them."""
    world.emulator.add_fault(route="create", prompt_contains="gun", outcome="nsfw")
    return world


class TestAFlaggedPicture:
    def test_is_landed_and_shown_but_its_task_fails_at_once_as_blocked(self, flagging: World) -> None:
        outcome = flagging.run(flagging.operator(prompt="a gun", retries=3))
        assert outcome.state == "failed"
        text = str(outcome.error)
        assert "Content moderation flags all of them as not safe for work (nsfw_detected)." in text
        assert "They are paid ($0.009000) and landed." in text
        assert len(flagging.billed) == len(flagging.files("*.png")) == 1
        (image,) = flagging.result(outcome)["images"]
        assert image["nsfw_detected"] is True
        assert flagging.sidecars()[0]["image"]["nsfw_detected"] is True
        assert flagging.airflow.xcom(outcome.attempt.task, "runflow_end")["outcome"] == "blocked"

    def test_is_never_bought_again_unchanged(self, flagging: World) -> None:
        first = flagging.run(flagging.operator(prompt="a gun"))
        again = flagging.clear(first)
        assert again.state == "failed"
        assert "not safe for work" in str(again.error)
        assert len(flagging.billed) == 1

    def test_skips_its_task_where_on_blocked_says_so(self, flagging: World) -> None:
        assert flagging.run(flagging.operator(prompt="a gun", on_blocked="skip")).state == "skipped"
        assert len(flagging.billed) == 1

    def test_is_told_of_without_a_destination_too(self, flagging: World) -> None:
        outcome = flagging.run(flagging.operator(prompt="a gun", destination=None))
        assert outcome.state == "failed"
        assert flagging.result(outcome)["images"][0]["nsfw_detected"] is True
        assert "still at Runflow, where they expire" in str(outcome.error)

    def test_is_not_announced_to_assets(self, flagging: World) -> None:
        from airflow.sdk import Asset

        heroes = Asset(name="heroes", uri="s3://brand-assets/heroes/")
        outcome = flagging.run(flagging.batch(["a cat", "a gun"], outlets=[heroes], on_blocked="skip"))
        (event,) = outcome.message.outlet_events
        assert (outcome.state, event["extra"]["image_count"]) == ("success", 1)

    def test_is_in_a_batch_the_trouble_of_its_item_only(self, flagging: World) -> None:
        outcome = flagging.run(flagging.batch(["a cat", "a gun"], on_blocked="skip"))
        assert outcome.state == "success"
        row = flagging.rows()["a gun"]
        assert (row["outcome"], row["cost_usd"], row["images"][0]["nsfw_detected"]) == ("blocked", "0.009000", True)
        assert flagging.result(outcome)["counts"]["blocked"] == 1

    def test_is_known_from_the_manifest_in_a_later_dag_run(self, flagging: World) -> None:
        facts: dict[str, Any] = {"reuse_within": "destination", "min_success": 1}
        flagging.run(flagging.batch(["a cat", "a gun"], **facts))
        outcome = flagging.run(flagging.batch(["a cat", "a gun"], **facts), run_id="another")
        assert flagging.rows()["a gun"]["outcome"] == "blocked"
        assert flagging.result(outcome)["cost_usd"] is None
        assert len(flagging.billed) == 2

    def test_skips_a_batch_of_nothing_else_and_says_what_is_billed(self, flagging: World) -> None:
        outcome = flagging.run(flagging.batch(["a gun", "two guns"], on_blocked="skip"))
        assert outcome.state == "skipped"
        shown = flagging.airflow.xcom(outcome.attempt.task, "runflow_end")
        assert "refused all 2 items; $0.018000 is billed" in shown["reason"]


class TestOtherPixels:
    def test_than_asked_for_are_landed_but_no_success(self, world: World) -> None:
        world.emulator.configure(picture_size=(64, 48))
        outcome = world.run(world.operator(image_size="1024x1536", retries=3))
        assert outcome.state == "failed"
        assert "Picture 0 has 64x48 pixels, 1024x1536 were asked for." in str(outcome.error)
        assert "a retry would bring the same ones for $0, so it is not tried" in str(outcome.error)
        assert world.airflow.xcom(outcome.attempt.task, "runflow_end")["outcome"] == "partial"
        assert len(world.billed) == len(world.files("*.png")) == 1

    def test_in_a_batch_are_partial_and_count_against_min_success(self, world: World) -> None:
        world.emulator.configure(picture_size=(64, 48))
        items = [{**named("small"), "image_size": "1024x1536"}, named("any")]
        outcome = world.run(world.batch(items, min_success=1))
        assert outcome.state == "success"
        assert {key: row["outcome"] for key, row in world.rows().items()} == {"small": "partial", "any": "succeeded"}

    def test_are_none_of_the_users_business_where_no_pixels_were_asked_for(self, world: World) -> None:
        world.emulator.configure(picture_size=(64, 48))
        assert world.run(world.operator()).state == "success"


class TestACodeThatNobodyKnows:
    def test_is_kept_where_the_outcome_is_only_failed(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="failed", code="GPU_MELTED", message="It is hot.")
        outcome = world.run(world.operator())
        assert (outcome.state, outcome.error.code) == ("failed", "GPU_MELTED")  # type: ignore[union-attr]
        shown = world.airflow.xcom(outcome.attempt.task, "runflow_end")
        assert (shown["outcome"], shown["code"]) == ("failed", "GPU_MELTED")

    def test_is_short_and_hands_out_no_signature(self, world: World) -> None:
        code = f"SEE https://r2.example/a.png?X-Signature=secret {'x' * 500}"
        world.emulator.add_fault(route="create", outcome="failed", code=code)
        outcome = world.run(world.operator())
        shown = world.airflow.xcom(outcome.attempt.task, "runflow_end")["code"]
        assert shown.startswith("SEE https://r2.example/a.png xxx")
        assert len(shown) == 100

    def test_stands_in_manifest_and_return_value_of_a_batch(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="failed", code="GPU_MELTED", prompt_contains="of a")
        outcome = world.run(world.batch(["a", "b"]))
        assert (world.rows()["a"]["outcome"], world.rows()["a"]["code"]) == ("failed", "GPU_MELTED")
        assert world.rows()["b"]["code"] is None
        assert world.result(outcome)["failures"][0]["code"] == "GPU_MELTED"

    def test_of_an_item_that_was_refused_outlives_the_deferral(self, world: World) -> None:
        fault = {"effect": "status", "status": 422, "code": "NO_SUCH_STYLE"}
        world.emulator.add_fault(route="create", prompt_contains="of a", **fault)
        world.run(world.batch(["a", "b"]))
        assert (world.rows()["a"]["outcome"], world.rows()["a"]["code"]) == ("invalid", "NO_SUCH_STYLE")
