# SPDX-License-Identifier: Apache-2.0
"""Reading one run, and the list: filter, projection, order, pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulator.api import Api, error, refused_fields, urls


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


class TestGet:
    def test_an_unknown_run_is_404(self, api: Api) -> None:
        assert error(api.http.get("/v1/runs/019e0000-0000-7000-8000-000000000000")) == (404, "RUN_NOT_FOUND")

    def test_add_signature_is_accepted(self, api: Api) -> None:
        run = api.finished()
        response = api.http.get(f"/v1/runs/{run['id']}", params={"add_signature": "true"})
        assert "X-Amz-Signature" in urls(response.json())[0]

    def test_every_read_signs_the_urls_anew(self, api: Api) -> None:
        run = api.finished()
        again, listed = api.run(run["id"]), api.list()["items"][0]
        assert len({*urls(run), *urls(again), *urls(listed)}) == 3
        assert len({api.download(url).content for one in (run, again, listed) for url in urls(one)}) == 1


class TestFilter:
    def test_an_exact_client_ref_finds_its_runs_only(self, api: Api) -> None:
        mine = [api.created(body={"client_ref": "a:b/c 1"}) for _ in range(2)]
        api.created(body={"client_ref": "a:b/c 10"})
        api.created()
        assert ids(api.list(q="client_ref.EQ:'a:b/c 1'", sort_by="created_at:asc")) == mine
        assert ids(api.list(q="client_ref.eq:'a:b/c 1'", sort_by="created_at:asc")) == mine
        assert api.list(q="client_ref.EQ:'nothing'")["items"] == []

    def test_id_and_status_can_be_asked_for_too(self, api: Api) -> None:
        done = api.finished()["id"]
        waiting = api.created()
        assert ids(api.list(q=f"id.EQ:'{waiting}'")) == [waiting]
        assert ids(api.list(q="status_code.EQ:'succeeded'")) == [done]

    @pytest.mark.parametrize(
        "q",
        [
            "client_ref:'x'",
            "client_ref.EQ:x",
            "client_ref.LIKE:'x'",
            "metadata.EQ:'x'",
            "status_code:succeeded AND id:1",
            "client_ref.EQ:'x' AND id.EQ:'y'",
            "client_ref.EQ:'it's'",
        ],
    )
    def test_any_other_expression_is_422(self, api: Api, q: str) -> None:
        assert refused_fields(api.http.get("/v1/runs", params={"q": q})) == {"query.q": "value_error"}


class TestProjection:
    def test_rows_carry_the_whole_run_by_default(self, api: Api) -> None:
        run_id = api.created(body={"metadata": {"airflow": {"item": "a"}}})
        assert api.list()["items"] == [api.run(run_id)]

    def test_fields_choose_what_rows_carry(self, api: Api) -> None:
        run_id = api.created()
        row = {"id": run_id, "status_code": "queued", "created_at": "2026-11-22T10:00:00.000000Z"}
        assert api.list(fields="id,status_code,created_at")["items"] == [row]

    def test_an_unknown_field_is_422(self, api: Api) -> None:
        api.created()
        response = api.http.get("/v1/runs", params={"fields": "id,model"})
        assert refused_fields(response) == {"query.fields": "value_error"}

    def test_rows_without_metadata_are_a_switch_that_leaves_single_reads_alone(self) -> None:
        api = Api(list_metadata=False)
        run_id = api.created(body={"metadata": {"a": 1}})
        assert api.list()["items"][0]["metadata"] is None
        assert api.run(run_id)["metadata"] == {"a": 1}


class TestPages:
    def filled(self, count: int) -> tuple[Api, list[str]]:
        api = Api()
        made = []
        for _ in range(count):
            made.append(api.created(quality="low"))
            api.clock.advance(0.5)
        return api, made

    def test_the_newest_run_comes_first_unless_asked_otherwise(self) -> None:
        api, made = self.filled(3)
        assert ids(api.list()) == ids(api.list(sort_by="created_at:desc")) == made[::-1]
        assert ids(api.list(sort_by="created_at:asc")) == made

    def test_runs_of_one_instant_keep_their_order(self, api: Api) -> None:
        made = [api.created() for _ in range(5)]
        assert ids(api.list(sort_by="created_at:asc")) == made

    @pytest.mark.parametrize("order", ["created_at:asc", "created_at:desc"])
    def test_next_leads_through_all_runs_and_previous_leads_back(self, order: str) -> None:
        api, made = self.filled(7)
        expected = made if order.endswith("asc") else made[::-1]
        pages = [api.list(limit=3, sort_by=order)]
        while pages[-1]["next"]:
            pages.append(api.list(limit=3, sort_by=order, pq=pages[-1]["next"]))
        assert [ids(page) for page in pages] == [expected[:3], expected[3:6], expected[6:]]
        assert pages[0]["previous"] is None
        assert ids(api.list(limit=3, sort_by=order, pq=pages[2]["previous"])) == expected[3:6]
        assert ids(api.list(limit=3, sort_by=order, pq=pages[1]["previous"])) == expected[:3]
        assert ids(api.list(limit=3, sort_by=order, pq=pages[2]["first"])) == expected[:3]

    def test_a_run_that_is_created_meanwhile_does_not_shift_the_next_page(self) -> None:
        api, made = self.filled(4)
        page = api.list(limit=2)
        api.created()
        assert ids(api.list(limit=2, pq=page["next"])) == made[1::-1]

    def test_a_full_last_page_has_no_next(self) -> None:
        api, _ = self.filled(4)
        page = api.list(limit=2)
        assert api.list(limit=2, pq=page["next"])["next"] is None

    def test_an_empty_list_has_no_cursors(self, api: Api) -> None:
        assert api.list() == {"items": [], "first": None, "next": None, "previous": None}

    def test_50_rows_are_the_default_and_500_the_most(self) -> None:
        api, _ = self.filled(51)
        assert len(api.list()["items"]) == 50
        assert len(api.list(limit=500)["items"]) == 51

    @pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "", "9" * 5000])
    def test_a_limit_outside_1_to_500_is_422(self, api: Api, limit: str) -> None:
        response = api.http.get("/v1/runs", params={"limit": limit})
        assert refused_fields(response) == {"query.limit": "int_range"}

    @pytest.mark.parametrize("query", [{"sort_by": "cost:asc"}, {"pq": "nonsense"}, {"pq": "W10="}])
    def test_an_unknown_order_or_cursor_is_422(self, api: Api, query: dict[str, str]) -> None:
        assert api.http.get("/v1/runs", params=query).status_code == 422


class TestLaggingOrRefusedLists:
    def test_a_lagging_list_shows_a_run_only_after_a_while(self) -> None:
        api = Api({"route": "list", "effect": "lag", "seconds": 3})
        run_id = api.created()
        assert ids(api.list()) == []
        assert api.run(run_id)["status_code"] == "queued"
        api.clock.advance(3)
        assert ids(api.list()) == [run_id]

    def test_single_reads_may_lag_too(self) -> None:
        api = Api({"route": "get", "effect": "lag", "seconds": 2})
        run_id = api.created()
        assert error(api.http.get(f"/v1/runs/{run_id}")) == (404, "RUN_NOT_FOUND")
        api.clock.advance(2)
        assert api.run(run_id)["id"] == run_id

    def test_a_refused_list_is_403_while_runs_can_be_read_by_id(self) -> None:
        api = Api({"route": "list", "effect": "status", "status": 403})
        run_id = api.created()
        assert error(api.http.get("/v1/runs")) == (403, "PERMISSION_DENIED")
        assert api.run(run_id)["id"] == run_id
