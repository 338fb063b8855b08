# SPDX-License-Identifier: Apache-2.0
"""Reading runs: the worker's client and the triggerer's behave alike."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    BeforeMoneyError,
    ConflictError,
    InsufficientCreditError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    ServiceUnavailableError,
    TransportError,
)
from tests.unit.client.fakes import COLOURS, KEY, RUN_ID, Reader, ok, run, says

pytestmark = pytest.mark.parametrize("client", COLOURS, ids=lambda colour: colour.colour)


class TestReadingARun:
    def test_it_asks_for_the_run_with_key_and_user_agent(self, client: type[Reader]) -> None:
        reader = client(ok(run("running")))
        assert reader.get_run().status_code == "running"
        (request,) = reader.script.requests
        assert (request.method, request.url.path, request.content) == ("GET", f"/v1/runs/{RUN_ID}", b"")
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["User-Agent"].startswith("airflow-provider-runflow/")

    def test_it_names_the_organisation(self, client: type[Reader]) -> None:
        reader = client(ok(run()), account=Account("https://api.runflow.test", KEY, organization_id="org-1"))
        reader.get_run()
        assert reader.script.requests[0].headers["X-Organization-Id"] == "org-1"

    def test_a_base_url_with_a_path_keeps_it(self, client: type[Reader]) -> None:
        reader = client(ok(run()), account=Account("https://gateway.test/runflow/v1", KEY))
        reader.get_run()
        assert str(reader.script.requests[0].url) == f"https://gateway.test/runflow/v1/runs/{RUN_ID}"

    def test_an_id_cannot_lead_to_another_path(self, client: type[Reader]) -> None:
        reader = client(ok(run()))
        reader.get_run("../admin/x?y")
        assert reader.script.requests[0].url.raw_path == b"/v1/runs/..%2Fadmin%2Fx%3Fy"

    def test_no_id_is_refused_before_anything_is_sent(self, client: type[Reader]) -> None:
        reader = client(ok(run()))
        with pytest.raises(InvalidRequestError):
            reader.get_run("")
        assert reader.script.requests == []

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, RequestRejectedError),
            (401, AuthenticationError),
            (402, InsufficientCreditError),
            (403, PermissionDeniedError),
            (404, NotFoundError),
            (409, ConflictError),
            (422, RequestRejectedError),
        ],
    )
    def test_a_4xx_is_raised_at_once(self, client: type[Reader], status: int, kind: type[ApiError]) -> None:
        reader = client(says(status))
        with pytest.raises(kind) as caught:
            reader.get_run()
        assert str(caught.value) == f"HTTP {status} SOME_CODE: said {status} (GET /v1/runs/{RUN_ID})"
        assert (caught.value.status, caught.value.code) == (status, "SOME_CODE")
        assert (len(reader.script.requests), reader.slept) == (1, [])

    TROUBLE = (
        (says(429), RateLimitedError),
        (says(500), ServiceUnavailableError),
        (says(503, {"code": "MODEL_UNAVAILABLE", "message": "provider downtime"}), ServiceUnavailableError),
        (httpx.ConnectError("refused"), TransportError),
        (httpx.ReadTimeout("slow"), TransportError),
        (httpx.RemoteProtocolError("cut"), TransportError),
        (httpx.Response(200, content=b"<html>"), MalformedResponseError),
        (httpx.Response(200, content=b"[" * 100_000), MalformedResponseError),
        (httpx.Response(200, content=b'{"id": "019e'), MalformedResponseError),
        (httpx.Response(200, content=b"nope", headers={"Content-Encoding": "identity"}), MalformedResponseError),
        (ok({"status_code": "running"}), MalformedResponseError),
        (ok({"id": RUN_ID, "status_code": None}), MalformedResponseError),
        (ok([run()]), MalformedResponseError),
    )

    @pytest.mark.parametrize(("answer", "kind"), TROUBLE, ids=lambda value: repr(value)[:40])
    def test_trouble_that_may_pass_is_borne_for_five_tries(
        self, client: type[Reader], answer: Any, kind: type[ApiError]
    ) -> None:
        reader = client(answer)
        with pytest.raises(kind) as caught:
            reader.get_run()
        assert isinstance(caught.value, BeforeMoneyError)
        assert (len(reader.script.requests), reader.slept) == (5, [1, 2, 4, 8])

    @pytest.mark.parametrize(("answer", "kind"), TROUBLE, ids=lambda value: repr(value)[:40])
    def test_trouble_that_passed_is_not_noticed(self, client: type[Reader], answer: Any, kind: type[ApiError]) -> None:
        assert client(answer, answer, answer, answer, ok(run("succeeded"))).get_run().status_code == "succeeded"

    def test_a_bad_gzip_body_is_trouble_too(self, client: type[Reader]) -> None:
        def broken(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=b"nope", headers={"Content-Encoding": "gzip"})

        with pytest.raises(TransportError):
            client(broken).get_run()

    def test_retry_after_is_obeyed(self, client: type[Reader]) -> None:
        reader = client(says(429, **{"Retry-After": "17"}), ok(run()))
        reader.get_run()
        assert reader.slept == [17]

    def test_a_pause_longer_than_a_minute_is_the_callers_affair(self, client: type[Reader]) -> None:
        reader = client(says(429, **{"Retry-After": "61"}), ok(run()))
        with pytest.raises(RateLimitedError) as caught:
            reader.get_run()
        assert (caught.value.retry_after, reader.slept) == (61, [])

    def test_a_malformed_answer_says_what_is_missing(self, client: type[Reader]) -> None:
        with pytest.raises(MalformedResponseError) as caught:
            client(ok({"status_code": 5}, **{"X-Request-Id": "req-1"})).get_run()
        text = str(caught.value)
        assert "HTTP 200: the answer lacks what the API promises (id: Field required; status_code: " in text
        assert text.endswith(f"(GET /v1/runs/{RUN_ID}, request id req-1)")


class TestListingRuns:
    def test_a_page_is_asked_for_as_the_reference_says(self, client: type[Reader]) -> None:
        reader = client(ok({"items": [run()], "next": None}))
        page = reader.list_runs(
            q="client_ref.EQ:'af.größe & co'",
            fields=["id", "status_code"],
            sort_by="created_at:desc",
            limit=7,
            cursor="c2",
        )
        assert [item.id for item in page.items] == [RUN_ID]
        (request,) = reader.script.requests
        assert (request.method, request.url.path) == ("GET", "/v1/runs")
        assert dict(request.url.params) == {
            "q": "client_ref.EQ:'af.größe & co'",
            "fields": "id,status_code",
            "sort_by": "created_at:desc",
            "pq": "c2",
            "limit": "7",
        }

    def test_without_parameters_there_is_no_query(self, client: type[Reader]) -> None:
        reader = client(ok({"items": []}))
        reader.list_runs()
        assert reader.script.requests[0].url.query == b""

    def test_a_wrong_limit_is_refused_before_anything_is_sent(self, client: type[Reader]) -> None:
        reader = client(ok({"items": []}))
        with pytest.raises(InvalidRequestError):
            reader.list_runs(limit=501)
        assert reader.script.requests == []

    @pytest.mark.parametrize("body", [[], {}, {"items": None}, {"items": [{"id": None, "status_code": "queued"}]}])
    def test_a_list_that_cannot_be_read_whole_is_an_error_and_not_an_empty_list(
        self, client: type[Reader], body: Any
    ) -> None:
        with pytest.raises(MalformedResponseError):
            client(ok(body)).list_runs()

    def test_a_key_that_may_not_list_hears_so(self, client: type[Reader]) -> None:
        with pytest.raises(PermissionDeniedError):
            client(says(403)).list_runs()


def test_what_both_clients_have_takes_the_same_parameters(client: type[Reader]) -> None:
    other = RunflowClient if client.colour == "sync" else AsyncRunflowClient
    for name in ("get_run", "list_runs"):
        expected = inspect.signature(getattr(RunflowClient, name))
        assert inspect.signature(getattr(other, name)) == expected


def test_the_triggerers_client_cannot_spend_money(client: type[Reader]) -> None:
    public = {name for name in vars(AsyncRunflowClient) if not name.startswith("_")}
    assert public == {"get_run", "list_runs", "read_row", "list_rows", "aclose"}
