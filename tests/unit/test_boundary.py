# SPDX-License-Identifier: Apache-2.0
"""What the task's log says, and what Airflow does with the task, for each of the engine's errors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.boundary import airflow_errors, on_call_text, sensor_errors
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    ApiError,
    AuthenticationError,
    BeforeMoneyError,
    ConfigurationError,
    JournalError,
    LandingError,
    RateLimitedError,
    RunBlockedError,
    RunflowError,
    RunTimeoutError,
    ServiceUnavailableError,
    SubmissionUncertainError,
)
from airflow_provider_runflow.runs.outcome import cancellation_of, failure_of


def every(base: type[RunflowError]) -> list[type[RunflowError]]:
    found = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, base)]
    assert found
    return found


@dataclass
class Operator:
    """As much of one as the boundary looks at."""

    has_retry_policy: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> Any:
        return self

    def error(self, msg: str, *args: Any) -> None:
        self.lines.append(msg % args)


def raised_by(operator: Any, error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, airflow_errors(operator):  # noqa: PT011 - any
        raise error
    return caught.value


class TestWhatAirflowSees:
    @pytest.mark.parametrize("kind", [k for k in every(RunflowError) if k.retry == "never"])
    def test_what_no_retry_can_mend_fails_the_task_at_once(self, kind: type[RunflowError]) -> None:
        error = kind("what happened")
        seen = raised_by(Operator(), error)
        assert type(seen) is AirflowFailException
        assert seen.__cause__ is error
        assert str(seen) == on_call_text(error)

    @pytest.mark.parametrize("kind", [k for k in every(RunflowError) if k.retry != "never"])
    def test_what_a_retry_may_mend_is_left_to_the_tasks_retries(self, kind: type[RunflowError]) -> None:
        error = kind("what happened")
        assert raised_by(Operator(), error) is error

    @pytest.mark.parametrize("kind", every(RunflowError))
    def test_a_task_with_a_retry_policy_gets_the_original_so_that_the_policy_decides(
        self, kind: type[RunflowError]
    ) -> None:
        error = kind("what happened")
        assert raised_by(Operator(has_retry_policy=True), error) is error

    def test_an_operator_of_an_older_airflow_has_no_retry_policy(self) -> None:
        assert type(raised_by(object(), ConfigurationError("no key"))) is AirflowFailException

    @pytest.mark.parametrize("error", [KeyError("x"), AirflowFailException("x"), KeyboardInterrupt(), SystemExit(1)])
    def test_what_is_not_ours_passes_as_it_is(self, error: BaseException) -> None:
        operator = Operator()
        assert raised_by(operator, error) is error
        assert operator.lines == []

    def test_without_an_error_nothing_happens(self) -> None:
        operator = Operator()
        with airflow_errors(operator):
            pass
        assert operator.lines == []

    def test_the_exception_itself_says_it_all_since_e_mails_and_callbacks_show_no_log(self) -> None:
        error = ServiceUnavailableError("provider downtime", status=503, retry_after=7)
        assert raised_by(Operator(), error) is error
        assert str(error) == (
            "HTTP 503: provider downtime. Nothing was submitted by this attempt, so it costs nothing. A retry of "
            "the task may help."
        )
        assert (error.status, error.retry_after) == (503, 7)

    def test_what_is_told_twice_is_told_once(self) -> None:
        error = JournalError("100 %s full")
        raised_by(Operator(), error)
        before = str(error)
        raised_by(Operator(), error)
        assert str(error) == before


@dataclass
class Sensor(Operator):
    """As much of one as the boundary looks at."""

    soft_fail: bool = False
    never_fail: bool = False


def ended_by(sensor: Sensor, error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, sensor_errors(sensor):  # noqa: PT011 - any
        raise error
    return caught.value


class TestWhatASensorEndsWith:
    @pytest.mark.parametrize("kind", [k for k in every(RunflowError) if k.retry == "never"])
    def test_what_no_retry_can_mend_fails_it_at_once_and_skips_it_when_asked_to(self, kind: type[RunflowError]) -> None:
        assert type(ended_by(Sensor(), kind("why"))) is AirflowFailException
        skipped = ended_by(Sensor(soft_fail=True), kind("why"))
        assert type(skipped) is AirflowSkipException
        assert str(skipped).startswith("Skipped instead of failed: why")

    @pytest.mark.parametrize(
        "kind", [k for k in every(RunflowError) if k.retry != "never" and k is not RunTimeoutError]
    )
    def test_what_a_retry_may_mend_is_left_to_the_retries_even_so(self, kind: type[RunflowError]) -> None:
        error = kind("why")
        assert ended_by(Sensor(), error) is error
        assert ended_by(Sensor(soft_fail=True), error) is error
        assert type(ended_by(Sensor(never_fail=True), error)) is AirflowSkipException

    def test_a_time_out_is_airflows_own_which_no_retry_follows(self) -> None:
        error = RunTimeoutError("still running")
        assert type(ended_by(Sensor(), error)) is AirflowSensorTimeout
        assert type(ended_by(Sensor(has_retry_policy=True), error)) is AirflowSensorTimeout
        assert type(ended_by(Sensor(soft_fail=True), error)) is AirflowSkipException

    def test_its_execution_timeout_skips_it_too_as_with_airflows_own_sensors(self) -> None:
        error = AirflowTaskTimeout("Timeout")
        assert ended_by(Sensor(), error) is error
        assert type(ended_by(Sensor(soft_fail=True), error)) is AirflowSkipException

    def test_a_retry_policy_gets_the_original(self) -> None:
        error = RunBlockedError("why")
        assert ended_by(Sensor(has_retry_policy=True), error) is error

    @pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), AirflowSkipException("x")])
    def test_what_is_not_ours_passes_as_it_is(self, error: BaseException) -> None:
        assert ended_by(Sensor(soft_fail=True, never_fail=True), error) is error


class TestWhatIsSaidAboutTheMoney:
    @pytest.mark.parametrize("kind", every(BeforeMoneyError))
    def test_before_money_it_says_once_that_nothing_was_submitted(self, kind: type[RunflowError]) -> None:
        assert on_call_text(kind("It broke.")).lower().count("nothing was submitted") == 1
        assert on_call_text(kind("It broke. Nothing was submitted.")).lower().count("nothing was submitted") == 1

    @pytest.mark.parametrize("kind", every(AfterMoneyError))
    def test_after_money_it_never_does(self, kind: type[RunflowError]) -> None:
        assert "submitted" not in on_call_text(kind("The run was paid."))

    @pytest.mark.parametrize("kind", every(RunflowError))
    def test_each_says_what_a_retry_does(self, kind: type[RunflowError]) -> None:
        said = on_call_text(kind("It broke.")).lower()
        assert ("clear the task" in said) if kind.retry == "never" else ("retr" in said)

    def test_after_money_nobody_is_told_to_change_what_would_buy_another_picture(self) -> None:
        billed = failure_of(Run(id="run-1", status_code="failed", cost="0.133"))
        assert on_call_text(billed).endswith(
            "buys a new picture. It is not retried: clear the task once that is settled."
        )

    def test_what_says_it_all_gets_no_second_sentence(self) -> None:
        error = cancellation_of(Run(id="run-1", status_code="cancelled"))
        assert on_call_text(error) == str(error)

    @pytest.mark.parametrize("kind", every(ApiError))
    def test_an_answer_of_the_api_comes_with_what_to_do(self, kind: type[ApiError]) -> None:
        assert on_call_text(kind("no")).endswith(kind.help)

    def test_sentences_are_joined_by_one_full_stop(self) -> None:
        said = "Nothing was submitted by this attempt, so it costs nothing."
        assert on_call_text(ConfigurationError("No key")).startswith(f"No key. {said} It is not retried: correct")
        assert on_call_text(ConfigurationError("No key.")).startswith(f"No key. {said} It is not retried: correct")

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (
                AuthenticationError("Invalid API key.", status=401, code="UNAUTHORIZED", request="GET /v1/runs"),
                "HTTP 401 UNAUTHORIZED: Invalid API key (GET /v1/runs). Nothing was submitted by this attempt, so it "
                "costs nothing. Correct the API key in the connection's password field, then clear the task.",
            ),
            (
                RateLimitedError("Rate limit exceeded", status=429, retry_after=90),
                "HTTP 429: Rate limit exceeded. Nothing was submitted by this attempt, so it costs nothing. A retry of "
                "the task helps after a pause.",
            ),
            (
                SubmissionUncertainError("The request was sent. A run may exist and bill."),
                "The request was sent. A run may exist and bill. Airflow retries it if tries are left, at no extra "
                "cost.",
            ),
            (
                RunBlockedError("Failed runs are not billed. Clear the task."),
                "Failed runs are not billed. Clear the task.",
            ),
            (LandingError("It is paid, and a retry is free."), "It is paid, and a retry is free."),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_examples(self, error: RunflowError, text: str) -> None:
        assert on_call_text(error) == text
