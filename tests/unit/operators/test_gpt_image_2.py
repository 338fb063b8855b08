# SPDX-License-Identifier: Apache-2.0
"""What a DAG author sees of GptImage2Operator. Every scenario runs on a worker and in the triggerer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import HAS_TASK_STATE_STORE, in_dag
from tests.unit.operators.conftest import KEY, World

RESULT_KEYS = [
    "schema_version",
    "run_id",
    "model",
    "status",
    "cost_usd",
    "duration_ms",
    "client_ref",
    "images",
]


class TestAPictureLands:
    def test_the_return_value_says_what_is_where_in_small_json_types(self, world: World) -> None:
        outcome = world.run(world.operator())
        result = world.result(outcome)
        (image,) = result["images"]
        data = Path(image["uri"].removeprefix("file://")).read_bytes()
        assert list(result) == RESULT_KEYS
        assert result["status"] == "succeeded"
        assert result["cost_usd"] == "0.009000"
        assert result["run_id"] == world.billed[0]["run_id"]
        assert image["index"] == 0
        assert image["content_type"] == "image/png"
        assert (image["width"], image["height"]) == (64, 64)
        assert image["size_bytes"] == len(data)
        assert image["sha256"] == hashlib.sha256(data).hexdigest()
        assert json.loads(json.dumps(result)) == result

    def test_each_part_of_the_result_is_an_xcom_of_its_own(self, world: World) -> None:
        operator = world.operator()
        result = world.result(world.run(operator))
        assert {key: world.airflow.xcom(operator, key) for key in RESULT_KEYS} == result

    @pytest.mark.parametrize(
        ("output_format", "content_type", "suffix"),
        [("png", "image/png", ".png"), ("jpeg", "image/jpeg", ".jpg"), ("webp", "image/webp", ".webp")],
    )
    def test_it_lands_in_the_format_that_was_asked_for(
        self, world: World, output_format: str, content_type: str, suffix: str
    ) -> None:
        result = world.result(world.run(world.operator(output_format=output_format)))
        assert result["images"][0]["content_type"] == content_type
        assert result["images"][0]["uri"].endswith(suffix)

    def test_all_pictures_of_a_run_land_under_names_of_their_own(self, world: World) -> None:
        result = world.result(world.run(world.operator(num_images=4)))
        assert [image["index"] for image in result["images"]] == [0, 1, 2, 3]
        assert len(world.files()) == 4
        assert result["cost_usd"] == "0.036000"

    def test_a_sidecar_says_where_the_picture_comes_from(self, world: World) -> None:
        result = world.result(world.run(world.operator(prompt="a {{ ds }} cat")))
        (sidecar,) = world.sidecars()
        assert sidecar["prompt"] == "a 2026-03-02 cat"
        assert sidecar["runflow_run_id"] == result["run_id"]
        assert sidecar["image"]["sha256"] == result["images"][0]["sha256"]
        assert sidecar["airflow"] == {
            "dag_id": "campaign",
            "task_id": "hero",
            "run_id": "manual__2026-03-02",
            "map_index": -1,
        }

    def test_names_follow_the_pattern(self, world: World) -> None:
        world.run(world.operator(filename_pattern="spring/{task_id}_{index}.{ext}", num_images=2))
        assert world.files() == ["hero_0.png", "hero_1.png"]

    def test_templates_are_rendered(self, world: World) -> None:
        operator = world.operator(
            quality="{{ params.quality }}", params={"quality": "medium"}, item_key="{{ task.task_id }}-x"
        )
        assert world.result(world.run(operator))["cost_usd"] == "0.034000"
        assert world.sidecars()[0]["request"]["item_key"] == "hero-x"

    def test_sidecars_can_be_left_out(self, world: World) -> None:
        world.run(world.operator(sidecars=None))
        assert world.sidecars() == []

    def test_sidecars_can_go_to_a_private_prefix(self, world: World, tmp_path: Path) -> None:
        world.run(world.operator(sidecars=str(tmp_path / "private")))
        assert world.sidecars() == []
        assert [p.suffix for p in (tmp_path / "private").iterdir()] == [".json"]


def test_nothing_is_pushed_where_xcoms_are_switched_off(world: World) -> None:
    world.emulator.add_fault(route="create", outcome="partial", images=1)
    world.run(world.operator(do_xcom_push=False, num_images=2))
    kept = [set(xcoms) for xcoms in world.airflow.xcoms.values()]
    assert kept == [{"_link_RunflowRunLink"}]


class TestWithoutADestination:
    def test_it_warns_that_the_only_copy_expires_and_returns_an_index_per_picture(
        self, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = world.result(world.run(world.operator(destination=None, num_images=2)))
        assert [image["index"] for image in result["images"]] == [0, 1]
        assert {image["uri"] for image in result["images"]} == {None}
        logged = _logged(caplog, capsys)
        assert "the only copy of the pictures stays at Runflow, where it expires" in logged
        said_last = logged[logged.index("NOT LANDED") :]
        assert f"Runflow run {result['run_id']} made 2 picture(s) (Runflow billed $0.018000)" in said_last
        assert "their only copy expires at Runflow after 24 hours to 3 days" in said_last
        assert f"RunflowToObjectStorageOperator with runflow_run_id='{result['run_id']}'" in said_last

    def test_the_default_destination_of_the_configuration_is_used(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__RUNFLOW__DEFAULT_DESTINATION", str(world.destination))
        world.run(world.operator(destination=None))
        assert len(world.files()) == 1

    def test_not_waiting_returns_the_run_at_once_and_lands_nothing(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(destination=None, wait_for_completion=False))
        result = world.result(outcome)
        assert outcome.state == "success"
        assert result["status"] == "queued"
        assert result["images"] == []
        assert result["cost_usd"] is None
        assert result["run_id"]

    def test_a_retry_of_a_task_that_does_not_wait_pays_once(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(destination=None, wait_for_completion=False))
        first = world.result(outcome)["run_id"]
        assert world.result(world.airflow.retry(outcome))["run_id"] == first
        assert world.posts == 1


class TestPaidOnce:
    def test_a_cleared_task_returns_the_same_pictures_without_a_call(self, world: World) -> None:
        outcome = world.run(world.operator())
        before = world.emulator.ledger(world.clock.now())["requests"]
        again = world.clear(outcome)
        assert world.result(again)["images"][0]["sha256"] == world.sidecars()[0]["image"]["sha256"]
        assert world.emulator.ledger(world.clock.now())["requests"] == before

    def test_a_lost_reply_is_paid_once(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="drop_after", times=1)
        assert world.run(world.operator()).state == "success"
        assert len(world.billed) == 1
        assert world.posts == 1

    def test_a_reply_that_takes_too_long_is_paid_once(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="latency", seconds=45, times=1)
        assert world.run(world.operator()).state == "success"
        assert len(world.billed) == 1

    def test_a_gateway_error_after_the_run_was_made_is_paid_once(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=502, took_effect=True, times=1)
        assert world.run(world.operator()).state == "success"
        assert len(world.billed) == 1

    def test_a_malformed_reply_is_paid_once(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="malformed", times=1)
        assert world.run(world.operator()).state == "success"
        assert len(world.billed) == 1

    def test_a_run_that_outlived_its_task_is_landed_by_the_retry(self, world: World) -> None:
        world.emulator.configure(queue_seconds=600)
        first = world.run(world.operator(timeout=60, retries=1))
        assert first.state == "up_for_retry"
        assert "billed if it succeeds. A retry of the task attaches to it for $0" in str(first.error)
        world.clock.advance(600)
        assert world.retry(first).state == "success"
        assert len(world.billed) == 1

    def test_a_retry_after_an_expired_deadline_waits_a_fresh_timeout(self, world: World) -> None:
        world.emulator.configure(queue_seconds=100)
        first = world.run(world.operator(timeout=60, retries=1))
        assert first.state == "up_for_retry"
        assert world.retry(first).state == "success"
        assert world.posts == 1

    def test_a_refusal_after_a_lost_reply_does_not_lead_to_a_second_bill(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="drop_after", times=1)
        world.emulator.add_fault(route="create", effect="status", status=429, times=5)
        world.emulator.add_fault(route="list", effect="lag", seconds=30)
        first = world.run(world.operator(retries=1))
        assert first.state == "up_for_retry"
        assert "so a run may exist and bill" in str(first.error)
        assert world.retry(first).state == "success"
        assert len(world.billed) == 1

    @pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="only a journal knows under which key it was bought")
    def test_an_item_key_that_renders_otherwise_on_a_retry_does_not_buy_again(self, world: World) -> None:
        world.emulator.configure(queue_seconds=600)
        first = world.run(world.operator(item_key="try-{{ ti.try_number }}", timeout=30, retries=1))
        world.clock.advance(700)
        assert world.retry(first).state == "success"
        assert world.posts == 1

    @pytest.mark.parametrize("none", [None, ""])
    def test_no_variation_and_an_empty_one_are_the_same(self, world: World, none: str | None) -> None:
        world.run(world.operator())
        world.run(world.operator(variation=none), try_number=2, max_tries=1)
        assert world.posts == 1

    def test_a_number_is_an_item_key_too(self, world: World) -> None:
        for sku in (0, 1001):
            world.run(world.operator(item_key=sku, task_id=f"sku{sku}"))
        assert {sidecar["request"]["item_key"] for sidecar in world.sidecars()} == {"0", "1001"}

    def test_a_picture_whose_run_is_gone_too_says_where_it_had_landed(self, world: World) -> None:
        outcome = world.run(world.operator())
        (world.destination / world.files()[0]).unlink()
        world.clock.advance(3600)
        world.emulator.add_fault(route="get", effect="status", status=404)
        again = world.clear(outcome)
        if HAS_TASK_STATE_STORE:
            assert again.state == "failed"
            assert "was landed before (file://" in str(again.error)
            assert "Restore the objects, or give another `variation`" in str(again.error)
        assert world.posts == 1

    def test_another_variation_buys_another_take(self, world: World) -> None:
        world.run(world.operator())
        world.run(world.operator(variation=2), try_number=2, max_tries=1)
        assert len(world.billed) == 2
        assert len(world.files()) == 2

    def test_within_retries_a_clear_buys_another_picture(self, world: World) -> None:
        outcome = world.run(world.operator(reuse_within="retries"))
        again = world.clear(outcome)
        assert again.state == "success"
        assert len(world.billed) == 2
        assert len(world.files()) == 2

    def test_within_a_destination_a_later_dag_run_submits_nothing(self, world: World) -> None:
        operator = world.operator(reuse_within="destination", item_key="mug")
        first = world.result(world.run(operator, run_id="monday"))
        again = world.result(world.run(operator, run_id="tuesday"))
        assert again["images"] == first["images"]
        assert again["run_id"] == first["run_id"]
        assert world.posts == 1

    def test_within_a_destination_an_edited_item_buys_one_picture(self, world: World) -> None:
        world.run(world.operator(reuse_within="destination", item_key="mug"), run_id="monday")
        world.run(world.operator(reuse_within="destination", item_key="mug", prompt="a dog"), run_id="tuesday")
        assert world.posts == 2

    def test_two_dag_runs_that_overlap_on_a_destination_share_one_run(self, world: World) -> None:
        operator = world.operator(reuse_within="destination", item_key="mug", wait_for_completion=True)
        world.emulator.configure(queue_seconds=100_000)
        first = world.run(world.operator(reuse_within="destination", item_key="mug", timeout=30), run_id="monday")
        assert first.state == "failed"
        world.emulator.configure(queue_seconds=0)
        world.clock.advance(200_000)
        assert world.run(operator, run_id="tuesday").state == "success"
        assert world.posts == 1

    def test_mapped_instances_buy_one_picture_each_and_share_a_reference(self, world: World) -> None:
        operator = world.operator()
        results = [world.result(world.run(operator, map_index=index)) for index in range(3)]
        assert len({result["client_ref"] for result in results}) == 1
        assert len({result["run_id"] for result in results}) == 3
        assert len(world.files()) == 3

    def test_pictures_that_somebody_deleted_are_landed_again_for_nothing(self, world: World) -> None:
        outcome = world.run(world.operator())
        name = world.files()[0]
        (world.destination / name).unlink()
        assert world.clear(outcome).state == "success"
        assert world.files() == [name]
        assert world.posts == 1

    @pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="only a journal knows what was recorded first")
    def test_a_retry_that_renders_otherwise_resumes_the_first_request(
        self, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.emulator.configure(queue_seconds=600)
        operator = world.operator(prompt="try {{ ti.try_number }}", timeout=30, retries=1)
        first = world.run(operator)
        world.clock.advance(700)
        again = world.retry(first)
        assert again.state == "success"
        assert world.posts == 1
        assert world.sidecars()[0]["prompt"] == "try 1"
        assert "another request than the first one (prompt)" in _logged(caplog, capsys)


class TestRunsThatDoNotSucceed:
    def test_a_failed_run_is_not_billed_and_the_retry_submits_it_anew(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="failed", code="PROVIDER_TIMEOUT", message="too slow", times=1)
        first = world.run(world.operator(retries=1))
        assert first.state == "up_for_retry"
        assert "PROVIDER_TIMEOUT: too slow" in str(first.error)
        assert "Failed runs are not billed. A retry of the task submits it anew" in str(first.error)
        assert world.retry(first).state == "success"
        assert len(world.billed) == 1
        assert world.posts == 2

    def test_a_blocked_run_fails_at_once_whatever_the_retries(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="blocked")
        outcome = world.run(world.operator(retries=5))
        assert outcome.state == "failed"
        assert type(outcome.error).__name__ == "AirflowFailException"
        assert "The same request would fail again, so it is not retried" in str(outcome.error)
        assert world.billed == []

    def test_a_cleared_task_does_not_try_a_blocked_request_again_unchanged(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="blocked")
        outcome = world.clear(world.run(world.operator()))
        assert outcome.state == "failed"
        assert world.posts == 1

    @pytest.mark.parametrize("spelling", ["canceled", "cancelled"])
    def test_a_cancelled_run_stops_and_says_that_nothing_is_refunded(self, world: World, spelling: str) -> None:
        world.emulator.configure(cancelled_spelling=spelling)
        world.emulator.add_fault(route="create", outcome="cancelled")
        outcome = world.run(world.operator(retries=3))
        assert outcome.state == "failed"
        assert "was cancelled. Cancelling does not refund" in str(outcome.error)

    def test_what_a_partial_run_delivered_is_landed_and_shown_though_the_task_fails(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=2)
        operator = world.operator(num_images=3, retries=3)
        outcome = world.run(operator)
        assert outcome.state == "failed"
        assert "delivered 2 of 3 pictures" in str(outcome.error)
        assert "a retry would bring the same ones for $0" in str(outcome.error)
        assert len(world.files()) == 2
        assert len(world.result(outcome)["images"]) == 2
        assert world.airflow.xcom(operator, "status") == "partial_succeeded"

    def test_clearing_a_partial_task_says_the_same_and_buys_nothing(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=2)
        outcome = world.clear(world.run(world.operator(num_images=3)))
        assert outcome.state == "failed"
        assert "delivered 2 of 3 pictures" in str(outcome.error)
        assert world.posts == 1

    @pytest.mark.parametrize("destination", [True, False])
    def test_a_run_that_lists_no_pictures_says_so_and_can_be_read_again(self, world: World, destination: bool) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=0)
        more = {} if destination else {"destination": None}
        outcome = world.run(world.operator(retries=1, **more))
        assert outcome.state == "up_for_retry"
        assert "lists no pictures" in str(outcome.error)

    def test_pictures_that_stay_at_runflow_are_not_said_to_be_kept(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=1)
        outcome = world.run(world.operator(num_images=2, destination=None))
        assert "still at Runflow, where they expire" in str(outcome.error)

    def test_a_stuck_run_ends_at_the_deadline_and_goes_on(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="stuck")
        outcome = world.run(world.operator(timeout=120))
        assert outcome.state == "failed"
        assert "was still running" in str(outcome.error)
        assert world.clock.now().timestamp() >= _submitted_at(world) + 120


class TestTheApiSaysNo:
    @pytest.mark.parametrize(
        ("fault", "words", "state"),
        [
            ({"status": 401, "code": "UNAUTHORIZED"}, "Correct the API key", "failed"),
            ({"status": 402, "code": "INSUFFICIENT_CREDIT"}, "Top up the balance", "failed"),
            ({"status": 403, "code": "PERMISSION_DENIED"}, "scopes that the request needs (runs:create", "failed"),
            ({"status": 404, "code": "MODEL_NOT_FOUND"}, "Check the model id", "failed"),
            ({"status": 422, "code": "VALIDATION_ERROR"}, "Correct what Runflow names", "failed"),
            ({"status": 400, "code": "BAD_REQUEST"}, "Correct what Runflow names", "failed"),
            ({"status": 429, "code": "RATE_LIMITED"}, "helps after a pause", "up_for_retry"),
        ],
        ids=["401", "402", "403", "404", "422", "400", "429"],
    )
    def test_a_definite_no_costs_nothing_and_says_what_to_do(
        self, world: World, fault: dict[str, Any], words: str, state: str
    ) -> None:
        world.emulator.add_fault(route="create", effect="status", **fault)
        outcome = world.run(world.operator(retries=2))
        assert outcome.state == state
        text = _whole_text(outcome.error)
        assert f"HTTP {fault['status']} {fault['code']}" in text
        if state == "failed":
            assert "Nothing was submitted by this attempt, so it costs nothing" in text
            assert words in text
        assert world.billed == []

    def test_a_presigned_url_in_the_servers_words_is_cut(self, world: World) -> None:
        message = "cannot fetch https://bucket.example/in.png?X-Amz-Signature=abc123"
        world.emulator.add_fault(route="create", effect="status", status=422, message=message)
        outcome = world.run(world.operator())
        assert "https://bucket.example/in.png" in str(outcome.error)
        assert "abc123" not in _whole_text(outcome.error)

    def test_a_key_that_is_revoked_while_it_waits_ends_alike_in_both_modes(self, world: World) -> None:
        world.emulator.configure(queue_seconds=300)
        world.emulator.add_fault(route="get", effect="status", status=401, code="UNAUTHORIZED", after=1)
        outcome = world.run(world.operator(retries=3))
        assert outcome.state == "failed"
        assert "cannot be read any more: Connection 'runflow_default': HTTP 401 UNAUTHORIZED" in str(outcome.error)
        assert "attaches to this run for $0" in str(outcome.error)

    def test_a_wrong_value_in_a_mapped_task_fails_at_once_and_costs_nothing(self, world: World) -> None:
        with in_dag():
            mapped = type(world.operator()).partial(task_id="many", quality="hihg", retries=3).expand(prompt=["a cat"])
        outcome = world.run(mapped.unmap({"prompt": "a cat"}), map_index=0)
        assert outcome.state == "failed"
        assert "quality='hihg'" in str(outcome.error)
        assert world.posts == 0

    def test_a_size_that_a_template_renders_to_the_text_of_an_object_is_read(self, world: World) -> None:
        world.emulator.configure(picture_size=(1088, 1360))
        operator = world.operator(image_size="{{ params.size }}", params={"size": {"width": 1088, "height": 1360}})
        assert world.run(operator).state == "success"
        assert world.emulator.runs[0].input["image_size"] == {"width": 1088, "height": 1360}

    def test_a_callback_address_that_renders_wrong_is_refused_before_the_money(self, world: World) -> None:
        outcome = world.run(world.operator(callback_url="{{ 'ftp:nothing' }}"))
        assert outcome.state == "failed"
        assert "callback_url='ftp:nothing'" in str(outcome.error)
        assert world.posts == 0

    def test_field_errors_are_named(self, world: World) -> None:
        outcome = world.run(world.operator(num_images=7))
        assert outcome.state == "failed"
        assert "HTTP 422" in str(outcome.error)
        assert "input.num_images: " in str(outcome.error)

    def test_an_over_long_prompt_is_refused_by_the_server_with_the_field_named(self, world: World) -> None:
        outcome = world.run(world.operator(prompt="x" * 32_001))
        assert outcome.state == "failed"
        assert "input.prompt" in str(outcome.error)
        assert world.billed == []

    @pytest.mark.parametrize(
        ("route", "fault", "words"),
        [
            ("any", {"effect": "drop_before"}, "runflow.test could not be reached (ConnectError"),
            ("any", {"effect": "drop_after"}, "runflow.test could not be reached (ReadError"),
            ("any", {"effect": "latency", "seconds": 100}, "did not answer in time (ReadTimeout"),
            ("any", {"effect": "status", "status": 503}, "HTTP 503"),
            ("any", {"effect": "malformed"}, "HTTP 200: the answer is not JSON"),
            ("create", {"effect": "status", "status": 503}, "3 submissions got no usable answer, and no run is to be"),
            ("create", {"effect": "status", "status": 409}, "The idempotency key is taken (HTTP 409"),
        ],
        ids=lambda value: str(value.get("status", value["effect"])) if isinstance(value, dict) else value[:12],
    )
    def test_a_server_without_a_usable_answer_leaves_a_task_that_can_be_retried(
        self, world: World, route: str, fault: dict[str, Any], words: str
    ) -> None:
        world.emulator.add_fault(route=route, **fault)
        outcome = world.run(world.operator(retries=1))
        assert outcome.state == "up_for_retry"
        assert words in str(outcome.error)
        money = "Nothing was submitted by this attempt" if route == "any" else "looks for the run before it pays"
        assert money in str(outcome.error)
        world.emulator.clear_faults()
        assert world.retry(outcome).state == "success"
        assert len(world.billed) == 1

    def test_trouble_while_waiting_does_not_end_the_wait(self, world: World) -> None:
        for fault in ({"status": 503}, {"status": 429}, {"effect": "malformed"}, {"effect": "drop_before"}):
            world.emulator.add_fault(route="get", **{"effect": "status", "times": 7, **fault})
        assert world.run(world.operator()).state == "success"
        assert len(world.billed) == 1

    def test_a_definite_no_is_followed_by_a_paid_run_once_it_is_mended(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=402, times=1)
        outcome = world.run(world.operator())
        assert outcome.state == "failed"
        assert world.clear(outcome).state == "success"
        assert len(world.billed) == 1


class TestConnections:
    def test_a_missing_connection_is_named_with_the_variable_that_would_define_it(self, world: World) -> None:
        outcome = world.run(world.operator(runflow_conn_id="brand", retries=1))
        # Airflow does not tell a connection that is missing from a secrets backend that is down.
        assert outcome.state == "up_for_retry"
        assert "Connection 'brand' cannot be read" in str(outcome.error)
        assert "AIRFLOW_CONN_BRAND" in str(outcome.error)

    def test_a_connection_of_another_type_is_refused(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BRAND", '{"conn_type": "http", "password": "x"}')
        outcome = world.run(world.operator(runflow_conn_id="brand"))
        assert "is of type 'http'; it must be of type 'runflow'" in str(outcome.error)

    def test_a_staging_connection_refuses_a_higher_quality_before_the_money(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = {
            "conn_type": "runflow",
            "host": "http://runflow.test",
            "password": KEY,
            "extra": {"max_quality": "low"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_STAGING", json.dumps(connection))
        outcome = world.run(world.operator(runflow_conn_id="staging", quality="high"))
        assert "quality='high': connection 'staging' allows at most 'low'" in str(outcome.error)
        assert world.posts == 0


class TestLanding:
    def test_a_truncated_download_is_tried_again(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="truncate", times=2)
        assert world.run(world.operator()).state == "success"

    def test_an_expired_url_is_signed_anew_by_reading_the_run(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="expired", times=1)
        assert world.run(world.operator()).state == "success"

    @pytest.mark.parametrize("effect", ["html", "truncate", "oversize"])
    def test_a_picture_that_cannot_be_had_is_paid_and_landed_by_the_retry(self, world: World, effect: str) -> None:
        world.emulator.add_fault(route="output", effect=effect)
        first = world.run(world.operator(retries=1))
        assert first.state == "up_for_retry"
        assert "paid" in str(first.error)
        assert "lands the same run for $0" in str(first.error)
        world.emulator.clear_faults()
        assert world.retry(first).state == "success"
        assert len(world.billed) == 1

    def test_what_landed_is_shown_when_another_picture_of_the_run_did_not(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="html", after=1)
        operator = world.operator(num_images=2, retries=1)
        first = world.run(operator)
        assert first.state == "up_for_retry"
        assert "1 of 2 pictures" in str(first.error)
        assert len(world.result(first)["images"]) == 1
        world.emulator.clear_faults()
        assert len(world.result(world.retry(first))["images"]) == 2
        assert len(world.billed) == 1

    def test_a_name_taken_by_another_picture_is_found_before_the_money(self, world: World) -> None:
        world.destination.mkdir()
        (world.destination / "hero.png").write_bytes(b"somebody else's")
        outcome = world.run(world.operator(filename_pattern="hero.{ext}"))
        assert outcome.state == "failed"
        assert "hero.png is taken by another picture" in str(outcome.error)
        assert "Nothing was submitted" in str(outcome.error)
        assert world.posts == 0

    def test_a_name_that_is_taken_while_the_run_goes_on_is_not_overwritten(self, world: World) -> None:
        world.emulator.configure(queue_seconds=300)
        first = world.run(world.operator(filename_pattern="hero.{ext}", timeout=30, retries=1))
        world.destination.mkdir(exist_ok=True)
        (world.destination / "hero.png").write_bytes(b"somebody else's")
        world.clock.advance(400)
        again = world.retry(first)
        assert again.state == "success"
        assert (world.destination / "hero.png").read_bytes() == b"somebody else's"
        assert len(world.files()) == 2

    def test_replace_overwrites_at_the_users_word(self, world: World) -> None:
        world.destination.mkdir()
        (world.destination / "hero.png").write_bytes(b"last week's")
        assert world.run(world.operator(filename_pattern="hero.{ext}", replace=True)).state == "success"
        assert (world.destination / "hero.png").read_bytes() != b"last week's"

    def test_a_destination_that_renders_to_nothing_is_refused_before_the_money(self, world: World) -> None:
        outcome = world.run(world.operator(destination="{{ '' }}"))
        assert "destination: renders to nothing" in str(outcome.error)
        assert world.posts == 0


class TestWhileItWaits:
    def test_the_run_is_shown_before_the_wait(self, world: World) -> None:
        operator = world.operator()
        outcome = world.airflow.run(operator)
        if world.deferrable:
            assert outcome.deferred
        shown = world.airflow.xcom(operator, "runflow_run")
        assert shown["model"] == "openai/gpt-image-2"
        assert shown["run_id"]
        assert shown["prompt"] == operator.prompt
        assert shown["quality"] == operator.quality

    def test_a_task_that_fails_shows_why(self, world: World) -> None:
        operator = world.operator(destination="{{ '' }}")
        world.run(operator)
        end = world.airflow.xcom(operator, "runflow_end")
        assert end["outcome"] == "invalid"
        assert "destination: renders to nothing" in end["reason"]

    def test_the_link_leads_to_the_tasks_pictures_unless_the_connection_knows_a_page(self, world: World) -> None:
        operator = world.operator()
        world.airflow.run(operator)
        link = world.airflow.xcom(operator, "_link_RunflowRunLink")
        assert link == "/dags/campaign/runs/manual__2026-03-02/tasks/hero/plugin/runflow-pictures-task"

    def test_the_run_is_shown_after_a_clear_that_reuses_it(self, world: World) -> None:
        operator = world.operator()
        outcome = world.run(operator)
        run_id = world.result(outcome)["run_id"]
        world.clear(outcome)
        assert world.airflow.xcom(operator, "runflow_run")["run_id"] == run_id
        assert world.airflow.xcom(operator, "_link_RunflowRunLink")

    def test_the_link_follows_the_connections_template(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = {
            "conn_type": "runflow",
            "host": "http://runflow.test",
            "password": KEY,
            "extra": {"run_url_template": "https://app.example/runs/{run_id}"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
        operator = world.operator()
        world.airflow.run(operator)
        run_id = world.airflow.xcom(operator, "runflow_run")["run_id"]
        assert world.airflow.xcom(operator, "_link_RunflowRunLink") == f"https://app.example/runs/{run_id}"


class TestSecrets:
    def test_neither_key_nor_presigned_query_is_in_anything_that_is_kept_or_said(
        self,
        world: World,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        caplog.set_level("DEBUG")
        world.emulator.add_fault(route="output", effect="html", times=5)
        operator = world.operator(retries=2, metadata={"campaign": "spring"})
        first = world.run(operator)
        failed_text = _whole_text(first.error)
        second = world.retry(first)
        assert second.state == "success"
        kept = json.dumps(
            [
                [message.model_dump(mode="json") for message in world.airflow.messages if _is_kept(message)],
                list(world.airflow.states.values()),
                [list(scope.values()) for scope in world.airflow.xcoms.values()],
                list(world.airflow.rendered.values()),
                world.sidecars(),
                failed_text,
            ],
            default=str,
        )
        for said in (kept, _logged(caplog, capsys)):
            assert KEY not in said
            assert "X-Amz" not in said
            assert "Signature" not in said


def _is_kept(message: Any) -> bool:
    return type(message).__name__ not in {"MaskSecret"}


def _logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return caplog.text + captured.out + captured.err


def _whole_text(error: BaseException | None) -> str:
    texts = []
    while error is not None:
        texts.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def _submitted_at(world: World) -> float:
    (run,) = world.emulator.runs
    return run.timeline.created_at.timestamp()
