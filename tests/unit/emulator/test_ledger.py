# SPDX-License-Identifier: Apache-2.0
"""Money: what is debited, when, and where one can read it."""

from __future__ import annotations

import threading

import pytest

from tests.unit.emulator.api import Api, error


class TestBalance:
    def test_only_a_run_that_succeeded_is_debited_and_only_when_it_has(self, api: Api) -> None:
        run_id = api.created()
        api.clock.advance(10)
        assert api.balance() == "100.000000"
        api.clock.advance(21)
        assert api.run(run_id)["cost"] == "0.133000"
        assert api.balance() == "99.867000"

    @pytest.mark.parametrize(("quality", "cost"), [("low", "0.009000"), ("medium", "0.034000"), ("high", "0.133000")])
    def test_the_price_is_by_quality_and_image(self, api: Api, quality: str, cost: str) -> None:
        assert api.finished(quality=quality)["cost"] == cost
        assert float(api.finished(quality=quality, num_images=4)["cost"]) == pytest.approx(4 * float(cost))

    def test_high_quality_is_the_default(self, api: Api) -> None:
        assert api.finished()["cost"] == "0.133000"

    def test_a_balance_that_cannot_pay_the_estimate_is_402_and_creates_nothing(self) -> None:
        api = Api(balance="0.20")
        assert error(api.create(num_images=2)) == (402, "INSUFFICIENT_CREDIT")
        api.finished()
        assert error(api.create()) == (402, "INSUFFICIENT_CREDIT")
        assert api.create(quality="low").status_code == 201
        assert len(api.emulator.runs) == 2

    def test_a_replay_is_not_asked_for_money(self) -> None:
        api = Api(balance="0.133")
        first = api.created(key="k")
        api.clock.advance(31)
        assert api.created(key="k") == first

    def test_each_organisation_has_its_own_balance(self, api: Api) -> None:
        api.finished()
        other = api.client(**{"X-Organization-Id": "other"})
        assert other.get("/v1/billing/balance").json()["balance"] == "100.000000"

    def test_the_balance_has_the_documented_shape(self, api: Api) -> None:
        body = api.http.get("/v1/billing/balance").json()
        assert body.keys() == {
            "id", "org_id", "balance", "low_balance_threshold", "low_balance_notified_at", "created_at", "updated_at",
        }  # fmt: skip


class TestLedger:
    def test_a_debit_names_key_run_reference_images_and_cost(self, api: Api) -> None:
        run = api.finished(key="k1", quality="low", num_images=2, body={"client_ref": "campaign"})
        assert api.ledger() == {
            "billed": [
                {
                    "idempotency_key": "k1",
                    "run_id": run["id"],
                    "number": 1,
                    "model": "openai/gpt-image-2",
                    "client_ref": "campaign",
                    "images": 2,
                    "cost_usd": "0.018000",
                    "at": run["completed_at"],
                }
            ],
            "totals": {"runs": 1, "billed_runs": 1, "cost_usd": "0.018000"},
            "requests": {"POST create": 1, "GET run": 1, "GET list": 0, "GET output": 0, "other": 0},
        }

    def test_the_endpoint_and_the_method_agree(self, api: Api) -> None:
        api.finished()
        assert api.client(None).get("/_emulator/ledger").json() == api.ledger()

    def test_debits_are_in_the_order_in_which_they_happened(self, api: Api) -> None:
        slow, fast = api.created(quality="high"), api.created(quality="low")
        api.clock.advance(31)
        assert [bill["run_id"] for bill in api.ledger()["billed"]] == [fast, slow]

    def test_two_posts_without_a_key_are_two_debits(self, api: Api) -> None:
        api.created()
        api.created()
        api.clock.advance(31)
        assert [bill["idempotency_key"] for bill in api.ledger()["billed"]] == [None, None]

    def test_every_route_is_counted_and_the_ledger_itself_is_not(self, api: Api) -> None:
        run = api.finished()
        api.list()
        api.download(run["output"]["outputs"][0]["url"])
        api.balance()
        api.client(None).get("/_emulator/ledger")
        assert api.ledger()["requests"] == {
            "POST create": 1, "GET run": 1, "GET list": 1, "GET output": 1, "other": 1,
        }  # fmt: skip

    def test_requests_are_logged_with_what_was_answered(self, api: Api) -> None:
        api.emulator.add_fault(route="list", effect="drop_after", times=1)
        api.created(key="k1")
        with pytest.raises(Exception, match="reset"):
            api.list()
        api.http.get("/v1/runs/none")
        seen = [(entry.route, entry.status, entry.idempotency_key) for entry in api.emulator.request_log]
        assert seen == [("create", 201, "k1"), ("list", None, None), ("get", 404, None)]

    def test_many_threads_with_one_key_make_one_run(self, api: Api) -> None:
        made: list[str] = []
        threads = [threading.Thread(target=lambda: made.append(api.created(key="k"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 8
        assert len(set(made)) == len(api.emulator.runs) == 1
