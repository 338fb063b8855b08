# SPDX-License-Identifier: Apache-2.0
"""The one place that turns the engine's errors into what Airflow acts on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_runflow.compat import AirflowFailException
from airflow_provider_runflow.exceptions import ApiError, BeforeMoneyError, RunflowError

NOTHING_SUBMITTED = "Nothing was submitted"


@contextmanager
def airflow_errors(operator: Any) -> Iterator[None]:
    """
    Let errors that no retry can mend fail the task at once.

    A task with a ``retry_policy`` (Airflow 3.3) gets the original exception instead: the policy decides.

    :param operator: the operator that runs.
    """
    try:
        yield
    except RunflowError as error:
        text = on_call_text(error)
        if error.retry == "never" and not getattr(operator, "has_retry_policy", False):
            raise AirflowFailException(text) from error
        if text != str(error):
            operator.log.error("%s", text)
        raise


def on_call_text(error: RunflowError) -> str:
    """Say what happened, what happened to the money, and what a retry will do."""
    text = str(error)
    if isinstance(error, BeforeMoneyError) and NOTHING_SUBMITTED.lower() not in text.lower():
        text = f"{text.rstrip('.')}. {NOTHING_SUBMITTED} by this attempt, so it costs nothing."
    if isinstance(error, ApiError):
        text = f"{text} {error.help}"
    return text
