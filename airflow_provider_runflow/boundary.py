# SPDX-License-Identifier: Apache-2.0
"""The one place that turns the engine's errors into what Airflow acts on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_runflow.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    ApiError,
    BeforeMoneyError,
    LandingError,
    RunflowError,
    RunTimeoutError,
    RunUnreachableError,
)
from airflow_provider_runflow.outcomes import Outcome

END_XCOM_KEY = "runflow_end"
NOTHING_SUBMITTED = "Nothing was submitted"
_WHAT_NEXT = re.compile(r"\bretr(y|ie[sd])\b|\bclear (the task|this|it)\b", re.IGNORECASE)
_NEXT = {
    "never": "It is not retried: correct the DAG or the connection, then clear the task.",
    "after": "A retry of the task helps after a pause.",
    "default": "Airflow retries it if tries are left, at no extra cost.",
}
# What is paid needs no correction of the DAG, which would buy another picture.
_NOT_AGAIN = "It is not retried: clear the task once that is settled."


@contextmanager
def airflow_errors(
    operator: Any, bought: Callable[[], str | None] = lambda: None, context: Any = None
) -> Iterator[None]:
    """
    Let errors that no retry can mend fail the task at once.

    A task with a ``retry_policy`` (Airflow 3.3) gets the engine's own exception instead: the policy decides.

    :param operator: the operator that runs.
    :param bought: tells the id of the run that this task has already, if it has one: from then on no error may say that
        nothing was submitted.
    :param context: of the task; with it, the Airflow UI's *Pictures* say why it ended.
    """
    try:
        yield
    except RunflowError as raised:
        run_id = bought()
        error = _after_money(raised, run_id) if run_id and isinstance(raised, BeforeMoneyError) else raised
        text = on_call_text(error)
        _show_end(operator, context, error, text)
        if error.outcome is Outcome.BLOCKED and getattr(operator, "on_blocked", "fail") == "skip":
            raise AirflowSkipException(f"Skipped, as on_blocked='skip' says: {text}") from raised
        if error.retry == "never" and not getattr(operator, "has_retry_policy", False):
            raise AirflowFailException(text) from raised
        # E-mails, callbacks and chat show the exception, not the log.
        error.told = text
        if error is not raised:
            raise error from raised
        raise


@contextmanager
def sensor_errors(sensor: Any) -> Iterator[None]:
    """
    Let a sensor end as Airflow's sensors do, alike in every mode.

    A time-out is Airflow's own, which no retry follows. What no retry can mend skips the task with ``soft_fail``, and
    so does a time-out; ``never_fail`` skips for anything else of ours as well. What a retry may mend is raised.

    :param sensor: the sensor that runs.
    """
    try:
        with airflow_errors(sensor):
            yield
    except (RunflowError, AirflowFailException, AirflowTaskTimeout) as error:
        text = on_call_text(error) if isinstance(error, RunflowError) else str(error)
        passing = isinstance(error, RunflowError) and error.retry != "never" and not isinstance(error, RunTimeoutError)
        if sensor.never_fail or (sensor.soft_fail and not passing):
            raise AirflowSkipException(f"Skipped instead of failed: {text}") from error
        if isinstance(error, RunTimeoutError):
            raise AirflowSensorTimeout(text) from error
        raise


def _show_end(operator: Any, context: Any, error: RunflowError, text: str) -> None:
    if context is None or not operator.do_xcom_push:
        return
    try:
        told = {"outcome": error.outcome.value, "reason": text[:1000], "code": error.code}
        context["ti"].xcom_push(key=END_XCOM_KEY, value=told)
    except Exception as trouble:  # whatever keeps it from being shown, the task's own error is what counts
        operator.log.warning("What happened cannot be shown in the UI (%s).", trouble)


def _after_money(error: BeforeMoneyError, run_id: str) -> RunflowError:
    """Say of trouble that would cost nothing before a submission what it means after one."""
    text = str(error).replace(f"{NOTHING_SUBMITTED}.", "").strip().rstrip(".")
    paid = f"{text}. Runflow run {run_id} was submitted before and is billed if it succeeds."
    after: RunflowError
    if error.retry == "never":
        after = RunUnreachableError(f"{paid} Correct this and clear the task: it attaches to the run for $0.")
    else:
        after = LandingError(f"{paid} A retry of the task attaches to it for $0.")
    after.code = error.code
    return after


def on_call_text(error: RunflowError) -> str:
    """Say what happened, what happened to the money, and what a retry will do."""
    text = str(error)
    if isinstance(error, BeforeMoneyError) and NOTHING_SUBMITTED.lower() not in text.lower():
        text = f"{text.rstrip('.')}. {NOTHING_SUBMITTED} by this attempt, so it costs nothing."
    if isinstance(error, ApiError) and error.help not in text:
        text = f"{text} {error.help}"
    if not _WHAT_NEXT.search(text):
        paid = isinstance(error, AfterMoneyError) and error.retry == "never"
        text = f"{text} {_NOT_AGAIN if paid else _NEXT[error.retry]}"
    return text
