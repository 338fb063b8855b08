# SPDX-License-Identifier: Apache-2.0
"""What the async client has of its own: statuses alone, with one try. What it shares is in test_both_clients.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.client.wire import Row, Rows
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    MalformedResponseError,
    NotFoundError,
    RateLimitedError,
    ServiceUnavailableError,
    TransportError,
)
from tests.unit.client.fakes import ACCOUNT, KEY, RUN_ID, Script, ok, run, says

BORN = datetime(2026, 5, 6, 10, 0, tzinfo=timezone.utc)


def asked(script: Script, call: Callable[[AsyncRunflowClient], Any]) -> Any:
    async def ask() -> Any:
        async def never(seconds: float) -> None:
            raise AssertionError("the watcher waits by itself")

        async with AsyncRunflowClient(ACCOUNT, transport=script.transport, sleep=never) as client:
            return await call(client)

    return asyncio.run(ask())


def row(script: Script) -> Row:
    found: Row = asked(script, lambda client: client.read_row(RUN_ID))
    return found


def rows(script: Script) -> Rows:
    query = {"q": "client_ref.EQ:'c'", "fields": ("id", "status_code"), "sort_by": "created_at:desc", "limit": 500}
    found: Rows = asked(script, lambda client: client.list_rows(**query, cursor="c2"))
    return found


def test_a_run_is_read_for_its_status_alone() -> None:
    script = Script(ok(run("canceled", created_at="2026-05-06T10:00:00Z", output={"outputs": "whatever"})))
    assert row(script) == Row(RUN_ID, "cancelled", BORN)
    assert script.requests[0].url.path == f"/v1/runs/{RUN_ID}"


def test_a_page_is_asked_for_as_it_is_by_the_others() -> None:
    script = Script(ok({"items": [run("running", client_ref="c")], "next": "c3"}))
    assert rows(script) == Rows([Row(RUN_ID, "running", None, "c")], "c3")
    assert dict(script.requests[0].url.params) == {
        "q": "client_ref.EQ:'c'",
        "fields": "id,status_code",
        "sort_by": "created_at:desc",
        "pq": "c2",
        "limit": "500",
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(401), AuthenticationError),
        (says(404), NotFoundError),
        (says(429, **{"Retry-After": "17"}), RateLimitedError),
        (says(503), ServiceUnavailableError),
        (httpx.ConnectError("refused"), TransportError),
        (httpx.Response(200, content=b"<html>"), MalformedResponseError),
        (ok({"id": None}), MalformedResponseError),
        (ok([]), MalformedResponseError),
    ],
)
@pytest.mark.parametrize("read", [row, rows])
def test_trouble_is_told_after_one_try(read: Callable[[Script], Any], answer: Any, kind: type[ApiError]) -> None:
    script = Script(answer)
    with pytest.raises(kind) as caught:
        read(script)
    assert len(script.requests) == 1
    assert KEY not in str(caught.value)
    assert caught.value.retry_after == (17 if kind is RateLimitedError else None)
