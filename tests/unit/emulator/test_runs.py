# SPDX-License-Identifier: Apache-2.0
"""How a run moves, and what it shows at each moment."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.unit.emulator.api import Api, error, refused_fields, urls


def statuses(api: Api, run_id: str, seconds: float, step: float) -> list[str]:
    """The statuses that a run goes through, each one once."""
    seen: list[str] = []
    for _ in range(int(seconds / step)):
        status = api.run(run_id)["status_code"]
        if status not in seen:
            seen.append(status)
        api.clock.advance(step)
    return seen


class TestTimeline:
    def test_a_run_moves_from_queued_over_dispatching_and_running_to_succeeded(self, api: Api) -> None:
        run_id = api.created()
        assert statuses(api, run_id, 31, 0.25) == ["queued", "dispatching", "running", "succeeded"]

    @pytest.mark.parametrize(("quality", "low", "high"), [("low", 10, 12), ("medium", 16, 20), ("high", 26, 30)])
    def test_its_duration_depends_on_quality_and_stays_within_10_to_30_seconds(
        self, quality: str, low: float, high: float
    ) -> None:
        for seed in range(20):
            api = Api(seed=seed)
            run = api.finished(quality=quality)
            took = datetime.fromisoformat(run["completed_at"][:-1]) - datetime.fromisoformat(run["created_at"][:-1])
            assert low <= took.total_seconds() <= high

    def test_a_time_scale_divides_the_duration(self) -> None:
        api = Api(time_scale=100)
        run_id = api.created()
        api.clock.advance(0.31)
        assert api.run(run_id)["status_code"] == "succeeded"

    def test_a_busy_platform_keeps_it_queued_for_longer(self) -> None:
        api = Api(queue_seconds=120)
        run_id = api.created()
        api.clock.advance(120)
        assert api.run(run_id)["status_code"] == "queued"
        api.clock.advance(31)
        assert api.run(run_id)["status_code"] == "succeeded"

    def test_started_at_completed_at_cost_and_duration_appear_when_their_time_comes(self, api: Api) -> None:
        run_id = api.created(quality="high")
        assert api.run(run_id)["started_at"] is None
        api.clock.advance(15)
        running = api.run(run_id)
        assert running["started_at"] is not None
        assert running["completed_at"] is running["duration_ms"] is running["cost"] is running["output"] is None
        api.clock.advance(16)
        done = api.run(run_id)
        assert done["cost"] == "0.133000"
        assert done["duration_ms"] > 20_000
        assert done["created_at"] < done["started_at"] < done["completed_at"]

    def test_a_terminal_run_never_changes_but_for_its_signatures(self, api: Api) -> None:
        run = api.finished()
        api.clock.advance(86_400)
        later = api.run(run["id"])
        assert {**later, "output": None} == {**run, "output": None}

    def test_output_has_one_signed_url_per_image_in_the_documented_shape(self, api: Api) -> None:
        run = api.finished(num_images=3)
        assert run["output"].keys() == {"outputs", "seed", "timing", "nsfw_detected"}
        assert len(urls(run)) == 3
        assert {item["type"] for item in run["output"]["outputs"]} == {"image"}
        assert run["cost"] == "0.399000"

    def test_the_other_output_shape_is_a_switch(self) -> None:
        run = Api(output_shape="image_urls").finished(num_images=2)
        assert run["output"].keys() == {"image_urls"}
        assert len(run["output"]["image_urls"]) == 2


class TestOutcomes:
    def test_a_failed_run_says_why_and_costs_nothing(self) -> None:
        api = Api({"outcome": "failed", "code": "PROVIDER_TIMEOUT", "message": "took too long"})
        run = api.finished()
        assert (run["status_code"], run["cost"], run["output"]) == ("failed", "0", None)
        assert (run["failure_code"], run["failure_message"]) == ("PROVIDER_TIMEOUT", "took too long")
        assert run["failure_stage_code"]
        assert api.ledger()["billed"] == []

    def test_a_blocked_prompt_is_accepted_first_and_fails_early_and_free(self) -> None:
        api = Api({"outcome": "blocked", "prompt_contains": "forbidden"})
        fine, blocked = api.created("A red fox"), api.created("A forbidden fox")
        api.clock.advance(8)
        assert api.run(blocked)["status_code"] == "failed"
        assert api.run(blocked)["failure_code"] == "CONTENT_POLICY_VIOLATION"
        api.clock.advance(31)
        assert api.run(fine)["status_code"] == "succeeded"
        assert [bill["run_id"] for bill in api.ledger()["billed"]] == [fine]

    def test_failure_fields_stay_empty_until_it_has_failed(self) -> None:
        api = Api({"outcome": "failed"})
        run_id = api.created()
        api.clock.advance(5)
        assert api.run(run_id)["failure_code"] is None

    def test_a_stuck_run_runs_for_ever_and_is_never_billed(self) -> None:
        api = Api({"outcome": "stuck"})
        run_id = api.created()
        api.clock.advance(30 * 86_400)
        assert api.run(run_id)["status_code"] == "running"
        assert api.ledger()["totals"]["cost_usd"] == "0"

    @pytest.mark.parametrize(("images", "delivered"), [(None, 3), (1, 1), (0, 0), (9, 4)])
    def test_a_partial_run_is_billed_for_what_it_delivered(self, images: int | None, delivered: int) -> None:
        api = Api({"outcome": "partial", "images": images})
        run = api.finished(num_images=4, quality="low")
        assert run["status_code"] == "partial_succeeded"
        assert len(urls(run)) == delivered
        assert api.ledger()["totals"]["cost_usd"] == (f"{0.009 * delivered:.6f}" if delivered else "0")

    def test_a_sensitive_picture_is_flagged_and_billed(self) -> None:
        api = Api({"outcome": "nsfw"})
        run = api.finished()
        assert run["output"]["nsfw_detected"] is True
        assert api.ledger()["totals"]["billed_runs"] == 1

    def test_an_outcome_may_set_how_long_the_run_takes(self) -> None:
        api = Api({"outcome": "succeeded", "seconds": 600})
        run_id = api.created()
        api.clock.advance(599)
        assert api.run(run_id)["status_code"] == "running"
        api.clock.advance(1)
        assert api.run(run_id)["status_code"] == "succeeded"

    def test_a_run_that_somebody_else_cancels_ends_half_way_and_is_billed_with_its_job(self) -> None:
        api = Api({"outcome": "cancelled"})
        run_id = api.created()
        api.clock.advance(20)
        run = api.run(run_id)
        assert (run["status_code"], run["output"], run["cost"]) == ("canceled", None, "0.133000")
        assert api.ledger()["billed"] == []
        api.clock.advance(11)
        assert api.ledger()["totals"]["cost_usd"] == "0.133000"


class TestCancellation:
    def cancel(self, api: Api, run_id: str, **body: str) -> tuple[int, dict[str, object]]:
        response = api.http.post(f"/v1/admin/runs/{run_id}/cancellation", json=body)
        return response.status_code, response.json()

    def test_an_admin_key_cancels_a_run_and_its_late_result_is_dropped_but_billed(self) -> None:
        api = Api(key="rf_svc_admin")
        run_id = api.created()
        api.clock.advance(5)
        status, run = self.cancel(api, run_id, reason="not needed")
        assert (status, run["status_code"]) == (201, "canceled")
        api.clock.advance(31)
        assert api.run(run_id)["output"] is None
        assert [bill["run_id"] for bill in api.ledger()["billed"]] == [run_id]

    def test_a_run_that_the_provider_never_got_is_not_billed(self) -> None:
        api = Api(key="rf_svc_admin")
        run_id = api.created()
        assert self.cancel(api, run_id)[0] == 201
        api.clock.advance(31)
        assert api.run(run_id)["started_at"] is None
        assert api.ledger()["billed"] == []

    def test_a_terminal_run_is_answered_with_200_and_left_as_it_is(self) -> None:
        api = Api(key="rf_svc_admin")
        run = api.finished()
        status, after = self.cancel(api, run["id"])
        assert (status, after["status_code"], after["completed_at"]) == (200, "succeeded", run["completed_at"])

    def test_cancelling_a_stuck_run_ends_it_without_a_bill(self) -> None:
        api = Api({"outcome": "stuck"}, key="rf_svc_admin")
        run_id = api.created()
        api.clock.advance(500)
        assert self.cancel(api, run_id)[1]["cost"] == "0"
        assert api.run(run_id)["status_code"] == "canceled"

    def test_other_keys_may_not_cancel(self, api: Api) -> None:
        run_id = api.created()
        response = api.http.post(f"/v1/admin/runs/{run_id}/cancellation")
        assert error(response) == (403, "PERMISSION_DENIED")

    def test_a_reason_has_3_to_500_characters(self) -> None:
        api = Api(key="rf_svc_admin")
        path = f"/v1/admin/runs/{api.created()}/cancellation"
        assert refused_fields(api.http.post(path, json={"reason": "no"})) == {"body.reason": "string_length"}
        assert refused_fields(api.http.post(path, json=[])) == {"body": "dict_type"}
        assert error(api.http.post("/v1/admin/runs/none/cancellation")) == (404, "RUN_NOT_FOUND")

    @pytest.mark.parametrize("spelling", ["canceled", "cancelled"])
    def test_both_spellings_of_the_status_exist(self, spelling: str) -> None:
        api = Api({"outcome": "cancelled"}, cancelled_spelling=spelling)
        run = api.finished()
        assert run["status_code"] == spelling
        assert api.list(q=f"status_code.EQ:'{spelling}'", fields="id")["items"] == [{"id": run["id"]}]
