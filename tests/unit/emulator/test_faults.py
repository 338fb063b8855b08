# SPDX-License-Identifier: Apache-2.0
"""Fault rules: which request they hit, how often, and what the caller sees."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_runflow.emulator.faults import Fault
from tests.unit.emulator.api import Api, error


def answers(api: Api, count: int) -> list[int]:
    return [api.http.get("/v1/runs").status_code for _ in range(count)]


class TestWhichRequests:
    def test_a_rule_fires_so_often_and_after_so_many(self) -> None:
        api = Api({"route": "list", "effect": "status", "status": 500, "after": 2, "times": 3})
        assert answers(api, 7) == [200, 200, 500, 500, 500, 200, 200]

    def test_a_rule_without_times_fires_for_ever(self) -> None:
        assert set(answers(Api({"route": "list", "effect": "status"}), 20)) == {503}

    def test_a_rule_hits_its_own_route_only_and_any_hits_all_but_the_admin(self) -> None:
        api = Api({"route": "list", "effect": "status", "status": 500})
        run = api.finished()
        assert answers(api, 1) == [500]
        api.emulator.add_fault(route="any", effect="status", status=502)
        paths = [f"/v1/runs/{run['id']}", "/v1/auth/me", "/v1/health", "/outputs/x/0.png"]
        assert [api.client().get(path).status_code for path in paths] == [502] * 4
        assert api.client().get("/_emulator/ledger").status_code == 200

    def test_the_same_seed_throws_the_same_dice_and_another_seed_others(self) -> None:
        rule = {"route": "list", "effect": "status", "probability": 0.5}
        thrown = [answers(Api(rule, seed=seed), 40) for seed in (1, 1, 2)]
        assert thrown[0] == thrown[1] != thrown[2]
        assert 10 < thrown[0].count(503) < 30

    def test_rules_do_not_disturb_each_others_dice(self) -> None:
        rule = {"route": "list", "effect": "status", "probability": 0.5}
        busy = Api(rule, {"route": "get", "effect": "status", "probability": 0.5})
        expected = answers(Api(rule), 20)
        seen = []
        for _ in range(20):
            busy.http.get("/v1/runs/none")
            seen += answers(busy, 1)
        assert seen == expected

    def test_a_rule_may_look_at_the_prompt_or_the_client_ref_on_every_route(self) -> None:
        rules = [{"effect": "status", "prompt_contains": "fox"}, {"effect": "status", "client_ref": "c1"}]
        for rule in rules:
            api = Api()
            hit = api.finished("A red fox", body={"client_ref": "c1"})
            spared = api.finished("A red hen", body={"client_ref": "c2"})
            api.emulator.add_fault(rule)
            assert api.create("A red fox", body={"client_ref": "c1"}).status_code == 503
            assert api.create("A red hen", body={"client_ref": "c2"}).status_code == 201
            assert api.http.get(f"/v1/runs/{hit['id']}").status_code == 503
            assert api.http.get(f"/v1/runs/{spared['id']}").status_code == 200
            assert api.download(hit["output"]["outputs"][0]["url"]).status_code == 503
        assert api.http.get("/v1/runs", params={"q": "client_ref.EQ:'c1'"}).status_code == 503
        assert api.http.get("/v1/runs", params={"q": "client_ref.EQ:'c2'"}).status_code == 200

    def test_an_outcome_is_decided_once_per_created_run_and_not_at_a_replay_or_a_refusal(self) -> None:
        api = Api({"outcome": "failed", "times": 1, "after": 1})
        api.created(key="k1")
        api.created(key="k1")
        api.create("A")
        second = api.created(key="k2")
        api.clock.advance(31)
        assert api.run(second)["status_code"] == "failed"

    def test_the_first_rule_that_fires_decides_and_the_next_one_is_not_used_up(self) -> None:
        api = Api(
            {"route": "list", "effect": "status", "status": 500, "times": 1},
            {"route": "list", "effect": "status", "status": 502, "times": 1},
        )
        assert answers(api, 3) == [500, 502, 200]


class TestWhatTheCallerSees:
    @pytest.mark.parametrize(
        ("status", "code"),
        [(500, "INTERNAL_ERROR"), (503, "MODEL_UNAVAILABLE"), (401, "UNAUTHORIZED"), (403, "PERMISSION_DENIED")],
    )
    def test_a_status_comes_in_the_envelope_and_keeps_the_request_from_taking_effect(
        self, status: int, code: str
    ) -> None:
        api = Api({"route": "create", "effect": "status", "status": status})
        assert error(api.create()) == (status, code)
        assert api.emulator.runs == []

    def test_429_has_no_headers_unless_asked(self) -> None:
        response = Api({"effect": "status", "status": 429}).create()
        assert error(response) == (429, "RATE_LIMITED")
        assert response.json()["message"].startswith("Rate limit exceeded: ")
        assert not [name for name in response.headers if name.startswith(("x-ratelimit", "retry-after"))]

    def test_429_with_headers_says_when_to_come_back(self) -> None:
        response = Api({"effect": "status", "status": 429, "headers": True, "seconds": 7}).create()
        assert response.headers["retry-after"] == "7"
        assert response.headers["x-ratelimit-remaining"] == "0"

    def test_rate_limit_headers_on_every_answer_are_a_switch(self) -> None:
        api = Api({"route": "create", "effect": "status", "status": 429}, rate_limit_headers=True)
        assert api.create().headers["retry-after"] == "1"
        remaining = [int(api.http.get("/v1/runs").headers["x-ratelimit-remaining"]) for _ in range(2)]
        assert remaining[1] == remaining[0] - 1
        assert "x-ratelimit-limit" not in api.client(None).get("/_emulator/ledger").headers

    def test_a_status_may_hide_that_the_request_took_effect(self) -> None:
        api = Api({"route": "create", "effect": "status", "status": 502, "took_effect": True, "times": 1})
        assert api.create(key="k").status_code == 502
        assert len(api.emulator.runs) == 1
        assert api.created(key="k") == api.emulator.runs[0].id

    def test_a_connection_dropped_before_the_effect_leaves_nothing_behind(self) -> None:
        api = Api({"route": "create", "effect": "drop_before", "times": 1})
        with pytest.raises(httpx.ConnectError):
            api.create()
        assert api.emulator.runs == []
        assert api.ledger()["requests"]["POST create"] == 1

    def test_a_connection_dropped_after_the_effect_leaves_a_run_that_its_key_finds(self) -> None:
        api = Api({"route": "create", "effect": "drop_after", "times": 1})
        with pytest.raises(httpx.ReadError):
            api.create(key="k")
        assert api.created(key="k") == api.emulator.runs[0].id
        api.clock.advance(31)
        assert api.ledger()["totals"]["billed_runs"] == 1

    def test_latency_passes_on_the_clock_and_adds_up(self) -> None:
        api = Api({"effect": "latency", "seconds": 2}, {"route": "list", "effect": "latency", "seconds": 0.5})
        before = api.clock.now()
        assert answers(api, 1) == [200]
        assert (api.clock.now() - before).total_seconds() == 2.5

    def test_latency_beyond_the_patience_of_the_client_times_out_after_the_effect(self) -> None:
        api = Api({"route": "create", "effect": "latency", "seconds": 60})
        before = api.clock.now()
        with pytest.raises(httpx.ReadTimeout):
            api.create()
        assert (api.clock.now() - before).total_seconds() == 5  # httpx's default patience
        assert len(api.emulator.runs) == 1

    def test_malformed_json_is_a_2xx_that_cannot_be_read(self) -> None:
        api = Api({"route": "create", "effect": "malformed", "times": 1})
        response = api.create(key="k")
        assert response.status_code == 201
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
            response.json()
        assert len(api.emulator.runs) == 1

    def test_a_proxy_page_may_come_with_any_status(self) -> None:
        api = Api({"route": "list", "effect": "html", "status": 511})
        response = api.http.get("/v1/runs")
        assert (response.status_code, response.headers["content-type"]) == (511, "text/html")


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "complaint"),
        [
            ({}, "either an effect or an outcome"),
            ({"effect": "status", "outcome": "failed"}, "either an effect or an outcome"),
            ({"effect": "explode"}, "effect must be one of"),
            ({"outcome": "melted"}, "outcome must be one of"),
            ({"effect": "status", "route": "delete"}, "route must be one of"),
            ({"outcome": "failed", "route": "get"}, "its route is 'create'"),
            ({"effect": "status", "probability": 2}, "probability must be a number from 0 to 1"),
            ({"effect": "status", "status": "503"}, "status must be a number"),
            ({"effect": "status", "times": -1}, "times must be a number"),
            ({"effect": "slow", "bytes_per_second": 0}, "bytes_per_second must be a number"),
            ({"effect": "status", "time": 1}, "unknown key in a fault: time"),
        ],
    )
    def test_a_wrong_rule_says_what_is_wrong(self, rule: dict[str, object], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            Fault.from_dict(rule)

    def test_a_rule_goes_through_json_unharmed(self) -> None:
        rule = {"route": "output", "effect": "slow", "bytes_per_second": 100, "times": 2}
        assert Fault.from_dict(rule).to_dict() == rule
        assert Fault.from_dict({"outcome": "failed"}).to_dict() == {"route": "create", "outcome": "failed"}
