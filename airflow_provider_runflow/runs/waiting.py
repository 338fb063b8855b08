# SPDX-License-Identifier: Apache-2.0
"""The sync wait for one run."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RunTimeoutError,
    RunUnreachableError,
)
from airflow_provider_runflow.runs.polling import Done, GiveUp, Late, Poll

GOES_ON = "It goes on and is billed if it succeeds. A retry of the task attaches to it for $0."


def wait_for_run(
    read: Callable[[bool], Run],
    run_id: str,
    *,
    deadline: datetime,
    interval: float,
    clock: Clock,
    log: Log,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Run:
    """
    Poll until the run is terminal.

    :param read: reads the run; its argument says whether to read the connection again first.
    :param deadline: aware time after which the wait ends; the run itself goes on.
    :param interval: seconds between polls.
    :raises RunTimeoutError: the deadline has passed.
    :raises RunUnreachableError: the run can be read no more.
    """
    poll = Poll(run_id, deadline, interval, uniform, log.warning)
    reconnect = False
    trouble: ApiError | ConfigurationError | None = None
    while True:
        try:
            outcome, trouble = poll.on_run(read(reconnect), clock.now()), None
        except ApiError as error:
            outcome, trouble = poll.on_error(error, clock.now()), error
        except ConfigurationError as error:
            # It worked before, so a secrets backend may be down for a while; the run goes on meanwhile.
            if not reconnect:
                raise
            outcome, trouble = poll.on_unreadable_connection(error, clock.now()), error
        if isinstance(outcome, Done):
            return outcome.run
        if isinstance(outcome, Late):
            if isinstance(trouble, (AuthenticationError, PermissionDeniedError, NotFoundError)):
                raise unreachable(run_id, trouble) from trouble
            raise timeout_of(run_id, outcome.run, trouble) from trouble
        if isinstance(outcome, GiveUp):
            raise unreachable(run_id, outcome.error) from outcome.error
        clock.sleep(outcome.seconds)
        reconnect = outcome.reconnect


def timeout_of(run_id: str, run: Run | None, trouble: Exception | None = None) -> RunTimeoutError:
    """
    Make the error for a run that outlives the wait.

    :param run: as last read, if it was.
    :param trouble: what kept it from being read in the end.
    """
    if trouble is not None:
        return RunTimeoutError(f"Runflow run {run_id} could not be read when the wait ended: {trouble}. {GOES_ON}")
    return RunTimeoutError(
        f"Runflow run {run_id} was still {run.status_code if run else 'not finished'} when the wait ended. {GOES_ON}"
    )


def unreachable(run_id: str, error: ApiError) -> RunUnreachableError:
    """Make the error for a run that cannot be read any more."""
    return RunUnreachableError(
        f"Runflow run {run_id} cannot be read any more: {error}. It goes on and is billed if it succeeds. "
        "Correct the connection and clear the task: it attaches to this run for $0."
    )
