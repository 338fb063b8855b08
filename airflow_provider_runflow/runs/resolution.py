# SPDX-License-Identifier: Apache-2.0
"""
The resolution table: from what is on record and what Runflow says to what to do. Pure; one table for every mode.

===========================  ============================  =============================================
journal                      at Runflow                    do
===========================  ============================  =============================================
run id                       queued ... running            wait
run id                       succeeded, partial_succeeded  land
run id                       failed, not billed            next ordinal, submit, if that can help
run id                       cancelled                     stop
run id                       404                           unknown
intent, or nothing           look-up finds it              attach: as above
intent, or a retry without   look-up empty                 settle, look again, submit under the same key
a journal
nothing, void or rejected    look-up empty                 submit; after a rejection under the next ordinal
intent, young                look-up refused               submit under the same key
intent, old                  look-up refused               unknown
nothing, void or rejected    look-up refused               submit, if the journal would know
nothing, without a journal   look-up refused               submit on the first try; later under the same key, if
                                                           the DAG run is young and no template makes the
                                                           request; else unknown
===========================  ============================  =============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    InsufficientCreditError,
    NotFoundError,
    RequestRejectedError,
)
from airflow_provider_runflow.runs.identity import METADATA_KEY, Scope
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.runs.outcome import cancellation_of, failure_of, was_billed, will_fail_again

# How long the list endpoint may lag behind a submission. No source gives a figure.
SETTLE = timedelta(seconds=10)
# How long the idempotency key alone is trusted. Its lifetime is documented nowhere, so this is short.
KEY_TRUST = timedelta(hours=1)


@dataclass(frozen=True)
class Wait:
    """The run goes on."""

    run: Run
    ordinal: int


@dataclass(frozen=True)
class Land:
    """The run delivered."""

    run: Run
    ordinal: int


@dataclass(frozen=True)
class Submit:
    """Nothing was bought that could be used: buy it, under this ordinal's key."""

    ordinal: int


@dataclass(frozen=True)
class LookAgain:
    """The look-up may lag: only a list that is asked for at this time or later tells."""

    until: datetime


@dataclass(frozen=True)
class Stop:
    """Buying again would be wrong."""

    error: AfterMoneyError


@dataclass(frozen=True)
class Unknown:
    """Whether it was bought cannot be known: the user's ``on_unknown`` decides."""

    why: str
    ordinal: int


Move = Wait | Land | Submit | LookAgain | Stop | Unknown


@dataclass(frozen=True)
class Candidate:
    """A run that the look-up found, with what its metadata says of whose it is."""

    run: Run
    ordinal: int
    item_key: str
    fingerprint: str
    variation: str | None
    go: int | None
    clears: int | None = None


def on_run(run: Run, ordinal: int) -> Wait | Land | Submit | Stop:
    """Decide by the state of a known run; one that failed and was billed all the same is not bought again unasked."""
    if run.is_delivered:
        return Land(run, ordinal)
    if run.status_code == "cancelled":
        return Stop(cancellation_of(run))
    if run.status_code == "failed":
        return Stop(failure_of(run)) if will_fail_again(run) or was_billed(run) else Submit(ordinal + 1)
    return Wait(run, ordinal)


def on_found(
    candidates: Sequence[Candidate], record: Record | None, now: datetime, unsure_since: datetime | None = None
) -> Move:
    """
    Decide by an answered look-up.

    :param candidates: the runs of this request, oldest first; may be empty.
    :param record: the journal's record; never one with a run id.
    :param now: when Runflow was asked for them.
    :param unsure_since: for how long an earlier try is known to be over, where no journal tells what it sent.
    """
    # More than one can exist when no fence worked: whatever delivered, or still may, is already paid.
    for usable in (
        lambda r: r.is_delivered,
        lambda r: not r.is_terminal,
        lambda r: r.status_code == "cancelled",
    ):
        for candidate in candidates:
            if usable(candidate.run):
                return on_run(candidate.run, candidate.ordinal)
    ordinal = _next_ordinal(record)
    failed = max(candidates, key=lambda c: c.ordinal, default=None)
    move: Move = Submit(ordinal)
    sent_at = record.at if record and record.state == "intent" else None
    since = max(filter(None, (sent_at, unsure_since)), default=None)
    if failed and failed.ordinal >= ordinal:
        # The intent's own run has failed; but what a try without a journal sent after that may not be listed yet.
        move, since = on_run(failed.run, failed.ordinal), unsure_since
    if isinstance(move, Submit) and since and now < since + SETTLE:
        return LookAgain(since + SETTLE)
    return move


def on_refused(record: Record | None, now: datetime, scope: Scope, *, remembers: bool) -> Submit | Unknown:
    """
    Decide when Runflow does not let this key list runs.

    :param remembers: whether the journal would know of an earlier submission by this task instance.
    """
    ordinal = _next_ordinal(record)
    if record and record.state == "intent":
        if now - (record.since or record.at) < KEY_TRUST:
            return Submit(ordinal)
        return Unknown("it was about to be sent, its outcome was not recorded, and this key may not list runs", ordinal)
    # Another DAG run, or another index of a list that has shifted, may have bought it: no journal of ours covers those.
    if not scope.spans_dag_runs and not scope.may_have_shifted:
        task = scope.task
        # Whatever an earlier try sent is younger than the DAG run, and so is its key, which is that of today's request.
        same_key = task.literal and task.since is not None and now - task.since < KEY_TRUST
        if record or remembers or task.first_try or same_key:
            return Submit(ordinal)
    return Unknown("no journal covers all that may have bought it, and this key may not list runs", ordinal)


def candidates(same: Sequence[Candidate], scope: Scope) -> list[Candidate]:
    """
    Pick the runs of one item, whatever index it had before a mapped list shifted.

    :param same: the runs of its request, whatever item bought them.
    """
    ours = [each for each in same if each.item_key == scope.item_key]
    return ours or [each for each in same if scope.may_be_ours(each.item_key, each.run.created_at)]


def drifted(of_item: Sequence[Candidate], scope: Scope) -> list[Candidate]:
    """
    Pick what an earlier try of this go bought, if a template rendered otherwise then: the first request wins.

    For where no journal recorded it. Other DAG runs may have asked for something else on purpose.

    :param of_item: the runs of the item, whatever it asked for.
    """
    if scope.task.first_try or scope.spans_dag_runs:
        return []
    task = scope.task
    # A clear may leave `max_tries` as it was, and an item may have moved to a task instance with other tries.
    return [each for each in of_item if each.go == task.go and each.clears in (None, task.clears)]


def candidate_of(run: Run) -> Candidate | None:
    """Read from a run's metadata whose it is; ``None`` for one that no task of ours submitted."""
    facts = (run.metadata or {}).get(METADATA_KEY)
    if not isinstance(facts, dict):
        return None
    ordinal, variation, go, clears = (facts.get(name) for name in ("ordinal", "variation", "go", "clears"))
    return Candidate(
        run,
        ordinal if isinstance(ordinal, int) else 0,
        item_key=str(facts.get("item_key", "")),
        fingerprint=str(facts.get("fingerprint")),
        variation=variation if isinstance(variation, str) else None,
        go=go if isinstance(go, int) else None,
        clears=clears if isinstance(clears, int) else None,
    )


def _next_ordinal(record: Record | None) -> int:
    if record is None:
        return 0
    return record.ordinal + 1 if record.state == "rejected" else record.ordinal


def answers_the_key(refused: Exception) -> bool:
    """Whether Runflow may repeat this answer for as long as the request comes under the same idempotency key."""
    return isinstance(refused, (InsufficientCreditError, NotFoundError, RequestRejectedError))
