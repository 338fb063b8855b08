# SPDX-License-Identifier: Apache-2.0
"""The hook: when it looks at the connection, what it passes on, and what its connection test says."""

from __future__ import annotations

import hmac
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.exceptions import (
    CallbackExpiredError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    SignatureMismatchError,
    SubmissionUncertainError,
)
from airflow_provider_runflow.hooks.runflow import TEST_TIMEOUT, RunflowHook
from tests.unit.client.fakes import MODEL, RUN_ID, ok, run, says, texts_of
from tests.unit.hooks.conftest import World
from tests.unit.hooks.connections import KEY, supervised


class TestLookingAtTheConnection:
    def test_building_a_hook_looks_at_nothing(self, world: World) -> None:
        RunflowHook("no_such_connection")
        assert world.lookups == []

    def test_the_default_id_is_runflow_default(self, world: World) -> None:
        assert RunflowHook().runflow_conn_id == RunflowHook.default_conn_name == "runflow_default"

    def test_the_first_use_looks_once_and_the_client_is_kept(self, world: World) -> None:
        world.answers(ok(run()))
        hook = RunflowHook()
        hook.get_run(RUN_ID)
        hook.get_run(RUN_ID)
        assert hook.get_conn() is hook.get_conn()
        assert world.lookups == ["runflow_default"]

    def test_reconnecting_reads_the_connection_again(self, world: World) -> None:
        world.answers(ok(run()))
        hook = RunflowHook()
        before = hook.get_conn()
        world.connect(password="rf_rotated")
        assert hook.settings.account.api_key == KEY
        hook.reconnect()
        assert hook.settings.account.api_key == "rf_rotated"
        assert hook.get_conn() is not before

    def test_reconnecting_closes_the_client_that_it_forgets(self, world: World) -> None:
        hook = RunflowHook()
        before = hook.get_conn()
        hook.reconnect()
        with pytest.raises(RuntimeError, match="closed"):
            before.get_run(RUN_ID)

    def test_reconnecting_a_hook_that_was_never_used_looks_at_nothing(self, world: World) -> None:
        RunflowHook("no_such_connection").reconnect()
        assert world.lookups == []

    def test_a_missing_connection_is_named_at_first_use(self, world: World) -> None:
        hook = RunflowHook("no_such_connection")
        with pytest.raises(ConfigurationError, match="Connection 'no_such_connection' cannot be read"):
            hook.get_run(RUN_ID)

    def test_a_hook_shows_no_key_even_after_it_has_read_it(self, world: World) -> None:
        hook = RunflowHook()
        hook.get_conn()
        assert KEY not in f"{hook!r} {hook!s} {vars(hook)!r}"


class TestInTheTriggerer:
    @pytest.fixture(autouse=True)
    def supervisor(self) -> Iterator[None]:
        with supervised():
            yield

    async def test_an_async_client_reads_runs_with_the_connections_key(self, world: World) -> None:
        script = world.answers(ok(run("running")))
        client = await RunflowHook().aget_client()
        try:
            assert isinstance(client, AsyncRunflowClient)
            assert (await client.get_run(RUN_ID)).status_code == "running"
        finally:
            await client.aclose()
        assert script.requests[0].headers["Authorization"] == f"Bearer {KEY}"

    async def test_each_client_reads_the_connection_afresh(self, world: World) -> None:
        hook = RunflowHook()
        async with await hook.aget_client() as client:
            assert client.account.api_key == KEY
        world.connect(password="rf_rotated")
        async with await hook.aget_client() as client:
            assert client.account.api_key == "rf_rotated"

    async def test_it_waits_on_the_hooks_clock(self, world: World) -> None:
        world.answers(says(503), ok(run()))
        start = world.now
        async with await RunflowHook().aget_client() as client:
            await client.get_run(RUN_ID)
        assert world.passed(start) == 1

    async def test_a_broken_connection_is_a_configuration_error(self, world: World) -> None:
        world.disconnect()
        with pytest.raises(ConfigurationError, match="Connection 'runflow_default' cannot be read"):
            await RunflowHook().aget_client()


class TestRuns:
    def test_a_submission_passes_everything_on(self, world: World) -> None:
        script = world.answers(ok(run(), 201))
        made = RunflowHook().create_run(
            MODEL,
            {"prompt": "a cat"},
            client_ref="mine",
            metadata={"a": 1},
            callback_url="https://hooks.example",
            idempotency_key="key-1",
        )
        assert made.id == RUN_ID
        assert script.bodies == [
            {
                "input": {"prompt": "a cat"},
                "client_ref": "mine",
                "metadata": {"a": 1},
                "callback_url": "https://hooks.example",
            }
        ]
        assert script.requests[0].headers["Idempotency-Key"] == "key-1"

    def test_a_submission_that_timed_out_is_not_sent_again(self, world: World) -> None:
        script = world.answers(httpx.ReadTimeout("slow"), ok(run(), 201))
        with pytest.raises(SubmissionUncertainError, match="A run may exist and bill"):
            RunflowHook().create_run(MODEL, {"prompt": "a cat"})
        assert len(script.requests) == 1

    def test_finding_runs_gives_a_list_over_all_pages(self, world: World) -> None:
        world.answers(ok({"items": [run(id="a")], "next": "c2"}), ok({"items": [run(id="b")], "next": None}))
        assert [item.id for item in RunflowHook().find_runs("mine")] == ["a", "b"]

    def test_a_page_of_runs_is_asked_for_as_given(self, world: World) -> None:
        script = world.answers(ok({"items": [], "next": "c3"}))
        page = RunflowHook().list_runs(q="status_code.EQ:'failed'", fields=("id", "status_code"), limit=2, cursor="c2")
        assert page.next == "c3"
        assert dict(script.requests[0].url.params) == {
            "q": "status_code.EQ:'failed'",
            "fields": "id,status_code",
            "pq": "c2",
            "limit": "2",
        }

    def test_a_run_of_somebody_else_is_not_found(self, world: World) -> None:
        world.answers(says(404))
        with pytest.raises(NotFoundError):
            RunflowHook().get_run(RUN_ID)

    def test_waits_between_tries_are_on_the_hooks_clock(self, world: World) -> None:
        world.answers(says(503), says(429, **{"Retry-After": "20"}), ok(run()))
        start = world.now
        RunflowHook().get_run(RUN_ID)
        assert world.passed(start) == 21


class TestTheRestOfTheApi:
    """Thin: what each does is told where the client is tested; here it is the connection's key, clock and secret."""

    def test_logs_models_and_prices_come_as_lists(self, world: World) -> None:
        world.answers(ok({"items": [{"id": "l1", "message": "queued"}], "next": None}))
        assert [line.message for line in RunflowHook().get_run_logs(RUN_ID)] == ["queued"]
        world.answers(ok({"items": [{"id": "m1", "slug": MODEL}], "next": None}))
        assert [card.slug for card in RunflowHook().list_models(q=f"slug.eq:'{MODEL}'")] == [MODEL]
        world.answers(ok({"id": "m1", "slug": MODEL}))
        assert RunflowHook().get_model(MODEL).id == "m1"
        world.answers(ok({"items": [{"price": "0.009"}], "next": None}))
        assert [str(rule.price) for rule in RunflowHook().get_pricing("m1")] == ["0.009"]

    def test_balance_and_statuses(self, world: World) -> None:
        world.answers(ok({"balance": "12.5"}))
        assert str(RunflowHook().get_balance().balance) == "12.5"
        world.answers(ok(["queued", "canceled"]))
        assert RunflowHook().list_statuses() == ["queued", "cancelled"]

    def test_an_upload_waits_on_the_hooks_clock_and_keeps_the_key_from_the_storage_host(self, world: World) -> None:
        script = world.answers(
            ok({"asset_id": "a1", "upload_url": "https://storage.test/a1?sig=1"}, 201),
            says(503),
            httpx.Response(200),
            ok({"id": "a1"}, 201),
        )
        start = world.now
        asset = RunflowHook().upload_asset(io.BytesIO(b"GIF89a......"), "logo.gif")
        assert asset.ref == "runflow://assets/a1"
        assert world.passed(start) == 1
        assert ["authorization" in request.headers for request in script.requests] == [True, False, False, True]

    def test_an_asset_is_read_by_its_id(self, world: World) -> None:
        world.answers(ok({"id": "a1", "url": "https://storage.test/a1?sig=1"}))
        assert RunflowHook().get_asset("a1").ref == "runflow://assets/a1"


class TestCallbacks:
    BODY = b'{"event":"run.completed","run_id":"r1","status":"succeeded","completed_at":"2026-11-22T10:00:00+00:00"}'
    SECRET = "whsec_never_show_this_secret"

    def signature(self) -> str:
        return hmac.new(self.SECRET.encode(), self.BODY, "sha256").hexdigest()

    def test_are_verified_with_the_connections_secret_on_the_hooks_clock(self, world: World) -> None:
        world.connect(extra={"callback_secret": self.SECRET})
        hook = RunflowHook()
        assert hook.verify_callback(self.BODY, self.signature(), tolerance=timedelta(hours=1)).run_id == "r1"
        world.clock.advance(3601)
        with pytest.raises(CallbackExpiredError):
            hook.verify_callback(self.BODY, self.signature(), tolerance=timedelta(hours=1))

    def test_a_connection_without_a_secret_believes_nobody_and_says_where_to_put_it(self, world: World) -> None:
        with pytest.raises(ConfigurationError, match="put it into the connection's extra as callback_secret"):
            RunflowHook().verify_callback(self.BODY, self.signature())

    def test_no_refusal_shows_the_secret(self, world: World) -> None:
        world.connect(extra={"callback_secret": self.SECRET})
        with pytest.raises(SignatureMismatchError) as caught:
            RunflowHook().verify_callback(self.BODY, "0" * 64)
        assert self.SECRET not in texts_of(caught.value)


class TestCancelling:
    def test_the_log_says_what_became_of_the_run_and_that_nothing_is_refunded(self, world: World) -> None:
        world.answers(ok(run("canceled"), 201))
        RunflowHook().cancel_run(RUN_ID, "Airflow task killed")
        assert world.log.lines == [f"Runflow run {RUN_ID} is cancelled. Cancelling does not refund."]

    @pytest.mark.parametrize(
        "answer", [says(403), says(404), says(500), httpx.ConnectError("refused"), httpx.Response(200, content=b"?")]
    )
    def test_a_refusal_is_logged_with_the_money_and_never_raised(self, world: World, answer: Any) -> None:
        world.answers(answer)
        RunflowHook().cancel_run(RUN_ID, "Airflow task killed")
        (line,) = world.log.lines
        assert line.startswith(f"Runflow run {RUN_ID} could not be cancelled, so it goes on and bills: ")
        assert KEY not in line

    def test_a_connection_that_is_gone_is_no_reason_to_raise_either(self, world: World) -> None:
        world.disconnect()
        RunflowHook().cancel_run(RUN_ID, "Airflow task killed")
        assert "could not be cancelled, so it goes on and bills: Connection 'runflow_default'" in world.log.lines[0]


class TestTheConnectionTest:
    def test_a_good_key_is_accepted(self, world: World) -> None:
        script = world.answers(ok({"id": "u1"}))
        assert RunflowHook().test_connection() == (True, "Runflow at https://api.runflow.io accepts the API key.")
        (request,) = script.requests
        assert (request.method, request.url.path) == ("GET", "/v1/auth/me")

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (
                says(401, {"code": "UNAUTHORIZED", "message": "Invalid API key."}),
                "Connection 'runflow_default': HTTP 401 UNAUTHORIZED: Invalid API",
            ),
            (
                says(403, {"code": "EMAIL_NOT_VERIFIED", "message": "Verify."}),
                "Connection 'runflow_default': HTTP 403 EMAIL_NOT_VERIFIED: Verify (GET",
            ),
            (says(429), "HTTP 429 SOME_CODE: said 429"),
            (says(503), "HTTP 503 SOME_CODE: said 503"),
            (says(301, Location="https://x.test"), "HTTP 301 SOME_CODE: redirected to https://x.test"),
            (httpx.Response(200, content=b"<html>Wi-Fi</html>"), "HTTP 200: the answer is not JSON"),
            (
                httpx.ConnectError("refused"),
                "Connection 'runflow_default': api.runflow.io could not be reached (ConnectError: refused). Nothing",
            ),
            (
                httpx.ConnectTimeout(""),
                "Connection 'runflow_default': api.runflow.io did not answer in time (ConnectTimeout: ConnectTimeout)",
            ),
            (httpx.ReadTimeout("slow"), "Connection 'runflow_default': api.runflow.io did not answer in time"),
            (
                httpx.ProxyError("407"),
                "Connection 'runflow_default': api.runflow.io could not be reached (ProxyError: 407)",
            ),
            (RuntimeError("the transport is broken"), "RuntimeError: the transport is broken"),
            (UnicodeError("idna"), "UnicodeError: idna"),
        ],
        ids=repr,
    )
    def test_anything_else_is_a_no_with_the_reason_after_one_request_and_no_wait(
        self, world: World, answer: Any, said: str
    ) -> None:
        script = world.answers(answer)
        start = world.now
        works, message = RunflowHook().test_connection()
        assert not works
        assert message.startswith(said)
        assert KEY not in message
        assert (len(script.requests), world.passed(start)) == (1, 0)

    @pytest.mark.parametrize(
        "fields",
        [
            {"conn_type": "http"},
            {"password": None},
            {"host": "ftp://x"},
            {"host": "https://a..b"},
            {"extra": "{broken"},
            {"extra": "[1]"},
            {"extra": {"request_timeout": "soon"}},
            {"extra": {"request_timeout": 1e308}},
            {"extra": {"organization_id": "ä"}},
        ],
        ids=str,
    )
    def test_a_broken_connection_is_a_no_without_any_request(self, world: World, fields: dict[str, Any]) -> None:
        script = world.answers(ok({}))
        world.connect(**fields)
        works, message = RunflowHook().test_connection()
        assert not works
        assert message.startswith("Connection 'runflow_default'")
        assert script.requests == []

    def test_a_missing_connection_is_a_no(self, world: World) -> None:
        works, message = RunflowHook("no_such_connection").test_connection()
        assert not works
        assert "Connection 'no_such_connection' cannot be read" in message

    def test_a_secrets_backend_that_fails_in_its_own_way_is_a_no(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(cls: type[RunflowHook], conn_id: str) -> Any:
            raise OSError("vault is sealed")

        monkeypatch.setattr(RunflowHook, "get_connection", classmethod(down))
        works, message = RunflowHook().test_connection()
        assert not works
        assert "OSError: vault is sealed" in message

    @pytest.mark.parametrize(("configured", "used"), [(None, TEST_TIMEOUT), (3600, TEST_TIMEOUT), (2, 2)])
    def test_it_answers_within_seconds_whatever_the_connections_time_out(
        self, world: World, configured: float | None, used: float
    ) -> None:
        world.connect(extra={"request_timeout": configured} if configured else {})
        script = world.answers(ok({}))
        RunflowHook().test_connection()
        timeout = script.requests[0].extensions["timeout"]
        assert (timeout["read"], timeout["connect"]) == (used, used)
        assert TEST_TIMEOUT <= 10

    def test_it_leaves_the_hooks_own_client_alone(self, world: World) -> None:
        world.answers(ok(run()))
        hook = RunflowHook()
        client = hook.get_conn()
        hook.test_connection()
        assert hook.get_conn() is client
        assert isinstance(client, RunflowClient)
        assert client.get_run(RUN_ID).id == RUN_ID


def test_no_error_of_the_hook_shows_the_key(world: World) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return says(403, {"message": f"{dict(request.headers)}"})

    world.answers(echo)
    with pytest.raises(PermissionDeniedError) as caught:
        RunflowHook().get_run(RUN_ID)
    assert KEY not in texts_of(caught.value)
