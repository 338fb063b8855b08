# SPDX-License-Identifier: Apache-2.0
"""The sync wait for one run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

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
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.polling import THEY_GO_ON, Done, GiveUp, Late, Patience, Poll, Sleep

# How long the worker bears with an API that is down, once the trigger has said that the run has ended.
READ_GRACE = timedelta(seconds=60)


@dataclass(frozen=True)
class Advice:
    """
    What the errors of a wait say of the money and of a retry.

    :param late: the run outlives the wait.
    :param unreadable: the run cannot be read; ``{error}`` stands for why.
    """

    late: str
    unreadable: str


OF_THE_BUYER = Advice(
    late="It goes on and is billed if it succeeds. A retry of the task attaches to it for $0.",
    unreadable="cannot be read any more: {error}. It goes on and is billed if it succeeds. Correct the connection and "
    "clear the task: it attaches to this run for $0.",
)
OF_AN_ONLOOKER = Advice(
    late="It goes on and is billed if it succeeds, to whoever submitted it. Clear the task to wait on, for $0; a "
    "longer `timeout` gives it more time.",
    unreadable="cannot be read: {error}. If there is such a run, it goes on and is billed if it succeeds, to whoever "
    "submitted it. Correct the run id or the connection, then clear the task; it buys nothing.",
)


def wait_for_run(
    read: Callable[[bool], Run],
    run_id: str,
    *,
    deadline: datetime,
    interval: float,
    clock: Clock,
    log: Log,
    uniform: Callable[[float, float], float] = random.uniform,
    advice: Advice = OF_THE_BUYER,
) -> Run:
    """
    Poll until the run is terminal.

    :param read: reads the run; its argument says whether to read the connection again first.
    :param deadline: aware time after which the wait ends; the run itself goes on.
    :param interval: seconds between polls.
    :param advice: what the errors say of the money and of a retry.
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
                raise unreachable(run_id, trouble, advice) from trouble
            raise timeout_of(run_id, outcome.run, trouble, advice) from trouble
        if isinstance(outcome, GiveUp):
            raise unreachable(run_id, outcome.error, advice) from outcome.error
        clock.sleep(outcome.seconds)
        reconnect = outcome.reconnect


def wait_for_group(
    read: Callable[[Group, bool], None],
    group: Group,
    what: str,
    *,
    deadline: datetime,
    interval: float,
    clock: Clock,
    log: Log,
    uniform: Callable[[float, float], float] = random.uniform,
    tell: Callable[[], None] = lambda: None,
) -> bool:
    """
    Poll until all runs of a group are terminal, or the deadline has passed; the runs themselves go on then.

    :param read: reads how the group's runs stand, and tells the group; its second argument says whether to read the
        connection again first.
    :param what: the group, for messages.
    :param deadline: aware time.
    :param interval: seconds between polls.
    :param tell: called after each poll.
    :return: whether all have ended.
    :raises ApiError: the credentials stay refused.
    """
    reconnect = False
    patience = Patience(what, deadline, interval, uniform, log.warning, THEY_GO_ON)
    while True:
        try:
            read(group, reconnect)
            patience.on_answer()
            if group.over:
                return True
            outcome: Sleep | Late | GiveUp = patience.again(interval * uniform(0.9, 1.1), clock.now())
        except (AuthenticationError, PermissionDeniedError) as error:
            outcome = patience.on_refusal(error, clock.now())
        except ApiError as error:
            outcome = patience.on_trouble(error, clock.now())
        if isinstance(outcome, GiveUp):
            raise outcome.error
        if isinstance(outcome, Late):
            return False
        tell()
        clock.sleep(outcome.seconds)
        reconnect = outcome.reconnect


def timeout_of(
    run_id: str, run: Run | None, trouble: Exception | None = None, advice: Advice = OF_THE_BUYER
) -> RunTimeoutError:
    """
    Make the error for a run that outlives the wait.

    :param run: as last read, if it was.
    :param trouble: what kept it from being read in the end.
    """
    if trouble is not None:
        return RunTimeoutError(f"Runflow run {run_id} could not be read when the wait ended: {trouble}. {advice.late}")
    return RunTimeoutError(
        f"Runflow run {run_id} was still {run.status_code if run else 'not finished'} when the wait ended. "
        f"{advice.late}"
    )


def unreachable(run_id: str, error: ApiError, advice: Advice = OF_THE_BUYER) -> RunUnreachableError:
    """Make the error for a run that cannot be read any more, or never could."""
    if isinstance(error, NotFoundError) and advice is OF_THE_BUYER:
        return RunUnreachableError(
            f"Runflow does not know run {run_id}: {error}. It belongs to another account, or is no longer kept, so "
            "whether it was billed is not known here. Nothing more is submitted. Correct the connection and clear the "
            "task: if the run is there, the task attaches to it for $0."
        )
    return RunUnreachableError(f"Runflow run {run_id} {advice.unreadable.format(error=error)}")
