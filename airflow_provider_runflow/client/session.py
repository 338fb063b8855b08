# SPDX-License-Identifier: Apache-2.0
"""Sending calls of one account from a worker: one connection pool, one retry policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.protocol import Answer, Call
from airflow_provider_runflow.client.retry import Effect, Failure, Send, exchange
from airflow_provider_runflow.exceptions import SubmissionUncertainError


class Session:
    """
    What the resources of the sync client share.

    :param account: base URL, key and organisation.
    :param transport: httpx transport, for tests and special networks.
    :param sleep: how to wait between tries, in seconds.
    :param uniform: source of jitter.
    """

    def __init__(
        self,
        account: Account,
        *,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.account = account
        self.transport = transport
        self._sleep = sleep
        self._uniform = uniform
        self._http = httpx.Client(transport=transport, **protocol.client_options(account))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, call: Call[Answer]) -> Answer:
        """
        Send a call, trying again as the retry policy says.

        :raises SubmissionUncertainError: a paid call was sent, but there is no usable answer.
        :raises ApiError: the last error, when trying again cannot help or the tries are used up.
        """
        last: list[Any] = [None]

        def send() -> Any:
            last[0] = self._send(call)
            return last[0]

        try:
            return cast(Answer, self.retried(send, paid=call.paid))
        except Exception as error:
            failure = last[0]
            if call.paid and isinstance(failure, Failure) and failure.effect is Effect.UNKNOWN:
                raise SubmissionUncertainError(
                    f"The request was sent but got no usable answer: {error}. A run may exist and bill.",
                    failure.error,
                ) from error
            raise

    def once(self, call: Call[Answer]) -> Answer:
        """Send a call with one try and no waiting; raises ``ApiError`` when it brings no usable answer."""
        answer = self._send(call)
        if isinstance(answer, Failure):
            raise answer.error
        return cast(Answer, answer)

    def retried(self, send: Callable[[], Any], *, paid: bool = False) -> Any:
        """
        Repeat ``send`` as the retry policy says.

        :param send: gives the answer, or a :class:`Failure`; what it raises ends the tries.
        :param paid: sending twice could bill twice.
        """
        steps = exchange(paid=paid, uniform=self._uniform)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                answer = send() if isinstance(step, Send) else self._sleep(step.seconds)
        except StopIteration as done:
            return done.value

    def _send(self, call: Call[Any]) -> Any:
        try:
            return protocol.read_answer(call, self.account, self._http.request(**protocol.send_options(call)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return protocol.read_failure(call, self.account, error)
