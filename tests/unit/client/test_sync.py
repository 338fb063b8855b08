# SPDX-License-Identifier: Apache-2.0
"""Submitting, finding, cancelling and checking: what only the sync client does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.paging import MAX_EMPTY_PAGES
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
    SubmissionUncertainError,
    TransportError,
)
from tests.unit.client.fakes import KEY, RUN_ID, Sync, ok, run, says

CREATED = ok(run(), 201)


class TestWhatASubmissionSends:
    def test_the_input_goes_to_the_models_path_with_the_key(self) -> None:
        client = Sync(CREATED)
        client.create()
        (request,) = client.script.requests
        assert (request.method, request.url.path) == ("POST", "/v1/models/openai/gpt-image-2/runs")
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"].startswith("airflow-provider-runflow/")

    def test_what_was_not_given_is_not_sent(self) -> None:
        client = Sync(CREATED)
        client.create()
        assert client.script.bodies == [{"input": {"prompt": "a cat"}}]
        assert "Idempotency-Key" not in client.script.requests[0].headers
        assert "X-Organization-Id" not in client.script.requests[0].headers

    def test_everything_that_was_given_is_sent(self) -> None:
        client = Sync(CREATED, account=Account("https://api.runflow.test", KEY, organization_id="org-1"))
        client.create(
            client_ref="af.campaign.hero",
            metadata={"airflow": {"ordinal": 0}},
            callback_url="https://hooks.example/runflow",
            idempotency_key="rf-123",
        )
        assert client.script.bodies == [
            {
                "input": {"prompt": "a cat"},
                "client_ref": "af.campaign.hero",
                "metadata": {"airflow": {"ordinal": 0}},
                "callback_url": "https://hooks.example/runflow",
            }
        ]
        headers = client.script.requests[0].headers
        assert (headers["Idempotency-Key"], headers["X-Organization-Id"]) == ("rf-123", "org-1")

    def test_every_try_carries_the_same_key_and_the_same_bytes(self) -> None:
        client = Sync(says(429), httpx.ConnectError("refused"), CREATED)
        client.create(idempotency_key="rf-123", metadata={"b": 1, "a": "ä"})
        sent = [(request.headers["Idempotency-Key"], request.content) for request in client.script.requests]
        assert len(sent) == 3
        assert len(set(sent)) == 1

    def test_a_prompt_in_any_script_arrives_as_it_was_written(self) -> None:
        client = Sync(CREATED)
        client.create(input={"prompt": "Großes Café ☕ 日本語 🦊"})
        assert json.loads(client.script.requests[0].content.decode("utf-8"))["input"]["prompt"] == (
            "Großes Café ☕ 日本語 🦊"
        )

    def test_a_path_is_escaped_once(self) -> None:
        client = Sync(CREATED)
        client.client.create_run("my org/a%2Fb", {})
        assert client.script.requests[0].url.raw_path == b"/v1/models/my%20org/a%252Fb/runs"

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_2xx_with_a_run_is_a_success(self, status: int) -> None:
        assert Sync(ok(run(), status)).create().id == RUN_ID

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"client_ref": ""}, "client_ref=''"),
            ({"client_ref": "a" * 256}, "must be 1-255 printable characters"),
            ({"client_ref": "it's"}, "without a single quote"),
            ({"callback_url": "https://x.example/" + "a" * 2048}, "callback_url: 2066 characters.*at most 2048"),
            ({"idempotency_key": ""}, "idempotency_key=''"),
            ({"idempotency_key": "a\nb"}, "must be printable ASCII"),
            ({"input": {"when": date(2026, 3, 2)}}, "cannot be written as JSON.*date"),
            ({"input": {"strength": Decimal("0.5")}}, "cannot be written as JSON.*Decimal"),
            ({"input": {"strength": math.nan}}, "cannot be written as JSON"),
            ({"input": {"prompt": "\ud83e"}}, "cannot be written as JSON.*surrogates"),
            ({"metadata": {"tags": {"a"}}}, "cannot be written as JSON.*set"),
        ],
    )
    def test_what_runflow_could_not_take_is_refused_before_anything_is_sent(
        self, wrong: dict[str, Any], message: str
    ) -> None:
        client = Sync(CREATED)
        with pytest.raises(InvalidRequestError, match=message):
            client.create(**wrong)
        assert client.script.requests == []


class TestARefusedSubmission:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, RequestRejectedError),
            (401, AuthenticationError),
            (402, InsufficientCreditError),
            (403, PermissionDeniedError),
            (404, NotFoundError),
            (409, ConflictError),
            (413, RequestRejectedError),
            (422, RequestRejectedError),
        ],
    )
    def test_a_definite_no_is_raised_at_once_and_is_before_money(self, status: int, kind: type[ApiError]) -> None:
        client = Sync(says(status), CREATED)
        with pytest.raises(kind) as caught:
            client.create()
        assert isinstance(caught.value, BeforeMoneyError)
        assert str(caught.value) == (
            f"HTTP {status} SOME_CODE: said {status} (POST /v1/models/openai/gpt-image-2/runs)"
        )
        assert len(client.script.requests) == 1

    def test_a_422_names_the_fields(self) -> None:
        body = {
            "code": "VALIDATION_ERROR",
            "message": "Request validation failed.",
            "errors": [
                {"loc": ["body", "input", "quality"], "msg": "Input should be 'low', 'medium' or 'high'"},
                {"loc": ["body", "input", "num_images"], "msg": "Input should be less than or equal to 4"},
            ],
        }
        with pytest.raises(RequestRejectedError) as caught:
            Sync(says(422, body)).create()
        assert (
            "[input.quality: Input should be 'low', 'medium' or 'high'; "
            "input.num_images: Input should be less than or equal to 4]"
        ) in str(caught.value)

    def test_a_429_without_a_header_is_tried_five_times_with_growing_waits(self) -> None:
        client = Sync(says(429))
        with pytest.raises(RateLimitedError):
            client.create()
        assert (len(client.script.requests), client.slept) == (5, [1, 2, 4, 8])

    def test_a_429_with_seconds_is_obeyed(self) -> None:
        client = Sync(says(429, **{"Retry-After": "20"}), CREATED)
        assert client.create().id == RUN_ID
        assert client.slept == [20]

    def test_a_429_with_a_date_long_ago_is_tried_after_the_usual_wait(self) -> None:
        client = Sync(says(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), CREATED)
        assert client.create().id == RUN_ID
        assert client.slept == [1]

    def test_a_429_that_asks_for_longer_than_a_minute_is_handed_to_the_tasks_retry(self) -> None:
        client = Sync(says(429, **{"Retry-After": "600"}), CREATED)
        with pytest.raises(RateLimitedError) as caught:
            client.create()
        assert (caught.value.retry, caught.value.retry_after) == ("after", 600)
        assert len(client.script.requests) == 1

    @pytest.mark.parametrize(
        "error",
        [
            httpx.ConnectError("refused"),
            httpx.ConnectTimeout("no route"),
            httpx.ProxyError("403 Forbidden"),
            httpx.PoolTimeout("busy"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_server_that_was_never_reached_is_tried_again_and_has_billed_nothing(self, error: Exception) -> None:
        client = Sync(error)
        with pytest.raises(TransportError) as caught:
            client.create()
        assert isinstance(caught.value, BeforeMoneyError)
        assert len(client.script.requests) == 5
        assert Sync(error, error, CREATED).create().id == RUN_ID


class TestASubmissionOfUnknownOutcome:
    UNKNOWN = (
        httpx.ReadTimeout("slow"),
        httpx.WriteTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        says(500),
        says(502, "<html>"),
        says(503, {"code": "MODEL_UNAVAILABLE", "message": "provider downtime"}),
        says(503, **{"Retry-After": "1"}),
        says(504),
        httpx.Response(201, content=b""),
        httpx.Response(201, content=b'{"id": "019e'),
        httpx.Response(200, content=b"<html>Log in to the Wi-Fi</html>"),
        httpx.Response(201, content=b"[" * 100_000),
        ok([run()], 201),
        ok(None, 201),
        ok({}, 201),
        ok({"id": None, "status_code": "queued"}, 201),
        ok({"id": RUN_ID}, 201),
        ok({"output": {"outputs": []}}, 201),
        httpx.Response(204),
    )

    @pytest.mark.parametrize("answer", UNKNOWN, ids=repr)
    def test_it_is_not_sent_again(self, answer: Any) -> None:
        client = Sync(answer, CREATED)
        with pytest.raises(SubmissionUncertainError):
            client.create(idempotency_key="rf-123")
        assert len(client.script.requests) == 1
        assert client.slept == []

    def test_the_message_says_that_a_run_may_bill_and_what_came_back(self) -> None:
        with pytest.raises(SubmissionUncertainError) as caught:
            Sync(httpx.ReadTimeout("timed out")).create()
        assert str(caught.value) == (
            "The request was sent but got no usable answer: api.runflow.test did not answer in time "
            "(ReadTimeout: timed out). A firewall must allow api.runflow.test "
            "(POST /v1/models/openai/gpt-image-2/runs). A run may exist and bill."
        )
        assert isinstance(caught.value.cause, TransportError)
        assert caught.value.__cause__ is caught.value.cause

    @pytest.mark.parametrize(
        ("answer", "cause"),
        [(says(500), ServiceUnavailableError), (ok({}, 201), MalformedResponseError)],
        ids=["5xx", "malformed"],
    )
    def test_the_cause_is_kept_for_who_decides(self, answer: Any, cause: type[ApiError]) -> None:
        with pytest.raises(SubmissionUncertainError) as caught:
            Sync(answer).create()
        assert isinstance(caught.value.cause, cause)

    def test_it_is_uncertain_also_when_only_a_later_try_got_through(self) -> None:
        client = Sync(says(429), httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), CREATED)
        with pytest.raises(SubmissionUncertainError):
            client.create()
        assert len(client.script.requests) == 3

    def test_a_try_that_was_refused_after_one_that_was_not_sent_is_certain(self) -> None:
        with pytest.raises(PermissionDeniedError):
            Sync(httpx.ConnectError("refused"), says(403)).create()

    def test_a_task_time_out_while_waiting_for_the_answer_is_not_swallowed(self) -> None:
        class AirflowTaskTimeout(BaseException):
            """Airflow's is no Exception either."""

        def killed(request: httpx.Request) -> httpx.Response:
            raise AirflowTaskTimeout

        with pytest.raises(AirflowTaskTimeout):
            Sync(killed).create()


class TestFindingRuns:
    def pages(self, *pages: tuple[list[str], str | None]) -> Sync:
        return Sync(*(ok({"items": [run(id=name) for name in names], "next": cursor}) for names, cursor in pages))

    def found(self, client: Sync) -> list[str]:
        return [item.id for item in client.client.find_runs("af.hero")]

    def test_the_filter_is_an_exact_match_oldest_first_in_the_largest_pages(self) -> None:
        client = self.pages(([], None))
        list(client.client.find_runs("af.hero", fields=("id", "status_code")))
        assert dict(client.script.requests[0].url.params) == {
            "q": "client_ref.EQ:'af.hero'",
            "fields": "id,status_code",
            "sort_by": "created_at:asc",
            "limit": "500",
        }

    def test_all_pages_are_read_in_order(self) -> None:
        client = self.pages((["a", "b"], "c2"), (["c"], "c3"), (["d"], None))
        assert self.found(client) == ["a", "b", "c", "d"]
        assert [request.url.params.get("pq") for request in client.script.requests] == [None, "c2", "c3"]

    def test_an_empty_page_in_the_middle_does_not_hide_the_run_behind_it(self) -> None:
        assert self.found(self.pages(([], "c2"), ([], "c3"), (["paid"], None))) == ["paid"]

    def test_a_cursor_that_repeats_ends_the_list(self) -> None:
        client = self.pages((["a"], "c2"), (["b"], "c2"))
        assert self.found(client) == ["a", "b"]
        assert len(client.script.requests) == 2

    def test_cursors_that_go_in_a_circle_end_the_list(self) -> None:
        def circle(request: httpx.Request) -> httpx.Response:
            following = {None: "c2", "c2": "c3", "c3": "c2"}[request.url.params.get("pq")]
            return ok({"items": [run()], "next": following})

        client = Sync(circle)
        assert len(self.found(client)) == 3

    def test_a_list_that_never_says_that_it_has_ended_is_not_read_for_ever(self) -> None:
        numbers = iter(range(1000))
        client = Sync(lambda request: ok({"items": [], "next": f"c{next(numbers)}"}))
        assert self.found(client) == []
        assert len(client.script.requests) == MAX_EMPTY_PAGES

    def test_the_next_page_is_read_only_when_it_is_wanted(self) -> None:
        client = self.pages((["a"], "c2"), (["b"], None))
        assert next(client.client.find_runs("af.hero")).id == "a"
        assert len(client.script.requests) == 1

    def test_a_failure_on_a_later_page_is_an_error_and_not_a_short_list(self) -> None:
        client = Sync(ok({"items": [run()], "next": "c2"}), says(403))
        with pytest.raises(PermissionDeniedError):
            self.found(client)


class TestCancelling:
    def test_it_posts_the_reason_to_the_administrators_endpoint(self) -> None:
        client = Sync(ok(run("canceled"), 201))
        assert client.client.cancel_run(RUN_ID, "Airflow task killed").status_code == "cancelled"
        (request,) = client.script.requests
        assert (request.method, request.url.path) == ("POST", f"/v1/admin/runs/{RUN_ID}/cancellation")
        assert client.script.bodies == [{"reason": "Airflow task killed"}]

    def test_a_run_that_has_ended_comes_back_unchanged(self) -> None:
        assert Sync(ok(run("succeeded"), 200)).client.cancel_run(RUN_ID, "too late").status_code == "succeeded"

    def test_a_reason_is_cut_at_500_characters(self) -> None:
        client = Sync(ok(run("canceled")))
        client.client.cancel_run(RUN_ID, "x" * 900)
        assert client.script.bodies == [{"reason": "x" * 500}]

    @pytest.mark.parametrize("answer", [says(503), httpx.ReadTimeout("slow")])
    def test_there_is_one_try_since_a_killed_task_has_seconds(self, answer: Any) -> None:
        client = Sync(answer, ok(run("canceled")))
        with pytest.raises(ApiError):
            client.client.cancel_run(RUN_ID, "Airflow task killed")
        assert len(client.script.requests) == 1


class TestChecking:
    @pytest.mark.parametrize("answer", [ok({"id": "u1"}), ok([]), ok(None)])
    def test_any_json_says_that_the_key_works_since_the_shape_is_not_documented(self, answer: httpx.Response) -> None:
        client = Sync(answer)
        client.client.check()
        assert client.script.requests[0].url.path == "/v1/auth/me"

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (says(401), AuthenticationError),
            (says(503), ServiceUnavailableError),
            (httpx.ConnectError("refused"), TransportError),
            (httpx.Response(200, content=b"<html>Log in to the Wi-Fi</html>"), MalformedResponseError),
        ],
        ids=["401", "503", "unreachable", "captive portal"],
    )
    def test_there_is_one_try_and_no_waiting(self, answer: Any, kind: type[ApiError]) -> None:
        client = Sync(answer)
        with pytest.raises(kind):
            client.client.check()
        assert (len(client.script.requests), client.slept) == (1, [])


class TestLogs:
    LINE = {
        "id": "l1",
        "run_id": RUN_ID,
        "level_code": "info",
        "message": "stored https://bucket.test/a.png?X-Amz-Signature=secret",
        "timestamp": "2026-05-06T10:00:00Z",
        "meta": {"node": 1},
        "run": {"id": RUN_ID},
    }

    def test_all_lines_are_read_over_all_pages(self) -> None:
        client = Sync(ok({"items": [self.LINE], "next": "c2"}), ok({"items": [self.LINE | {"id": "l2"}], "next": None}))
        lines = list(client.client.run_logs(RUN_ID))
        assert [line.id for line in lines] == ["l1", "l2"]
        assert [request.url.raw_path.decode() for request in client.script.requests] == [
            f"/v1/runs/{RUN_ID}/logs",
            f"/v1/runs/{RUN_ID}/logs?pq=c2",
        ]

    def test_a_line_shows_no_presigned_query(self) -> None:
        (line,) = Sync(ok({"items": [self.LINE]})).client.run_logs(RUN_ID)
        assert line.message == "stored https://bucket.test/a.png"
        assert line.meta == {"node": 1}

    def test_everything_in_a_line_may_be_null(self) -> None:
        (line,) = Sync(ok({"items": [dict.fromkeys(self.LINE)]})).client.run_logs(RUN_ID)
        assert (line.message, line.timestamp) == (None, None)

    def test_an_unknown_run_is_not_found(self) -> None:
        with pytest.raises(NotFoundError):
            list(Sync(says(404)).client.run_logs(RUN_ID))


class TestStatuses:
    @pytest.mark.parametrize(
        "answer",
        [
            ["queued", "canceled"],
            {"items": ["queued", "cancelled"]},
            {"statuses": [{"code": "queued"}, {"code": "canceled"}]},
            {"items": [{"status_code": "queued", "name": "Queued"}, {"status_code": "canceled"}], "next": None},
            [{"id": 1, "code": "queued"}, {"id": 2, "code": "canceled"}, {"id": 3, "code": "cancelled"}],
        ],
    )
    def test_they_are_read_from_any_shape_since_none_is_documented(self, answer: Any) -> None:
        client = Sync(ok(answer))
        assert client.client.statuses() == ["queued", "cancelled"]
        assert client.script.requests[0].url.path == "/v1/runs/statuses"

    @pytest.mark.parametrize("answer", [[], {}, {"items": []}, {"queued": True}, [1, None], "queued", None])
    def test_an_answer_without_any_status_is_malformed(self, answer: Any) -> None:
        with pytest.raises(MalformedResponseError):
            Sync(ok(answer)).client.statuses()


class TestBalance:
    @pytest.mark.parametrize(
        "answer",
        [
            {"id": "b1", "balance": "124.500000", "low_balance_threshold": "5", "updated_at": "2026-05-06T10:00:00Z"},
            {"balance": 124.5, "low_balance_threshold": None},
            {"balance_cents": 12450, "currency": "USD"},
            {"items": [{"balance_usd": "124.50"}]},
            {"items": [{"balance": None, "balance_usd": None, "balance_cents": 12450}]},
        ],
    )
    def test_it_is_a_decimal_whichever_of_the_three_shapes_it_came_in(self, answer: Any) -> None:
        client = Sync(ok(answer))
        balance = client.client.balance()
        assert balance.balance == Decimal("124.5")
        assert isinstance(balance.balance, Decimal)
        assert [request.url.path for request in client.script.requests] == ["/v1/billing/balance"]

    def test_the_threshold_is_told_where_there_is_one(self) -> None:
        answer = ok({"balance": "1", "low_balance_threshold": "5.00"})
        assert Sync(answer).client.balance().low_balance_threshold == Decimal(5)

    def test_the_path_of_an_older_client_is_asked_where_the_references_is_not_found(self) -> None:
        client = Sync(says(404), ok({"items": [{"balance_usd": "0"}]}))
        assert client.client.balance().balance == 0
        assert [request.url.path for request in client.script.requests] == [
            "/v1/billing/balance",
            "/v1/credit-balances",
        ]

    def test_a_key_that_may_not_see_it_hears_which_scope_it_lacks(self) -> None:
        with pytest.raises(PermissionDeniedError) as caught:
            Sync(says(403)).client.balance()
        assert "credit_balance:read" in caught.value.help

    @pytest.mark.parametrize(
        "answer", [{}, [], {"balance": "much"}, {"items": []}, {"balance": None}, {"items": ["x"]}]
    )
    def test_an_answer_without_an_amount_is_malformed_and_not_zero(self, answer: Any) -> None:
        with pytest.raises(MalformedResponseError):
            Sync(ok(answer)).client.balance()


def test_a_closed_client_has_closed_its_connections() -> None:
    client = Sync(CREATED)
    with client.client as entered:
        entered.get_run(RUN_ID)
    act: Callable[[], Any] = client.create
    with pytest.raises(RuntimeError, match="closed"):
        act()
