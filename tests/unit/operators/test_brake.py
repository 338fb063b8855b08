# SPDX-License-Identifier: Apache-2.0
"""operators/brake.py: what stops a batch from submitting, and what does not."""

from __future__ import annotations

import pytest

from airflow_provider_runflow import exceptions as errors
from airflow_provider_runflow.exceptions import BeforeMoneyError, RunflowError
from airflow_provider_runflow.operators.brake import DOWN_AFTER, Brake
from tests.unit.landing.fakes import Lines


class ErrorLines(Lines):
    """A log that remembers its errors, too."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def error(self, msg: str, /, *args: object) -> None:
        self.errors.append(msg % args)


def brake(*, one_model: bool = True) -> Brake:
    return Brake(one_model, ErrorLines())


@pytest.mark.parametrize(
    "error",
    [
        errors.AuthenticationError("x"),
        errors.ConfigurationError("x"),
        errors.DestinationError("x"),
        errors.InsufficientCreditError("x"),
        errors.JournalError("x"),
        errors.NotFoundError("x"),
        errors.PermissionDeniedError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_all_would_meet_stops_at_once_and_is_said_once(error: BeforeMoneyError) -> None:
    made = brake()
    for key in "abc":
        made.on_error(key, error)
    assert made.error is error
    with pytest.raises(type(error)):
        made.check()
    assert isinstance(made.log, ErrorLines)
    assert len(made.log.errors) == 1
    assert "what item 'a' met would meet all: x" in made.log.errors[0]


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequestError("x"),
        errors.NameTakenError("x"),
        errors.ReferenceUnreadableError("x"),
        errors.RequestRejectedError("x"),
        errors.RateLimitedError("x"),
        errors.RunBlockedError("x"),
        errors.SubmissionUnknownError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_one_items_own_stops_nobody(error: RunflowError) -> None:
    made = brake()
    for _ in range(3 * DOWN_AFTER):
        made.on_error("a", error)
    made.check()
    assert not made.is_on


def test_one_model_of_many_that_is_not_there_stops_nobody() -> None:
    made = brake(one_model=False)
    made.on_error("a", errors.NotFoundError("no such model"))
    assert not made.is_on


def test_so_many_without_an_answer_in_a_row_count_as_down_and_an_answer_begins_anew() -> None:
    made = brake()
    lost = errors.SubmissionUncertainError("a run may exist and bill")
    for _ in range(DOWN_AFTER - 1):
        made.on_error("a", lost)
    made.on_answer()
    for _ in range(DOWN_AFTER - 1):
        made.on_error("a", lost)
    assert not made.is_on
    made.on_error("b", lost)
    assert made.is_on
    # Those that were never sent are not told of a run that may exist.
    assert "may exist" not in str(made.error)
    assert isinstance(made.error, BeforeMoneyError)


def test_the_first_reason_counts() -> None:
    made = brake()
    made.stop(BeforeMoneyError("killed"))
    made.on_error("a", errors.AuthenticationError("x"))
    assert str(made.error) == "killed"
