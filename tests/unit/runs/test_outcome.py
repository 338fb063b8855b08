# SPDX-License-Identifier: Apache-2.0
"""What a failure means: whether trying again can help, and what it cost."""

from __future__ import annotations

import pytest

from airflow_provider_runflow.exceptions import RunBilledError, RunBlockedError, RunFailedError, RunInvalidError
from airflow_provider_runflow.runs.outcome import cancellation_of, failure_of, not_delivered
from tests.unit.runs.engine_world import CENTS, run


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("CONTENT_POLICY_VIOLATION", "no", RunBlockedError),
        ("moderation_blocked", None, RunBlockedError),
        (None, "Your request was rejected by the safety system", RunBlockedError),
        ("INVALID_INPUT", "bad size", RunInvalidError),
        ("PROVIDER_TIMEOUT", "the provider took too long", RunFailedError),
        ("INTERNAL", None, RunFailedError),
        (None, None, RunFailedError),
    ],
)
def test_only_what_lies_in_the_request_is_never_retried(
    code: str | None, message: str | None, kind: type[Exception]
) -> None:
    failure = failure_of(run("failed", failure_code=code, failure_message=message))
    assert type(failure) is kind
    assert failure.retry == ("default" if kind is RunFailedError else "never")


def test_a_failure_says_what_happened_where_and_that_it_was_not_billed() -> None:
    failed = run("failed", failure_code="X1", failure_message="out of memory", failure_stage_code="dispatch")
    assert str(failure_of(failed)) == (
        "Runflow run run-1 failed: X1: out of memory (stage dispatch). Failed runs are not billed. "
        "A retry of the task submits it anew."
    )


def test_a_failure_that_was_billed_after_all_is_not_retried_by_itself() -> None:
    failure = failure_of(run("failed", cost=CENTS))
    assert isinstance(failure, RunBilledError)
    assert "Yet Runflow says it billed $0.009" in str(failure)


def test_a_presigned_url_in_runflows_own_words_is_shown_without_its_query() -> None:
    failed = run("failed", failure_message="cannot fetch https://bucket.example/in.png?X-Amz-Signature=abc123 in time")
    assert "https://bucket.example/in.png in time" in str(failure_of(failed))
    assert "abc123" not in str(failure_of(failed))


def test_a_cancellation_says_that_nothing_is_refunded_and_how_to_buy_anew() -> None:
    text = str(cancellation_of(run("cancelled")))
    assert "does not refund (the cost is not known yet)" in text
    assert "another `variation`" in text


def test_runs_bought_elsewhere_are_named_with_their_fate_and_who_must_act() -> None:
    error = not_delivered([run("failed", failure_code="X1"), run("cancelled", cost=CENTS), run("succeeded")])
    assert str(error) == (
        "Runflow run run-1 failed: X1. Failed runs are not billed. Runflow run run-1 was cancelled. Cancelling does "
        "not refund (Runflow billed $0.009). 1 of 3 delivered. This task buys nothing, and a retry would find the "
        "same, so it is not tried. Let the task that submitted it buy anew, then clear this one."
    )
    assert error.retry == "never"
