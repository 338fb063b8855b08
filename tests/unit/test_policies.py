# SPDX-License-Identifier: Apache-2.0
"""Retries that make sense: what a task's retry policy decides for each kind of failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowException

from airflow_provider_runflow.compat import RetryDecision
from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditError,
    InvalidRequestError,
    LandingError,
    RateLimitedError,
    RunBlockedError,
    RunFailedError,
    RunflowError,
    RunTimeoutError,
    ServiceUnavailableError,
    SubmissionUncertainError,
    SubmissionUnknownError,
    TransportError,
)
from airflow_provider_runflow.policies import RunflowRetryPolicy

needs_policies = pytest.mark.skipif(RetryDecision is None, reason="retry policies came with Airflow 3.3")


def decide(error: BaseException) -> Any:
    return RunflowRetryPolicy().evaluate(error, try_number=1, max_tries=3)


@needs_policies
class TestDecisions:
    @pytest.mark.parametrize(
        "error",
        [
            RunBlockedError("moderation"),
            InvalidRequestError("quality"),
            AuthenticationError("key", status=401),
            InsufficientCreditError("balance", status=402),
            SubmissionUnknownError("nothing can tell"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_no_retry_can_mend_fails_at_once_and_says_why(self, error: RunflowError) -> None:
        decision = decide(error)
        assert decision.action.value == "fail"
        assert decision.reason == f"{type(error).__name__}: a retry cannot help"

    def test_a_429_waits_as_long_as_the_server_asks(self) -> None:
        decision = decide(RateLimitedError("slow down", status=429, retry_after=37.0))
        assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=37))
        assert decision.reason == "Runflow asks to wait 37 s"

    @pytest.mark.parametrize(
        "error",
        [
            RateLimitedError("slow down", status=429),
            ServiceUnavailableError("down", status=503),
            TransportError("no connection"),
            RunFailedError("provider"),
            RunTimeoutError("still running"),
            LandingError("bucket"),
            SubmissionUncertainError("no answer"),
            KeyError("somebody else's"),
        ],
        ids=lambda error: f"{type(error).__name__}",
    )
    def test_everything_else_keeps_the_tasks_own_retries(self, error: Exception) -> None:
        assert decide(error) == RetryDecision.default()

    def test_the_cause_counts_behind_another_exception(self) -> None:
        wrapped = AirflowException("wrapped")
        wrapped.__cause__ = RunBlockedError("moderation")
        assert decide(wrapped).action.value == "fail"


@pytest.mark.skipif(RetryDecision is not None, reason="here there are retry policies")
def test_an_older_airflow_is_told_in_one_sentence_that_none_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"needs Airflow 3\.3\. Leave retry_policy out"):
        RunflowRetryPolicy()
