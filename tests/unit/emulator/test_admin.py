# SPDX-License-Identifier: Apache-2.0
"""What the emulator offers beside the API: faults, switches, the clock, a fresh start, pages for people."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, SystemClock, emulator_transport
from tests.unit.emulator.api import Api, error, refused_fields


class TestFaultsEndpoint:
    def test_rules_are_added_listed_with_counters_and_removed(self, api: Api) -> None:
        admin = api.client(None)
        added = admin.post("/_emulator/faults", json={"route": "list", "effect": "status", "times": 5})
        assert added.status_code == 201
        fault_id = added.json()["faults"][0]["id"]
        api.http.get("/v1/runs")
        listed = admin.get("/_emulator/faults").json()["faults"]
        assert listed == [{"id": fault_id, "route": "list", "effect": "status", "times": 5, "seen": 1, "fired": 1}]
        assert admin.delete(f"/_emulator/faults/{fault_id}").json() == {"removed": 1}
        assert api.http.get("/v1/runs").status_code == 200

    def test_several_rules_come_in_one_list_and_go_together(self, api: Api) -> None:
        rules = [{"route": "get", "effect": "status"}, {"outcome": "failed"}]
        assert len(api.http.post("/_emulator/faults", json=rules).json()["faults"]) == 2
        assert api.http.delete("/_emulator/faults").json() == {"removed": 2}
        assert api.emulator.faults == []

    def test_one_wrong_rule_arms_none(self, api: Api) -> None:
        rules = [{"route": "get", "effect": "status"}, {"effect": "explode"}]
        response = api.http.post("/_emulator/faults", json=rules)
        assert refused_fields(response) == {"body": "value_error"}
        assert "effect must be one of" in response.json()["errors"][0]["msg"]
        assert api.emulator.faults == []

    @pytest.mark.parametrize("body", [[1], "x", 3])
    def test_what_is_no_rule_is_422(self, api: Api, body: object) -> None:
        assert api.http.post("/_emulator/faults", json=body).status_code == 422

    def test_python_and_http_arm_the_same_rules(self, api: Api) -> None:
        armed = api.emulator.add_fault(route="list", effect="status")
        assert api.http.get("/_emulator/faults").json()["faults"][0]["id"] == armed.id
        assert armed.fired == 0
        api.http.get("/v1/runs")
        assert armed.fired == 1


class TestConfigEndpoint:
    def test_switches_are_read_and_changed_while_it_runs(self, api: Api) -> None:
        body = api.http.post("/_emulator/config", json={"time_scale": 50, "picture_size": [64, 64]}).json()
        assert (body["time_scale"], body["picture_size"]) == (50, [64, 64])
        assert api.emulator.config.picture_size == (64, 64)
        assert api.http.get("/_emulator/config").json() == body

    def test_keys_are_not_shown(self) -> None:
        api = Api(api_keys=["rf_live_test"])
        assert "rf_live_test" not in api.http.get("/_emulator/config").text

    @pytest.mark.parametrize(
        "change",
        [{"speed": 3}, {"time_scale": 0}, {"time_scale": "fast"}, {"idempotency": "yes"}, {"balance": "much"},
         {"cancelled_spelling": "cancled"}, {"picture_size": [0, 4]}, {"picture_size": 64}, {"force_format": "gif"},
         {"max_images": 0}, {"url_ttl": 0}],
    )  # fmt: skip
    def test_a_wrong_switch_is_422_and_changes_nothing(self, api: Api, change: dict[str, object]) -> None:
        before = api.emulator.config
        assert api.http.post("/_emulator/config", json=change).status_code == 422
        assert api.emulator.config == before

    def test_a_run_keeps_the_timeline_it_was_created_with(self, api: Api) -> None:
        run_id = api.created()
        api.emulator.configure(time_scale=1000)
        api.clock.advance(5)
        assert api.run(run_id)["status_code"] == "running"


class TestResetAndClock:
    def test_reset_forgets_all_and_restores_how_it_was_started(self) -> None:
        api = Api({"route": "list", "effect": "status", "times": 1}, seed=4)
        first = api.created(key="k")
        api.http.get("/v1/runs")
        api.emulator.configure(seed=5)
        api.emulator.add_fault(outcome="failed")
        assert api.http.post("/_emulator/reset").status_code == 200
        assert api.emulator.runs == []
        assert api.emulator.config.seed == 4
        assert api.http.get("/v1/runs").status_code == 503
        assert api.created(key="k") == first  # number 1 again, at the same virtual moment
        assert api.ledger()["totals"]["runs"] == 1

    def test_a_virtual_clock_is_moved_over_http(self, api: Api) -> None:
        run_id = api.created()
        assert api.http.post("/_emulator/clock", json={"advance": 31}).json() == {"advanced": 31}
        assert api.run(run_id)["status_code"] == "succeeded"

    @pytest.mark.parametrize("body", [{}, {"advance": "1"}, {"advance": -1}, {"advance": True}, []])
    def test_a_clock_wants_a_number_of_seconds(self, api: Api, body: object) -> None:
        assert api.http.post("/_emulator/clock", json=body).status_code == 422

    def test_a_real_clock_cannot_be_moved(self) -> None:
        transport = emulator_transport(Emulator(), SystemClock())
        with httpx.Client(transport=transport, base_url="http://x") as client:
            assert error(client.post("/_emulator/clock", json={"advance": 1})) == (409, "CLOCK_IS_REAL")

    def test_an_unknown_admin_path_is_404(self, api: Api) -> None:
        for path in ("/_emulator/nothing", "/_emulator/ledger/x", "/_emulator/faults/x/y"):
            assert error(api.http.get(path)) == (404, "NOT_FOUND")


class TestPages:
    def test_a_run_has_a_page_that_shows_its_pictures_and_needs_nothing_from_elsewhere(self, api: Api) -> None:
        run = api.finished(num_images=2, body={"client_ref": "campaign-7"})
        page = api.client(None).get(f"/_emulator/runs/{run['id']}")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.text.count("<img ") == 2
        for text in ("succeeded", "A red fox", "campaign-7", "$0.266000", run["id"]):
            assert text in page.text
        assert "<script" not in page.text
        assert "refresh" not in page.text
        assert page.text.count("http") == page.text.count("http://runflow.test/") + page.text.count("http-equiv")

    def test_the_page_of_a_waiting_run_refreshes_itself(self, api: Api) -> None:
        page = api.client(None).get(f"/_emulator/runs/{api.created()}")
        assert 'http-equiv="refresh"' in page.text
        assert "<img" not in page.text

    def test_a_failure_is_shown(self) -> None:
        api = Api({"outcome": "blocked"})
        page = api.client(None).get(f"/_emulator/runs/{api.finished()['id']}")
        assert "CONTENT_POLICY_VIOLATION" in page.text

    def test_a_prompt_cannot_bring_markup_into_a_page(self, api: Api) -> None:
        run = api.finished("<script>alert('x')</script>", body={"client_ref": "<b>"})
        for path in (f"/_emulator/runs/{run['id']}", "/_emulator"):
            page = api.client(None).get(path).text
            assert "&lt;script&gt;" in page
            assert "<script" not in page
            assert "<b>" not in page

    def test_all_runs_are_on_the_first_page_and_the_root_leads_there(self, api: Api) -> None:
        ids = [api.created() for _ in range(3)]
        page = api.client(None).get("/", follow_redirects=True)
        assert page.url.path == "/_emulator"
        assert all(run_id in page.text for run_id in ids)

    def test_an_unknown_run_has_a_page_that_says_so(self, api: Api) -> None:
        assert api.client(None).get("/_emulator/runs/<i>").status_code == 404
