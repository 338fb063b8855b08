# SPDX-License-Identifier: Apache-2.0
"""Many requests in one task: each is paid once, none waits for another's trouble, and the task judges all."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_runflow.compat import AirflowFailException
from airflow_provider_runflow.landing.manifest import name_of_run
from airflow_provider_runflow.operators.delivery import Delivery
from airflow_provider_runflow.operators.runflow import RunflowModelBatchOperator
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.operators.conftest import World, named

needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
SIX = ["a", "b", "c", "d", "e", "f"]


def fault(world: World, key: str, **facts: Any) -> None:
    """Let something befall the item of this key alone."""
    world.emulator.add_fault(route=facts.pop("route", "create"), prompt_contains=f"picture of {key}", **facts)


class TestACampaign:
    def test_lands_a_picture_and_a_sidecar_of_each_item_and_says_so_in_order(self, world: World) -> None:
        items = [
            {"labels": {"product": product, "locale": locale}, "prompt": f"{product} {locale}"}
            for product in ("cup", "pot")
            for locale in ("de", "fr")
        ]
        outcome = world.run(world.batch(items))
        assert outcome.state == "success"
        result = world.result(outcome)
        assert result["status"] == "succeeded"
        assert (result["succeeded"], result["failed"], result["failures"]) == (4, 0, [])
        assert result["counts"] == {"items": 4, "reused": 0, "dropped": 0, "vanished": 0, "images": 4, "succeeded": 4}
        assert result["cost_usd"] == "0.036000"
        own = result["manifest_uri"].removeprefix(f"file://{world.destination}/")
        assert own == name_of_run(world.summary()["airflow"])
        assert world.rows(own) == world.rows()
        assert list(world.rows()) == ["cup_de", "cup_fr", "pot_de", "pot_fr"]
        assert [told["labels"] for told in world.sidecars()] == [item["labels"] for item in items]
        assert len(world.files()) == len(world.billed) == world.posts == 4

    def test_what_an_item_does_not_say_is_that_of_the_task(self, world: World) -> None:
        items = [{"key": "a"}, {"key": "b", "quality": "high", "prompt": "a dog"}]
        world.run(world.batch(items, prompt="all", num_images=2))
        inputs = {row["key"]: row["input"] for row in world.rows().values()}
        assert (inputs["a"]["prompt"], inputs["a"]["quality"], inputs["a"]["num_images"]) == ("all", "low", 2)
        assert (inputs["b"]["prompt"], inputs["b"]["quality"], inputs["b"]["num_images"]) == ("a dog", "high", 2)

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
                {"key": "a", "input": {"prompt": "a cat"}},
                {"key": "b", "model": "openai/gpt-image-1.5", "input": {"prompt": "a dog"}},
            ],
        )
        assert world.run(task).state == "success"
        assert {row["key"]: row["model"] for row in world.rows().values()} == {
            "a": "openai/gpt-image-2",
            "b": "openai/gpt-image-1.5",
        }
        assert world.rows()["a"]["input"] == {"prompt": "a cat", "quality": "low"}


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

    def test_the_failed_one_is_bought_anew_by_a_retry_and_the_blocked_one_is_not(self, world: World) -> None:
        fault(world, "a", outcome="blocked")
        fault(world, "b", outcome="failed", times=1)
        outcome = world.run(world.batch(SIX, retries=2))
        assert outcome.state == "up_for_retry"
        assert "A retry of the task tries 1 of them again and pays only for those" in str(outcome.error)
        again = world.retry(outcome)
        assert (again.state, world.posts, len(world.billed)) == ("failed", 7, 5)
        assert isinstance(again.error, AirflowFailException)
        assert world.result(again)["counts"]["blocked"] == 1

    def test_a_picture_that_came_only_in_part_is_kept_and_never_bought_again(self, world: World) -> None:
        fault(world, "a", outcome="partial", images=1)
        outcome = world.run(world.batch(["a", "b"], num_images=2, retries=2))
        assert outcome.state == "failed"
        assert (world.rows()["a"]["outcome"], len(world.rows()["a"]["images"])) == ("partial", 1)

    def test_one_wrong_model_of_many_stops_no_other(self, world: World) -> None:
        items = [{"key": key, "input": {"prompt": f"a {key}"}} for key in ("cat", "dog", "cow")]
        items[0]["model"] = "nobody/nothing"
        task = world.operator_of(
            RunflowModelBatchOperator, model="openai/gpt-image-2", requests=items, min_success=2, max_in_flight=1
        )
        assert world.run(task).state == "success"
        assert [row["outcome"] for row in world.rows().values()] == ["invalid", "succeeded", "succeeded"]


class TestHowManyMustSucceed:
    @pytest.mark.parametrize(
        ("enough", "state"),
        [(None, "failed"), (5, "success"), ("5", "success"), (6, "failed"), ("83%", "success"), ("84%", "failed")],
    )
    def test_a_number_a_share_or_all(self, world: World, enough: Any, state: str) -> None:
        fault(world, "a", outcome="blocked")
        outcome = world.run(world.batch(SIX, min_success=enough))
        assert outcome.state == state
        result = world.result(outcome)
        assert (result["succeeded"], result["failed"]) == (5, 1)
        assert result["status"] == ("partial" if state == "success" else "failed")
        assert world.summary()["status"] == result["status"]
        assert world.airflow.xcom(outcome.attempt.task, "manifest_uri") == result["manifest_uri"]

    def test_the_error_says_how_many_why_what_was_paid_and_what_a_retry_does(self, world: World) -> None:
        fault(world, "a", outcome="blocked", message="No likeness of persons.")
        text = str(world.run(world.batch(SIX, retries=3)).error)
        assert text.startswith("5 of 6 items succeeded, 6 are needed. 6 items: 5 succeeded, 1 blocked; $0.045000.")
        assert "A retry would change nothing, so it is not tried; correct these items, then clear the task." in text
        assert "First: a: Runflow run " in text
        assert "No likeness of persons" in text

    def test_more_than_there_are_is_an_error_before_any_request(self, world: World) -> None:
        outcome = world.run(
            world.batch("{{ params.campaign }}", native=True, params={"campaign": [named("a")]}, min_success=2)
        )
        assert outcome.state == "failed"
        assert "min_success=2: must be a number of items" in str(outcome.error)
        assert world.posts == 0


class TestWhatStopsAll:
    @pytest.mark.parametrize("status", [401, 402, 403])
    def test_a_refusal_that_all_would_meet_ends_submitting_at_once(self, world: World, status: int) -> None:
        world.emulator.add_fault(route="create", effect="status", status=status)
        outcome = world.run(world.batch([str(number) for number in range(20)], max_in_flight=2, retries=3))
        assert outcome.state == "failed"
        assert isinstance(outcome.error, AirflowFailException)
        assert f"HTTP {status}" in str(outcome.error)
        assert "Nothing was submitted" in str(outcome.error)
        assert world.posts <= 2
        assert world.result(outcome) is None
        assert not [path for path in world.destination.rglob("*") if path.is_file()]

    def test_what_is_bought_by_then_lands_and_the_rest_is_told_of(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=402, after=2)
        outcome = world.run(world.batch(SIX, max_in_flight=1, retries=3))
        assert outcome.state == "failed"
        assert world.result(outcome)["counts"] == {
            "items": 6,
            "reused": 0,
            "dropped": 0,
            "vanished": 0,
            "images": 2,
            "insufficient_credit": 4,
            "succeeded": 2,
        }
        assert (world.posts, len(world.files())) == (3, 2)

    def test_too_many_requests_pause_all_and_then_it_goes_on(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=429, times=7, headers=True, seconds=30)
        began = world.clock.now()
        assert world.run(world.batch(SIX, max_in_flight=2)).state == "success"
        assert len(world.billed) == 6
        assert (world.clock.now() - began).total_seconds() >= 30

    def test_a_runflow_that_is_down_is_left_alone_after_eight_items(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="drop_before")
        keys = [str(number) for number in range(30)]
        outcome = world.run(world.batch(keys, max_in_flight=1, retries=1))
        assert outcome.state == "up_for_retry"
        assert "no usable answer 8 times in a row" in str(outcome.error)
        assert {entry.client_ref for entry in world.emulator.runs} == set()
        posts = sum(entry.route == "create" for entry in world.emulator.request_log)
        assert posts <= 8 * 5
        world.emulator.clear_faults()
        assert world.retry(outcome).state == "success"
        assert len(world.billed) == 30

    def test_replies_that_are_lost_are_never_called_free(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="drop_after")
        world.emulator.add_fault(route="list", effect="lag", seconds=100_000)
        outcome = world.run(world.batch([str(number) for number in range(12)], max_in_flight=1, retries=1))
        assert outcome.state == "up_for_retry"
        assert "Nothing was submitted" not in str(outcome.error)
        assert world.result(outcome)["counts"]["unknown"] >= 1
        world.emulator.clear_faults()
        world.clock.advance(200_000)
        assert world.retry(outcome).state == "success"
        assert len(world.billed) == 12

    @needs_a_journal
    def test_a_journal_that_refuses_sends_nothing(self, world: World) -> None:
        world.airflow.refuse("SetTaskStateStore")
        outcome = world.run(world.batch(SIX, retries=1))
        assert outcome.state == "up_for_retry"
        assert "The intent could not be recorded, so nothing was submitted now" in str(outcome.error)
        assert world.posts == 0
        world.airflow.accept("SetTaskStateStore")
        assert world.retry(outcome).state == "success"
        assert len(world.billed) == 6

    def test_a_bucket_that_cannot_be_used_is_found_before_anything_is_asked(self, world: World) -> None:
        world.destination.parent.joinpath("out").write_text("a file, not a folder")
        outcome = world.run(world.batch(SIX))
        assert outcome.state == "failed"
        assert not world.emulator.request_log

    def test_a_slow_pace_is_kept(self, world: World) -> None:
        began = world.clock.now()
        assert world.run(world.batch(SIX, requests_per_minute=1, max_in_flight=1)).state == "success"
        assert (world.clock.now() - began).total_seconds() >= 5 * 60


class TestWhatIsNeverLost:
    def test_a_manifest_that_cannot_be_written_fails_the_task_but_counts_are_pushed(self, world: World) -> None:
        (world.destination / "manifest.json").mkdir(parents=True)
        outcome = world.run(world.batch(["a", "b"], retries=1))
        assert outcome.state == "up_for_retry"
        assert "The manifest could not be written" in str(outcome.error)
        assert "A retry writes it for $0" in str(outcome.error)
        result = world.result(outcome)
        assert (result["succeeded"], result["manifest_uri"]) == (2, None)
        (world.destination / "manifest.json").rmdir()
        assert world.retry(outcome).state == "success"
        assert (world.posts, len(world.rows())) == (2, 2)

    def test_an_error_that_nobody_foresaw_is_kept_to_its_item_and_told_with_its_traceback(
        self, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        land = Delivery.land

        def clumsy(self: Delivery, *args: Any) -> Any:
            if self.scope.item_key == "a":
                raise ZeroDivisionError("division by zero")
            return land(self, *args)

        monkeypatch.setattr(Delivery, "land", clumsy)
        world.run(world.batch(["a", "b"], retries=1))
        assert world.rows()["b"]["outcome"] == "succeeded"
        assert "An error that nobody foresaw (ZeroDivisionError: division by zero)" in world.rows()["a"]["reason"]
        assert "It may be paid" in world.rows()["a"]["reason"]
        assert "in clumsy" in capsys.readouterr().out
        monkeypatch.undo()


class TestTheLog:
    def test_has_a_line_now_and_then_and_none_of_a_healthy_item(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fault(world, "b", outcome="blocked")
        world.run(world.batch(SIX, min_success=5, max_in_flight=1))
        lines = [line for line in capsys.readouterr().out.splitlines() if "BatchOperator" in line]
        assert len(lines) <= 25
        assert any("6 items, at most about $0.054 if all are bought" in line for line in lines)
        if not world.deferrable:
            said = r"0 to go, 6 waiting \(\d of them have ended\), 0 landed, 0 failed; \$0 so far"
            assert any(re.search(said, line) for line in lines)
        assert any("6 items: 5 succeeded, 1 blocked; $0.045000." in line for line in lines)
        assert not any("'a'" in line or "'c'" in line for line in lines)
        (warning,) = [line for line in lines if "warning" in line]
        assert "Item 'b': Runflow run " in warning
        assert "Failed runs are not billed" in warning

    def test_progress_tells_what_it_cost_so_far_and_when_it_will_be_over(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.emulator.add_fault(route="create", effect="latency", seconds=6)
        world.run(world.batch(SIX, max_in_flight=1))
        lines = [line for line in capsys.readouterr().out.splitlines() if " to go, " in line]
        assert any("4 to go, 2 waiting" in line and "At this pace all are dealt with by" in line for line in lines)

    def test_shows_the_batch_before_it_waits(self, world: World) -> None:
        outcome = world.run(world.batch(SIX))
        shown = world.airflow.xcom(outcome.attempt.task, "runflow_batch")
        assert (shown["items"], shown["model"]) == (6, "openai/gpt-image-2")
        assert shown["client_ref"] == world.result(outcome)["client_ref"]
