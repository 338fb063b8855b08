# SPDX-License-Identifier: Apache-2.0
"""The key is in no text, whatever fails, however deep one looks."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.exceptions import RunflowError
from tests.unit.client.fakes import ACCOUNT, COLOURS, KEY, Async, Reader, Sync, ok, says, texts_of


def echo_header(request: httpx.Request) -> httpx.Response:
    """A gateway that repeats what it was sent."""
    said = f"refused {request.headers['Authorization']}"
    body = {"code": said, "message": said, "errors": [{"loc": ["header", said], "msg": said}], "request_id": said}
    return httpx.Response(401, json=body)


def echo_malformed(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": [request.headers["Authorization"]], "status_code": 5})


def echo_text(request: httpx.Request) -> httpx.Response:
    return httpx.Response(502, content=f"<html>{request.headers['Authorization']}</html>".encode())


def echo_nested(request: httpx.Request) -> httpx.Response:
    return httpx.Response(422, json={"error": {"message": request.headers["Authorization"]}})


def reset(request: httpx.Request) -> httpx.Response:
    # As httpx raises it: the request, with its headers, hangs on the error.
    raise httpx.ReadError("reset", request=request)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


FAILURES = [echo_header, echo_malformed, echo_text, echo_nested, reset, refused, says(401), says(500), ok({})]


@pytest.mark.parametrize("answer", FAILURES, ids=lambda answer: getattr(answer, "__name__", repr(answer)))
class TestErrors:
    @pytest.mark.parametrize("client", COLOURS, ids=lambda colour: colour.colour)
    def test_of_reading_never_show_the_key(self, client: type[Reader], answer: Any) -> None:
        with pytest.raises(RunflowError) as caught:
            client(answer).get_run()
        assert KEY not in texts_of(caught.value)
        assert KEY.encode() not in pickle.dumps(caught.value)

    def test_of_submitting_never_show_the_key(self, answer: Any) -> None:
        with pytest.raises(RunflowError) as caught:
            Sync(answer).create(idempotency_key="rf-123")
        assert KEY not in texts_of(caught.value)
        assert KEY.encode() not in pickle.dumps(caught.value)


class TestObjects:
    def test_neither_client_shows_the_key(self) -> None:
        with RunflowClient(ACCOUNT) as client:
            assert KEY not in f"{client!r} {client!s} {client.account!r}"
        reader = Async(ok({}))
        assert KEY not in repr(vars(reader))

    def test_a_client_cannot_be_pickled(self) -> None:
        with RunflowClient(ACCOUNT) as client, pytest.raises(TypeError) as caught:
            pickle.dumps(client)
        assert KEY not in texts_of(caught.value)

    def test_a_short_key_does_not_damage_the_words_of_an_error(self) -> None:
        account = Account("https://api.runflow.test", "rf_a")
        with pytest.raises(RunflowError, match="a surfboard rf_a"):
            Sync(says(400, {"message": "a surfboard rf_a"}), account=account).get_run()

    def test_copies_stay_inside_the_process(self) -> None:
        assert copy.copy([ACCOUNT])[0].api_key == KEY


class TestLogs:
    async def test_neither_key_nor_body_is_logged_at_any_level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(RunflowError):
            Sync(reset).create(input={"prompt": "an unannounced product"}, idempotency_key="rf-123")
        await asyncio.to_thread(Async(ok({"items": []})).list_runs)
        assert KEY not in caplog.text
        assert "an unannounced product" not in caplog.text
