# SPDX-License-Identifier: Apache-2.0
"""The async client of the triggerer. It reads; it cannot submit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import httpx

from airflow_provider_runflow.client import protocol, wire
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.protocol import Answer, Call
from airflow_provider_runflow.client.retry import Failure, Send, exchange
from airflow_provider_runflow.client.wire import Page, Row, Rows, Run


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

    async def read_row(self, run_id: str) -> Row:
        """
        Read a run's status, with one try: the watcher has a patience of its own, one for all of its runs.

        :raises ApiError: no usable answer.
        """
        call: Call[Any] = Call("GET", protocol.run_path(run_id))
        row = wire.read_row(await self._once(call))
        if row is None:
            raise protocol.unusable(call, "the answer has no id or no status_code")
        return row

    async def list_rows(
        self, *, q: str | None = None, fields: Sequence[str], sort_by: str, limit: int, cursor: str | None = None
    ) -> Rows:
        """
        Read one page of statuses, with one try; parameters as for :meth:`RunflowClient.list_runs`.

        :raises ApiError: no usable answer.
        """
        params = protocol.list_params(q=q, fields=fields, sort_by=sort_by, limit=limit, cursor=cursor)
        call: Call[Any] = Call("GET", "/v1/runs", params=params)
        rows = wire.read_rows(await self._once(call))
        if rows is None:
            raise protocol.unusable(call, "the answer is no page of runs")
        return rows

    async def _once(self, call: Call[Any]) -> Any:
        answer = await self._send(call)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

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
