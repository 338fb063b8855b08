# SPDX-License-Identifier: Apache-2.0
"""Asking Runflow what it knows: of a request's runs, and of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    NotFoundError,
)
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR

LIST_FIELDS = (
    "id",
    "status_code",
    "client_ref",
    "metadata",
    "created_at",
    "cost",
    "failure_code",
    "failure_message",
)


class RunsApi(Protocol):
    """What the engine needs of the client."""

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
        """Submit."""

    def get_run(self, run_id: str) -> Run:
        """Read one."""

    def find_runs(self, client_ref: str, *, fields: Sequence[str] | None = None) -> Iterator[Run]:
        """Find all of a scope."""


class LookUpRefused(Exception):
    """This key may not list runs, or the list does not know the filter."""


def read_or_wait(api: RunsApi, run_id: str, log: Log) -> Run:
    """Read a run that exists; while the API is down it counts as one that goes on, since waiting copes with that."""
    try:
        return api.get_run(run_id)
    except ApiError as error:
        log.warning("Runflow run %s cannot be read now (%s); waiting for it.", run_id, error)
        return unread(run_id)


def unread(run_id: str) -> Run:
    """Stand in for a run that exists but could not be read yet."""
    return Run(id=run_id, status_code="queued")


def may_deliver(api: RunsApi, record: Record, account: str, now: datetime) -> bool:
    """Whether what was bought in another scope may still bring pictures; if not, a clear buys new ones."""
    if record.account != account or record.run_id is None:
        return record.account == account
    try:
        run = api.get_run(record.run_id)
    except NotFoundError:
        # A run that is new may not be there for every reader yet.
        return record.submitted_at is not None and now - record.submitted_at < NOT_FOUND_FOR
    except ApiError:
        return True
    return run.is_delivered or not run.is_terminal
