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
intent                       look-up empty                 settle, look again, submit under the same key
nothing, or rejected         look-up empty                 submit
intent, young                look-up refused               submit under the same key
intent, old                  look-up refused               unknown
nothing, or rejected         look-up refused               submit, if the journal would know; else unknown
===========================  ============================  =============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import AfterMoneyError
from airflow_provider_runflow.runs.identity import METADATA_KEY
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
    """The look-up may lag: look again after this many seconds."""

    seconds: float


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
    """A run that the look-up found for this very request."""

    run: Run
    ordinal: int


def on_run(run: Run, ordinal: int) -> Wait | Land | Submit | Stop:
    """Decide by the state of a known run; one that failed and was billed all the same is not bought again unasked."""
    if run.is_delivered:
        return Land(run, ordinal)
    if run.status_code == "cancelled":
        return Stop(cancellation_of(run))
    if run.status_code == "failed":
        return Stop(failure_of(run)) if will_fail_again(run) or was_billed(run) else Submit(ordinal + 1)
    return Wait(run, ordinal)


def on_found(candidates: Sequence[Candidate], record: Record | None, now: datetime) -> Move:
    """
    Decide by an answered look-up.

    :param candidates: the runs of this request, oldest first; may be empty.
    :param record: the journal's record; never one with a run id.
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
    if failed and failed.ordinal >= ordinal:
        return on_run(failed.run, failed.ordinal)
    if record and record.state == "intent":
        settled = record.at + SETTLE
        if now < settled:
            return LookAgain((settled - now).total_seconds())
    return Submit(ordinal)


def on_refused(record: Record | None, now: datetime, *, journal_knows: bool, first_try: bool) -> Submit | Unknown:
    """
    Decide when Runflow does not let this key list runs.

    :param journal_knows: "nothing on record" means that nothing was sent.
    :param first_try: no earlier attempt can have sent anything.
    """
    ordinal = _next_ordinal(record)
    if record and record.state == "intent":
        if now - (record.since or record.at) < KEY_TRUST:
            return Submit(ordinal)
        return Unknown("it was about to be sent, its outcome was not recorded, and this key may not list runs", ordinal)
    if record or journal_knows or first_try:
        return Submit(ordinal)
    return Unknown("no journal covers all that may have bought it, and this key may not list runs", ordinal)


def candidates(rows: Sequence[Run], *, item_key: str, fingerprint: str) -> list[Candidate]:
    """Pick the runs of one request from the runs of its scope."""
    picked = []
    for run in rows:
        facts = (run.metadata or {}).get(METADATA_KEY)
        if not isinstance(facts, dict) or facts.get("fingerprint") != fingerprint:
            continue
        if facts.get("item_key") == item_key:
            ordinal = facts.get("ordinal")
            picked.append(Candidate(run, ordinal if isinstance(ordinal, int) else 0))
    return picked


def _next_ordinal(record: Record | None) -> int:
    if record is None:
        return 0
    return record.ordinal + 1 if record.state == "rejected" else record.ordinal
