# SPDX-License-Identifier: Apache-2.0
"""When a request is sent again, and after how long. No client, no time: the generator is asked step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_runflow.client.retry import (
    LONGEST_RETRY_AFTER,
    MAX_TRIES,
    Effect,
    Failure,
    Send,
    Sleep,
    exchange,
)
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConflictError,
    InsufficientCreditError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    ServiceUnavailableError,
    TransportError,
)

PASSING = [RateLimitedError, ServiceUnavailableError, TransportError, MalformedResponseError]
LASTING = [
    AuthenticationError,
    ConflictError,
    InsufficientCreditError,
    NotFoundError,
    PermissionDeniedError,
    RequestRejectedError,
]


@dataclass
class Course:
    """How an exchange went: what it sent, what it slept, how it ended."""

    sent: int = 0
    slept: list[float] = field(default_factory=list)
    value: Any = None
    error: ApiError | None = None


def go(*answers: Any, paid: bool = False, uniform: Callable[[float, float], float] = lambda low, high: high) -> Course:
    """Runs an exchange over answers, of which the last is given for ever."""
    course, left, answer = Course(), list(answers), None
    steps = exchange(paid=paid, uniform=uniform)
    try:
        while True:
            step = steps.send(answer)
            if isinstance(step, Send):
                course.sent += 1
                answer = left.pop(0) if len(left) > 1 else left[0]
            else:
                assert isinstance(step, Sleep)
                course.slept.append(step.seconds)
                answer = None
    except StopIteration as done:
        course.value = done.value
    except ApiError as error:
        course.error = error
    return course


def failure(kind: type[ApiError], effect: Effect = Effect.NONE, retry_after: float | None = None) -> Failure:
    return Failure(kind("no", retry_after=retry_after), effect)


def test_an_answer_ends_the_exchange_at_once() -> None:
    assert go("the answer") == Course(sent=1, value="the answer")


@pytest.mark.parametrize("nothing", [None, 0, "", [], {}])
def test_an_empty_answer_is_an_answer_too(nothing: Any) -> None:
    assert go(nothing).value == nothing
    assert go(nothing).sent == 1


class TestReading:
    @pytest.mark.parametrize("kind", PASSING)
    @pytest.mark.parametrize("effect", list(Effect))
    def test_what_may_pass_is_tried_five_times_and_then_raised(self, kind: type[ApiError], effect: Effect) -> None:
        course = go(failure(kind, effect))
        assert (course.sent, len(course.slept)) == (MAX_TRIES, MAX_TRIES - 1) == (5, 4)
        assert isinstance(course.error, kind)

    @pytest.mark.parametrize("kind", PASSING)
    def test_the_first_answer_after_trouble_is_taken(self, kind: type[ApiError]) -> None:
        course = go(failure(kind), failure(kind), "the answer")
        assert (course.sent, course.value, course.error) == (3, "the answer", None)

    @pytest.mark.parametrize("kind", LASTING)
    def test_any_other_4xx_is_never_tried_again(self, kind: type[ApiError]) -> None:
        course = go(failure(kind), "never reached")
        assert (course.sent, course.slept) == (1, [])
        assert isinstance(course.error, kind)

    def test_the_last_error_is_the_one_that_is_raised(self) -> None:
        course = go(failure(TransportError), failure(AuthenticationError))
        assert isinstance(course.error, AuthenticationError)


class TestSubmitting:
    @pytest.mark.parametrize("kind", PASSING)
    def test_what_may_have_taken_effect_is_not_sent_again(self, kind: type[ApiError]) -> None:
        course = go(failure(kind, Effect.UNKNOWN), "a second bill", paid=True)
        assert (course.sent, course.slept) == (1, [])
        assert isinstance(course.error, kind)

    @pytest.mark.parametrize("kind", [RateLimitedError, TransportError])
    def test_what_certainly_took_no_effect_is_sent_again(self, kind: type[ApiError]) -> None:
        course = go(failure(kind, Effect.NONE), "the run", paid=True)
        assert (course.sent, course.value) == (2, "the run")

    def test_a_second_try_of_unknown_outcome_is_the_last_one(self) -> None:
        course = go(failure(RateLimitedError), failure(TransportError, Effect.UNKNOWN), "a second bill", paid=True)
        assert course.sent == 2
        assert isinstance(course.error, TransportError)


class TestWaiting:
    def test_the_longest_waits_double_from_one_second(self) -> None:
        assert go(failure(TransportError)).slept == [1, 2, 4, 8]

    def test_jitter_is_full_so_that_clients_that_failed_together_do_not_return_together(self) -> None:
        asked: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            asked.append((low, high))
            return low

        assert go(failure(TransportError), uniform=uniform).slept == [0, 0, 0, 0]
        assert asked == [(0.0, 1), (0.0, 2), (0.0, 4), (0.0, 8)]

    def test_it_never_comes_back_earlier_than_the_server_asked(self) -> None:
        assert go(failure(RateLimitedError, retry_after=5)).slept == [5, 5, 5, 8]

    def test_it_may_wait_longer_than_the_server_asked(self) -> None:
        assert go(failure(RateLimitedError, retry_after=0.1)).slept == [1, 2, 4, 8]

    def test_a_worker_is_not_blocked_for_longer_than_a_minute_the_caller_hears_how_long(self) -> None:
        course = go(failure(RateLimitedError, retry_after=LONGEST_RETRY_AFTER + 1), "never reached")
        assert (course.sent, course.slept) == (1, [])
        assert course.error is not None
        assert course.error.retry_after == 61

    def test_a_minute_itself_is_waited(self) -> None:
        assert go(failure(RateLimitedError, retry_after=60), "the answer").slept == [60]
