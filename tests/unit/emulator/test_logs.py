# SPDX-License-Identifier: Apache-2.0
"""What is logged of a run, and the list of statuses: read off the same timeline as everything else."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.emulator.runs import TERMINAL
from tests.unit.emulator.api import Api, error


def lines(api: Api, run_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.http.get(f"/v1/runs/{run_id}/logs").json()["items"]
    return items


class TestLogs:
    def test_they_grow_with_the_run_and_never_tell_the_future(self, api: Api) -> None:
        run_id = api.created()
        assert [line["message"] for line in lines(api, run_id)] == ["Run queued"]
        api.clock.advance(31)
        told = lines(api, run_id)
        assert [line["message"] for line in told] == [
            "Run queued",
            "Run dispatched to the provider",
            "The provider has started",
            "Run succeeded",
        ]
        assert [line["timestamp"] for line in told] == sorted(line["timestamp"] for line in told)
        assert told[-1]["timestamp"] == api.run(run_id)["completed_at"]

    def test_a_line_has_the_fields_of_the_reference_and_the_whole_run(self, api: Api) -> None:
        run = api.finished()
        line = lines(api, run["id"])[0]
        assert line.keys() == {"id", "run_id", "level_code", "message", "timestamp", "meta", "run"}
        assert line["run"].keys() == run.keys()
        assert run["has_logs"]

    @pytest.mark.parametrize(("outcome", "level"), [("failed", "error"), ("blocked", "error"), ("partial", "info")])
    def test_the_last_line_says_how_it_ended(self, outcome: str, level: str) -> None:
        api = Api({"outcome": outcome})
        run = api.finished(num_images=2)
        last = lines(api, run["id"])[-1]
        assert last["level_code"] == level
        assert (run["failure_message"] or run["status_code"]) in last["message"]

    def test_after_a_cancellation_the_provider_is_not_said_to_have_started(self, api: Api) -> None:
        run_id = api.created()
        api.client("rf_svc_test").post(f"/v1/admin/runs/{run_id}/cancellation")
        api.clock.advance(31)
        assert [line["message"] for line in lines(api, run_id)] == ["Run queued", "Run cancelled"]

    def test_one_line_is_read_by_its_id(self, api: Api) -> None:
        run_id = api.created()
        (line,) = lines(api, run_id)
        assert api.http.get(f"/v1/runs/{run_id}/logs/{line['id']}").json() == line
        assert error(api.http.get(f"/v1/runs/{run_id}/logs/none")) == (404, "LOG_NOT_FOUND")

    def test_they_come_in_pages(self, api: Api) -> None:
        run = api.finished()
        first = api.http.get(f"/v1/runs/{run['id']}/logs", params={"limit": 3}).json()
        rest = api.http.get(f"/v1/runs/{run['id']}/logs", params={"limit": 3, "pq": first["next"]}).json()
        assert (len(first["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)

    def test_those_of_an_unknown_run_are_404(self, api: Api) -> None:
        assert error(api.http.get("/v1/runs/none/logs")) == (404, "RUN_NOT_FOUND")


class TestStatuses:
    @pytest.mark.parametrize("spelling", ["canceled", "cancelled"])
    def test_they_are_all_that_a_run_can_have_in_the_spelling_of_the_switch(self, spelling: str) -> None:
        items = Api(cancelled_spelling=spelling).http.get("/v1/runs/statuses").json()["items"]
        codes = {item["code"] for item in items}
        assert codes == {"queued", "dispatching", "running", *TERMINAL} - {"cancelled"} | {spelling}
