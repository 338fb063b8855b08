# SPDX-License-Identifier: Apache-2.0
"""When a failed task is worth a retry, and how soon (Airflow 3.3 and newer)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_runflow.compat import RetryDecision, RetryPolicy
from airflow_provider_runflow.exceptions import ApiError, ConfigurationError, RunflowError


class RunflowRetryPolicy(RetryPolicy):
    """
    Decide by what went wrong, as each exception class of this package says (``retry``).

    What no retry can mend fails at once: blocked, invalid, unauthorised, out of credit. A 429 waits as long as the
    server asks. Everything else keeps the task's own ``retries`` and ``retry_delay``; a retry never pays twice.

    Tasks of this package fail at once without it, too. With a policy they raise the original exception, so it can be
    chained with others::

        GptImage2Operator(..., retries=3, retry_policy=RunflowRetryPolicy())

    :raises ConfigurationError: on Airflow before 3.3, which has no retry policies.
    """

    def __init__(self) -> None:
        if RetryDecision is None:
            raise ConfigurationError(
                "RunflowRetryPolicy needs Airflow 3.3. Leave retry_policy out: without it, too, a task fails at once "
                "where no retry can help."
            )

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> Any:
        """
        Decide on one failure.

        :param exception: what the task raised; the cause behind it counts if that is this package's.
        :return: a :class:`RetryDecision`; the default one for what is not of this package.
        """
        error: BaseException | None = exception
        while error is not None and not isinstance(error, RunflowError):
            error = error.__cause__
        if error is None:
            return RetryDecision.default()
        if error.retry == "never":
            return RetryDecision.fail(reason=f"{type(error).__name__}: a retry cannot help")
        asked = error.retry_after if isinstance(error, ApiError) and error.retry == "after" else None
        if asked is None:
            return RetryDecision.default()
        return RetryDecision.retry(timedelta(seconds=asked), reason=f"Runflow asks to wait {asked:.0f} s")
