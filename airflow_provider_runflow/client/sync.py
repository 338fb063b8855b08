# SPDX-License-Identifier: Apache-2.0
"""The sync client: what workers use to submit, read and find runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.paging import every_item
from airflow_provider_runflow.client.protocol import Call
from airflow_provider_runflow.client.session import Session
from airflow_provider_runflow.client.wire import Balance, Listing, Page, Run, RunLog, Statuses
from airflow_provider_runflow.exceptions import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from airflow_provider_runflow.client.assets import Assets
    from airflow_provider_runflow.client.catalogue import Catalogue


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
        self._session = Session(account, transport=transport, sleep=sleep, uniform=uniform)

    def __enter__(self) -> RunflowClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @cached_property
    def assets(self) -> Assets:
        """Files that runs take as references."""
        from airflow_provider_runflow.client.assets import Assets

        return Assets(self._session)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Models and their prices, as Runflow tells them."""
        from airflow_provider_runflow.client.catalogue import Catalogue

        return Catalogue(self._session)

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
        return self._session.call(Call("POST", protocol.runs_path(model), Run, body=body, headers=headers, paid=True))

    def get_run(self, run_id: str) -> Run:
        """
        Read a run (``GET /v1/runs/{id}``); output URLs are signed anew at every read.

        :raises NotFoundError: no such run for this account.
        :raises ApiError: after at most five tries.
        """
        return self._session.call(Call("GET", protocol.run_path(run_id), Run))

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
        return self._session.call(Call("GET", "/v1/runs", Page, params=params))

    def find_runs(self, client_ref: str, *, fields: Sequence[str] | None = None) -> Iterator[Run]:
        """Yield every run that carries the reference, oldest first, over all pages."""
        query = protocol.client_ref_filter(client_ref)

        def read(cursor: str | None) -> Page:
            return self.list_runs(
                q=query, fields=fields, sort_by="created_at:asc", limit=protocol.MAX_PAGE, cursor=cursor
            )

        return every_item(read)

    def run_logs(self, run_id: str) -> Iterator[RunLog]:
        """
        Yield the lines that Runflow logged for a run (``GET /v1/runs/{id}/logs``), page after page.

        :raises NotFoundError: no such run for this account.
        """
        path = f"{protocol.run_path(run_id)}/logs"

        def read(cursor: str | None) -> Listing[RunLog]:
            return self._session.call(Call("GET", path, Listing[RunLog], params=protocol.list_params(cursor=cursor)))

        return every_item(read)

    def statuses(self) -> list[str]:
        """Read every status that a run can have (``GET /v1/runs/statuses``), ``cancelled`` in this one spelling."""
        return self._session.call(Call("GET", "/v1/runs/statuses", Statuses)).codes

    def cancel_run(self, run_id: str, reason: str) -> Run:
        """
        Cancel a run (``POST /v1/admin/runs/{id}/cancellation``); needs an organisation administrator's key.

        One try, without waiting: it is asked for while a task is being killed. It does not refund: billing follows the
        provider's job (reference, section 7). A run that is already terminal is returned unchanged.

        :param reason: 3-500 characters.
        """
        path = f"/v1/admin/runs/{protocol.run_path(run_id).removeprefix('/v1/runs/')}/cancellation"
        return self._session.once(Call("POST", path, Run, body={"reason": reason[:500]}))

    def check(self) -> None:
        """
        Make sure that the key works (``GET /v1/auth/me``); free of charge, one try.

        :raises ApiError: when it does not.
        """
        self._session.once(Call("GET", "/v1/auth/me"))

    def balance(self) -> Balance:
        """
        Read what the organisation can spend.

        The reference's path is ``/v1/billing/balance``; where that is not found, the one that an older client asks.

        :raises PermissionDeniedError: the key lacks the scope ``credit_balance:read``.
        """
        try:
            return self._session.call(Call("GET", "/v1/billing/balance", Balance))
        except NotFoundError:
            return self._session.call(Call("GET", "/v1/credit-balances", Balance))
