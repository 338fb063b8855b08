# SPDX-License-Identifier: Apache-2.0
"""The async client of the triggerer. It reads; it cannot submit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import httpx

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.protocol import Answer, Call
from airflow_provider_runflow.client.retry import Send, exchange
from airflow_provider_runflow.client.wire import Page, Run


class AsyncRunflowClient:
    """
    Read runs of one Runflow account from an event loop.

    :param account: base URL, key and organisation.
    :param transport: httpx transport, for tests.
    :param sleep: how to wait between tries, in seconds.
    :param uniform: source of jitter.
    """

    def __init__(
        self,
        account: Account,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.account = account
        self._sleep = sleep
        self._uniform = uniform
        self._http = httpx.AsyncClient(transport=transport, **protocol.client_options(account))

    async def __aenter__(self) -> AsyncRunflowClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get_run(self, run_id: str) -> Run:
        """Read a run; raises as :meth:`RunflowClient.get_run` does."""
        return await self._call(Call("GET", protocol.run_path(run_id), Run))

    async def list_runs(
        self,
        *,
        q: str | None = None,
        fields: Sequence[str] | None = None,
        sort_by: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Read one page of runs; parameters as for :meth:`RunflowClient.list_runs`."""
        params = protocol.list_params(q=q, fields=fields, sort_by=sort_by, limit=limit, cursor=cursor)
        return await self._call(Call("GET", "/v1/runs", Page, params=params))

    async def _call(self, call: Call[Answer]) -> Answer:
        steps = exchange(paid=call.paid, uniform=self._uniform)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                answer = await (self._send(call) if isinstance(step, Send) else self._sleep(step.seconds))
        except StopIteration as done:
            return cast(Answer, done.value)

    async def _send(self, call: Call[Any]) -> Any:
        try:
            return protocol.read_answer(call, self.account, await self._http.request(**protocol.send_options(call)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return protocol.read_failure(call, self.account, error)
