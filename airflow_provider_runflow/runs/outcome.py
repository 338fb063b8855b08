# SPDX-License-Identifier: Apache-2.0
"""What a run's end means, in words that name the money."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from airflow_provider_runflow.client.redact import public_code, strip_queries
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    RunBilledError,
    RunBlockedError,
    RunCancelledError,
    RunFailedError,
    RunInvalidError,
    RunNotDeliveredError,
)

# The reference knows no list of failure codes, so these are read from code and message as words.
_BLOCKED = re.compile(r"content.?polic|moderat|safety|nsfw|blocked|prohibited|flagged|disallowed", re.IGNORECASE)
_INVALID = re.compile(r"invalid|validation|unsupported|malformed|bad.?request|unprocessable", re.IGNORECASE)
# So many runs are named in one error; a sensor may wait for 500.
MAX_TOLD = 10


def will_fail_again(run: Run) -> bool:
    """Whether the reason of a failure lies in the request itself, so that sending it again cannot help."""
    return is_blocked(run) or bool(_INVALID.search(run.failure_code or ""))


def is_blocked(run: Run) -> bool:
    """Whether content moderation stopped a run."""
    return any(_BLOCKED.search(said or "") for said in (run.failure_code, run.failure_message))


def was_billed(run: Run) -> bool:
    """Whether Runflow says that it billed the run, whatever became of it."""
    return run.cost is not None and run.cost > 0


def billed(run: Run) -> Decimal | None:
    """What a run was billed: nothing for one that failed and tells no cost; ``None`` while that is not known."""
    return Decimal(0) if run.cost is None and run.status_code == "failed" else run.cost


def describe_failure(run: Run) -> str:
    """Runflow's own words on why a run failed."""
    said = ": ".join(strip_queries(part) for part in (run.failure_code, run.failure_message) if part)
    said = said or "no reason given"
    return f"{said.rstrip('.')} (stage {run.failure_stage_code})" if run.failure_stage_code else said


def money(run: Run) -> str:
    """Say what a run cost, as far as Runflow has told."""
    return "the cost is not known yet" if run.cost is None else f"Runflow billed ${run.cost}"


def not_kept(run: Run) -> str:
    """Warn that a delivered run was landed nowhere (its URLs' life: reference, 6.4), and say how to rescue it."""
    return (
        f"NOT LANDED: Runflow run {run.id} made {len(run.output_urls)} picture(s) ({money(run)}), and their only copy "
        "expires at Runflow after 24 hours to 3 days (the sources differ). To rescue them for $0, run "
        f"RunflowToS3Operator or RunflowToObjectStorageOperator with runflow_run_id={run.id!r}. Set `destination`, so "
        "that the next ones are kept."
    )


def fate(run: Run) -> str:
    """Say how a run ended without pictures, and what happened to the money; no full stop at its end."""
    if run.status_code == "cancelled":
        return f"Runflow run {run.id} was cancelled. Cancelling does not refund ({money(run)})"
    what = f"Runflow run {run.id} failed: {describe_failure(run).rstrip('.')}."
    return f"{what} Yet Runflow says it billed ${run.cost}" if was_billed(run) else f"{what} Failed runs are not billed"


def failure_of(run: Run) -> RunFailedError:
    """
    Make the error for a run that failed.

    :return: :class:`RunBilledError` when it was billed all the same, :class:`RunBlockedError` or
        :class:`RunInvalidError` when the same request would fail again, else :class:`RunFailedError`. Its ``code`` is
        the run's own, whether or not anything here knows it.
    """
    error = _failure_of(run)
    error.code = public_code(run.failure_code)
    return error


def _failure_of(run: Run) -> RunFailedError:
    if was_billed(run):
        return RunBilledError(
            f"{fate(run)}, so it is not submitted again by itself. Ask Runflow about it; another `variation` buys a "
            "new picture."
        )
    what = f"{fate(run)}."
    if will_fail_again(run):
        kind = RunBlockedError if is_blocked(run) else RunInvalidError
        return kind(
            f"{what} The same request would fail again, so it is not retried. Change the prompt or the parameters."
        )
    return RunFailedError(f"{what} A retry of the task submits it anew.")


def cancellation_of(run: Run) -> RunCancelledError:
    """Make the error for a run that someone cancelled."""
    return RunCancelledError(
        f"{fate(run)}, so it is not submitted again by itself. To buy another picture, give the task another "
        "`variation` and clear it."
    )


def not_delivered(runs: Sequence[Run]) -> RunNotDeliveredError:
    """
    Make the error for runs that another task or person bought, when some of them failed or were cancelled.

    :param runs: all that were waited for, each terminal; at least one is not delivered.
    """
    lost = [run for run in runs if not run.is_delivered]
    told = ". ".join(fate(run) for run in lost[:MAX_TOLD])
    rest = f". And {len(lost) - MAX_TOLD} more" if len(lost) > MAX_TOLD else ""
    others = f" {len(runs) - len(lost)} of {len(runs)} delivered." if len(runs) > len(lost) else ""
    return RunNotDeliveredError(
        f"{told}{rest}.{others} This task buys nothing, and a retry would find the same, so it is not tried. Let the "
        "task that submitted it buy anew, then clear this one."
    )
