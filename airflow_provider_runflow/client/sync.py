# SPDX-License-Identifier: Apache-2.0
"""The sync client: what workers use to submit, read and find runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.protocol import Answer, Call
from airflow_provider_runflow.client.retry import Effect, Failure, Send, exchange
from airflow_provider_runflow.client.wire import Page, Run
from airflow_provider_runflow.exceptions import InvalidRequestError, SubmissionUncertainError

# So many in a row end a list that never says that it has ended.
MAX_EMPTY_PAGES = 5


class RunflowClient:
    """
    Talk to one Runflow account.

    :param account: base URL, key and organisation.
    :param transport: httpx transport, for tests and special networks.
    :param sleep: how to wait between tries, in seconds.
    :param uniform: source of jitter.
    """

    def __init__(
        self,
        account: Account,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.account = account
        self._host = urlsplit(account.base_url).netloc
        self._sleep = sleep
        self._uniform = uniform
        self._http = httpx.Client(transport=transport, **protocol.client_options(account))

    def __enter__(self) -> RunflowClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def create_run(
        self,
        model: str,
        input: Mapping[str, Any],
        *,
        client_ref: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """
        Submit a run (``POST /v1/models/{model}/runs``). This spends money.

        Retried only where it certainly did not take effect (never connected, 429).

        :param model: model id, such as ``openai/gpt-image-2``.
        :param input: the model's parameters.
        :param client_ref: correlation id, at most 255 characters; the list endpoint filters by it.
        :param metadata: JSON object that Runflow echoes.
        :param callback_url: POSTed at the terminal state, at most 2048 characters.
        :param idempotency_key: same key and same body replay the first answer instead of creating a run.
        :raises SubmissionUncertainError: it was sent but there is no usable answer, so a run may exist.
        :raises ApiError: Runflow refused, or was never reached; no run exists.
        """
        if client_ref is not None:
            protocol.check_client_ref(client_ref)
        if idempotency_key is not None:
            protocol.check_idempotency_key(idempotency_key)
        if callback_url is not None and len(callback_url) > protocol.MAX_CALLBACK_URL:
            raise InvalidRequestError(
                f"callback_url: {len(callback_url)} characters; Runflow takes at most {protocol.MAX_CALLBACK_URL}."
            )
        optional = {
            "client_ref": client_ref,
            "metadata": dict(metadata) if metadata is not None else None,
            "callback_url": callback_url,
        }
        body = {
            "input": dict(input),
            **{name: value for name, value in optional.items() if value is not None},
        }
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return self._call(Call("POST", protocol.runs_path(model), Run, body=body, headers=headers, paid=True))

    def get_run(self, run_id: str) -> Run:
        """
        Read a run (``GET /v1/runs/{id}``); output URLs are signed anew at every read.

        :raises NotFoundError: no such run for this account.
        :raises ApiError: after at most five tries.
        """
        return self._call(Call("GET", protocol.run_path(run_id), Run))

    def list_runs(
        self,
        *,
        q: str | None = None,
        fields: Sequence[str] | None = None,
        sort_by: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """
        Read one page of runs (``GET /v1/runs``).

        :param q: filter expression, such as ``client_ref.EQ:'value'``.
        :param fields: projection; ``id`` and ``status_code`` must be among them.
        :param sort_by: such as ``created_at:asc``.
        :param limit: rows a page, 1-500.
        :param cursor: ``next`` of the page before.
        """
        params = protocol.list_params(q=q, fields=fields, sort_by=sort_by, limit=limit, cursor=cursor)
        return self._call(Call("GET", "/v1/runs", Page, params=params))

    def find_runs(self, client_ref: str, *, fields: Sequence[str] | None = None) -> Iterator[Run]:
        """Yield every run that carries the reference, oldest first, over all pages."""
        cursor: str | None = None
        seen: set[str] = set()
        empty = 0
        while empty < MAX_EMPTY_PAGES:
            page = self.list_runs(
                q=protocol.client_ref_filter(client_ref),
                fields=fields,
                sort_by="created_at:asc",
                limit=protocol.MAX_PAGE,
                cursor=cursor,
            )
            yield from page.items
            if not page.next or page.next in seen:
                return
            # A filter that is applied after paging makes empty pages: a run may be on the next one.
            empty = 0 if page.items else empty + 1
            seen.add(page.next)
            cursor = page.next

    def cancel_run(self, run_id: str, reason: str) -> Run:
        """
        Cancel a run (``POST /v1/admin/runs/{id}/cancellation``); needs an organisation administrator's key.

        One try, without waiting: it is asked for while a task is being killed. It does not refund: billing follows the
        provider's job (reference, section 7). A run that is already terminal is returned unchanged.

        :param reason: 3-500 characters.
        """
        path = f"/v1/admin/runs/{protocol.run_path(run_id).removeprefix('/v1/runs/')}/cancellation"
        answer = self._send(Call("POST", path, Run, body={"reason": reason[:500]}))
        if isinstance(answer, Failure):
            raise answer.error
        return cast(Run, answer)

    def check(self) -> None:
        """
        Make sure that the key works (``GET /v1/auth/me``); free of charge, one try.

        :raises ApiError: when it does not.
        """
        answer = self._send(Call("GET", "/v1/auth/me"))
        if isinstance(answer, Failure):
            raise answer.error

    def _call(self, call: Call[Answer]) -> Answer:
        steps = exchange(paid=call.paid, uniform=self._uniform)
        answer: Any = None
        failure: Failure | None = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Send):
                    answer = self._send(call)
                    failure = answer if isinstance(answer, Failure) else None
                else:
                    answer = self._sleep(step.seconds)
        except StopIteration as done:
            return cast(Answer, done.value)
        except Exception as error:
            if call.paid and failure is not None and failure.effect is Effect.UNKNOWN:
                raise SubmissionUncertainError(
                    f"The request was sent but got no usable answer: {error}. A run may exist and bill.",
                    failure.error,
                ) from error
            raise

    def _send(self, call: Call[Any]) -> Any:
        try:
            return protocol.read_answer(call, self.account, self._http.request(**protocol.send_options(call)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return protocol.read_failure(call, self._host, error)
