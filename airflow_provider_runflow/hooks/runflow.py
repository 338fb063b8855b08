# SPDX-License-Identifier: Apache-2.0
"""From an Airflow connection to a Runflow client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_runflow.client.clock import Clock, SystemClock
from airflow_provider_runflow.compat import BaseHook, aread_connection
from airflow_provider_runflow.exceptions import ConnectionUnreadableError, RunflowError

if TYPE_CHECKING:
    from airflow_provider_runflow.client.account import Account
    from airflow_provider_runflow.client.assets import Asset
    from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
    from airflow_provider_runflow.client.callbacks import Callback
    from airflow_provider_runflow.client.catalogue import ModelCard, PriceRule
    from airflow_provider_runflow.client.sync import RunflowClient
    from airflow_provider_runflow.client.wire import Balance, Page, Run, RunLog
    from airflow_provider_runflow.hooks.settings import Settings
    from airflow_provider_runflow.runs.waiting import Advice

TEST_TIMEOUT = 8.0
# Airflow kills a task that does not end by itself about 5 s after it was told to.
CANCEL_TIMEOUT = 3.0
CANCELS_AT_ONCE = 16


class RunflowHook(BaseHook):
    """
    Talk to Runflow through an Airflow connection of type ``runflow``.

    The connection's host is the base URL (default ``https://api.runflow.io``), its password the API key. Nothing is
    looked up before it is needed, so building a hook is free and safe anywhere.

    :param runflow_conn_id: id of the connection.
    """

    conn_name_attr = "runflow_conn_id"
    default_conn_name = "runflow_default"
    conn_type = "runflow"
    hook_name = "Runflow"

    # The one way out of this process, and its time: subclasses and tests replace them.
    clock: ClassVar[Clock] = SystemClock()
    transport: ClassVar[Any] = None
    jitter: ClassVar[random.Random] = random.Random()  # noqa: S311 - spreads polls, guards nothing

    def __init__(self, runflow_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runflow_conn_id = runflow_conn_id

    @cached_property
    def settings(self) -> Settings:
        """
        What the connection says.

        :raises ConfigurationError: when it does not exist, is of another type, or a field is wrong.
        """
        from airflow_provider_runflow.hooks.settings import read_connection

        try:
            conn = self.get_connection(self.runflow_conn_id)
        except Exception as error:
            raise self._no_connection(error) from error
        return read_connection(conn, conn.extra_dejson)

    async def aget_settings(self) -> Settings:
        """Read the connection afresh, without blocking the event loop; raises as :attr:`settings` does."""
        reading = asyncio.ensure_future(self._read_settings())
        # A cancellation while Airflow reads the connection in a thread would lose its message on the way through, and
        # with it Airflow's mark that a person ended the task. So the read is left to end by itself.
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(reading)

    async def _read_settings(self) -> Settings:
        from airflow_provider_runflow.hooks.settings import read_connection

        try:
            conn, extra = await aread_connection(self.runflow_conn_id)
        except Exception as error:
            raise self._no_connection(error) from error
        return read_connection(conn, extra)

    def use_clock(self, clock: Clock) -> None:
        """Tell the time, and wait, by another clock: this hook alone, before it makes its client."""
        self.__dict__["clock"] = clock

    def get_conn(self) -> RunflowClient:
        """Return the client of this connection; one a hook."""
        return self._client

    async def aget_client(self) -> AsyncRunflowClient:
        """Build an async client that reads runs. Close it with ``aclose()``."""
        return self.async_client((await self.aget_settings()).account)

    def async_client(self, account: Account) -> AsyncRunflowClient:
        """Build an async client of an account that was read before; all of a process share one TLS context."""
        from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient

        return AsyncRunflowClient(
            account, transport=self.transport, sleep=self.clock.asleep, uniform=self.jitter.uniform
        )

    @cached_property
    def _client(self) -> RunflowClient:
        from airflow_provider_runflow.client.sync import RunflowClient

        return RunflowClient(
            self.settings.account, transport=self.transport, sleep=self.clock.sleep, uniform=self.jitter.uniform
        )

    def reconnect(self) -> None:
        """Forget the client, so that the connection is read again: a key may have been rotated."""
        if "_client" in self.__dict__:
            self._client.close()
        for name in ("_client", "settings"):
            self.__dict__.pop(name, None)

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
        Submit a run. This spends money, and the hook keeps no journal: operators are what never pays twice.

        :param model: model id, such as ``openai/gpt-image-2``.
        :param input: the model's parameters.
        :param client_ref: correlation id, at most 255 characters; :meth:`find_runs` finds it again.
        :param metadata: JSON object that Runflow echoes.
        :param callback_url: POSTed at the terminal state, at most 2048 characters.
        :param idempotency_key: sending the same key and body again returns the first run instead of buying another.
        :raises SubmissionUncertainError: sent, but no usable answer: a run may exist.
        :raises ApiError: Runflow refused or was never reached: no run exists.
        """
        return self.get_conn().create_run(
            model,
            input,
            client_ref=client_ref,
            metadata=metadata,
            callback_url=callback_url,
            idempotency_key=idempotency_key,
        )

    def get_run(self, run_id: str) -> Run:
        """
        Read a run; its output URLs are signed anew.

        :raises NotFoundError: no such run for this account.
        """
        return self.get_conn().get_run(run_id)

    def find_runs(self, client_ref: str) -> list[Run]:
        """
        Find every run that carries a ``client_ref``, oldest first.

        :param client_ref: exact value, 1-255 characters without a single quote.
        """
        return list(self.get_conn().find_runs(client_ref))

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
        Read one page of runs.

        :param q: filter, such as ``status_code.EQ:'failed'``.
        :param fields: projection; must contain ``id`` and ``status_code``.
        :param sort_by: such as ``created_at:desc``.
        :param limit: rows a page, 1-500.
        :param cursor: ``next`` of the page before.
        """
        return self.get_conn().list_runs(q=q, fields=fields, sort_by=sort_by, limit=limit, cursor=cursor)

    def wait_for_run(self, run_id: str, *, poll_interval: float = 5.0, timeout: float | timedelta = 1800.0) -> Run:
        """
        Wait until a run is terminal. Network errors, 429 and 5xx do not end the wait.

        :param poll_interval: seconds between polls.
        :param timeout: seconds, from now.
        :raises RunTimeoutError: still going then; the run goes on.
        :raises RunUnreachableError: the run cannot be read any more.
        """
        seconds = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
        return self.wait_until(run_id, deadline=self.clock.now() + seconds, poll_interval=poll_interval)

    def wait_until(self, run_id: str, *, deadline: datetime, poll_interval: float, advice: Advice | None = None) -> Run:
        """
        Wait as :meth:`wait_for_run` does, up to an aware wall-clock time.

        :param advice: what the errors say of the money and of a retry; default: to the task that bought the run.
        """
        from airflow_provider_runflow.runs.waiting import OF_THE_BUYER, wait_for_run

        def read(reconnect: bool) -> Run:
            if reconnect:
                self.reconnect()
            return self.get_run(run_id)

        return wait_for_run(
            read,
            run_id,
            deadline=deadline,
            interval=poll_interval,
            clock=self.clock,
            log=self.log,
            uniform=self.jitter.uniform,
            advice=advice or OF_THE_BUYER,
        )

    def cancel_run(self, run_id: str, reason: str) -> None:
        """
        Try to cancel a run, and say in the log what became of it; never raises a Runflow error.

        Runflow has no public cancel: it takes an organisation administrator's key, and does not refund.
        """
        from airflow_provider_runflow.client.sync import RunflowClient

        try:
            # A client of its own, and little patience: a killed task has seconds, and its own client may be in use.
            account = self.settings.account
            quick = replace(account, request_timeout=min(CANCEL_TIMEOUT, account.request_timeout))
            with RunflowClient(quick, transport=self.transport) as client:
                run = client.cancel_run(run_id, reason)
        except RunflowError as error:
            self.log.warning("Runflow run %s could not be cancelled, so it goes on and bills: %s", run_id, error)
        else:
            self.log.info("Runflow run %s is %s. Cancelling does not refund.", run_id, run.status_code)

    def cancel_runs(self, run_ids: Sequence[str], reason: str) -> None:
        """Try to cancel runs, several at once, as :meth:`cancel_run` does."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(CANCELS_AT_ONCE) as pool:
            list(pool.map(lambda run_id: self.cancel_run(run_id, reason), run_ids))

    def get_run_logs(self, run_id: str) -> list[RunLog]:
        """
        Read what Runflow logged for a run.

        :param run_id: the run.
        :raises NotFoundError: no such run for this account.
        """
        return list(self.get_conn().run_logs(run_id))

    def list_statuses(self) -> list[str]:
        """Read every status that a run can have."""
        return self.get_conn().statuses()

    def get_balance(self) -> Balance:
        """
        Read what the organisation can spend, in USD.

        :raises PermissionDeniedError: the key lacks the scope ``credit_balance:read``.
        """
        return self.get_conn().balance()

    def list_models(self, *, q: str | None = None) -> list[ModelCard]:
        """
        Read the models that the account may use.

        :param q: filter, such as ``slug.eq:'openai/gpt-image-2'``.
        """
        return list(self.get_conn().catalogue.list(q=q))

    def get_model(self, model: str) -> ModelCard:
        """
        Read one model with its inputs.

        :param model: such as ``openai/gpt-image-2``.
        :raises NotFoundError: no such model for this account.
        """
        return self.get_conn().catalogue.get(model)

    def get_pricing(self, model: str) -> list[PriceRule]:
        """
        Read the price rules of a model; a run's ``cost`` is the truth.

        :param model: such as ``openai/gpt-image-2``, or the model's UUID.
        """
        return list(self.get_conn().catalogue.pricing(model))

    def upload_asset(self, file: BinaryIO, filename: str, *, mime_type: str | None = None) -> Asset:
        """
        Upload a file that runs can take as a reference; free of charge.

        :param file: binary and seekable, 1 byte to 50 MiB from where it stands; never read into memory as a whole.
        :param filename: 1-500 characters.
        :param mime_type: by default what the bytes of a picture say, else the filename.
        :return: the asset; its ``ref`` (``runflow://assets/...``) goes into a model's input.
        :raises InvalidRequestError: too large, empty, or no telling its type; nothing was uploaded.
        :raises ApiError: refused, or not reached after five tries.
        """
        return self.get_conn().assets.upload(file, filename, mime_type=mime_type)

    def get_asset(self, asset_id: str) -> Asset:
        """
        Read an asset; its URL is signed anew.

        :param asset_id: the id, without ``runflow://assets/``.
        :raises NotFoundError: no such asset for this account.
        """
        return self.get_conn().assets.get(asset_id)

    def verify_callback(self, body: bytes, signature: str | None, *, tolerance: timedelta | None = None) -> Callback:
        """
        Make sure that a callback comes from Runflow, with the connection's ``callback_secret``, and read it.

        :param body: the raw request body.
        :param signature: value of the header ``Runflow-Signature``.
        :param tolerance: see :func:`~airflow_provider_runflow.client.callbacks.verify_signature`.
        :raises CallbackRejectedError: not signed, wrongly signed, too old, or not a callback.
        :raises ConfigurationError: the connection has no ``callback_secret``.
        """
        from airflow_provider_runflow.client.callbacks import verify_signature

        secret = self.settings.callback_secret or ""
        return verify_signature(body, signature, secret, tolerance=tolerance, now=self.clock.now())

    def test_connection(self) -> tuple[bool, str]:
        """Ask Runflow whether the key works. Free of charge, answers within seconds, never raises."""
        from airflow_provider_runflow.client.sync import RunflowClient

        try:
            account = self.settings.account
            quick = replace(account, request_timeout=min(TEST_TIMEOUT, account.request_timeout))
            with RunflowClient(quick, transport=self.transport) as client:
                client.check()
        except RunflowError as error:
            return False, str(error)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"
        return True, f"Runflow at {account.base_url} accepts the API key."

    def _no_connection(self, error: Exception) -> ConnectionUnreadableError:
        name = f"AIRFLOW_CONN_{self.runflow_conn_id.upper()}"
        return ConnectionUnreadableError(
            f"Connection {self.runflow_conn_id!r} cannot be read ({type(error).__name__}: {error}). Create one of type "
            f"'runflow' with the API key as its password, or set {name}."
        )
