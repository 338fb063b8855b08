# SPDX-License-Identifier: Apache-2.0
"""A Runflow that says what a test wrote down, and one way to read runs through either client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.client.wire import Page, Run

KEY = "rf_live_never_show_this_key"
ACCOUNT = Account("https://api.runflow.test", KEY)
MODEL = "openai/gpt-image-2"
RUN_ID = "019e1f00-0000-7000-8000-000000000001"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def run(status: str = "queued", **fields: Any) -> dict[str, Any]:
    """A run as the API sends it."""
    return {"id": RUN_ID, "status_code": status, **fields}


def ok(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(body), headers=headers)


def says(status: int, body: Any = None, **headers: str) -> httpx.Response:
    """An error answer; without a body it has the usual envelope."""
    envelope = {"code": "SOME_CODE", "message": f"said {status}", "errors": None} if body is None else body
    return httpx.Response(status, json=envelope, headers=headers)


class Script:
    """Answers requests in the order of the script (the last answer for ever) and remembers them."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        # A response is used up once it has been read.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def bodies(self) -> list[Any]:
        return self.bodies_of("POST", "PUT", "GET")

    def bodies_of(self, *methods: str) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.method in methods]


class Sync:
    """The sync client on a script; time and jitter are the test's: the longest jitter, and no waiting."""

    colour = "sync"

    def __init__(self, *answers: Answer, account: Account = ACCOUNT) -> None:
        self.script = Script(*answers)
        self.slept: list[float] = []
        self.client = RunflowClient(
            account, transport=self.script.transport, sleep=self.slept.append, uniform=lambda low, high: high
        )

    def create(self, **changes: Any) -> Run:
        return self.client.create_run(MODEL, changes.pop("input", {"prompt": "a cat"}), **changes)

    def get_run(self, run_id: str = RUN_ID) -> Run:
        return self.client.get_run(run_id)

    def list_runs(self, **query: Any) -> Page:
        return self.client.list_runs(**query)


class Async:
    """The async client, driven from sync tests."""

    colour = "async"

    def __init__(self, *answers: Answer, account: Account = ACCOUNT) -> None:
        self.script = Script(*answers)
        self.slept: list[float] = []
        self._account = account

    def get_run(self, run_id: str = RUN_ID) -> Run:
        return asyncio.run(self._with_client(lambda client: client.get_run(run_id)))

    def list_runs(self, **query: Any) -> Page:
        return asyncio.run(self._with_client(lambda client: client.list_runs(**query)))

    async def _with_client(self, call: Callable[[AsyncRunflowClient], Any]) -> Any:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        client = AsyncRunflowClient(
            self._account, transport=self.script.transport, sleep=sleep, uniform=lambda low, high: high
        )
        async with client:
            return await call(client)


Reader = Sync | Async
COLOURS: Sequence[type[Sync] | type[Async]] = (Sync, Async)


def texts_of(error: BaseException | None) -> str:
    """All that anybody could print of an error: text, representation, attributes, and those of what is behind it."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return "\n".join(f"{item} {item!r} {item.args!r} {vars(item)!r}" for item in seen)
