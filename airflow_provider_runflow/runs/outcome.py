# SPDX-License-Identifier: Apache-2.0
"""What a run's end means, in words that name the money."""

from __future__ import annotations

import re

from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import RunBilledError, RunBlockedError, RunCancelledError, RunFailedError

# The reference knows no list of failure codes, so these are read from code and message as words.
_BLOCKED = re.compile(r"content.?polic|moderat|safety|nsfw|blocked|prohibited|flagged|disallowed", re.IGNORECASE)
_INVALID = re.compile(r"invalid|validation|unsupported|malformed|bad.?request|unprocessable", re.IGNORECASE)


def will_fail_again(run: Run) -> bool:
    """Whether the reason of a failure lies in the request itself, so that sending it again cannot help."""
    code, message = run.failure_code or "", run.failure_message or ""
    return bool(_BLOCKED.search(code) or _BLOCKED.search(message) or _INVALID.search(code))


def was_billed(run: Run) -> bool:
    """Whether Runflow says that it billed the run, whatever became of it."""
    return run.cost is not None and run.cost > 0


def describe_failure(run: Run) -> str:
    """Runflow's own words on why a run failed."""
    said = ": ".join(strip_queries(part) for part in (run.failure_code, run.failure_message) if part)
    said = said or "no reason given"
    return f"{said} (stage {run.failure_stage_code})" if run.failure_stage_code else said


def money(run: Run) -> str:
    """Say what a run cost, as far as Runflow has told."""
    return "the cost is not known yet" if run.cost is None else f"Runflow billed ${run.cost}"


def failure_of(run: Run) -> RunFailedError:
    """
    Make the error for a run that failed.

    :return: :class:`RunBilledError` when it was billed all the same, :class:`RunBlockedError` when the same request
        would fail again, else :class:`RunFailedError`.
    """
    what = f"Runflow run {run.id} failed: {describe_failure(run)}."
    if was_billed(run):
        return RunBilledError(
            f"{what} Yet Runflow says it billed ${run.cost}, so it is not submitted again by itself. Ask Runflow about "
            "it; another `variation` buys a new picture."
        )
    what += " Failed runs are not billed."
    if will_fail_again(run):
        return RunBlockedError(
            f"{what} The same request would fail again, so it is not retried. Change the prompt or the parameters."
        )
    return RunFailedError(f"{what} A retry of the task submits it anew.")


def cancellation_of(run: Run) -> RunCancelledError:
    """Make the error for a run that someone cancelled."""
    return RunCancelledError(
        f"Runflow run {run.id} was cancelled. Cancelling does not refund ({money(run)}), so it is not submitted again "
        "by itself. To buy another picture, give the task another `variation` and clear it."
    )
