# SPDX-License-Identifier: Apache-2.0
"""What was billed, and what was asked: the truth that tests and people compare with."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from .runs import money, stamp
from .state import COUNTED, State


class Bill(TypedDict):
    """One debit."""

    idempotency_key: str | None
    run_id: str
    number: int
    model: str
    client_ref: str | None
    images: int
    cost_usd: str
    at: str


class Totals(TypedDict):
    """The sums."""

    runs: int
    billed_runs: int
    cost_usd: str


class Ledger(TypedDict):
    """The whole ledger, over all organisations."""

    billed: list[Bill]
    totals: Totals
    requests: dict[str, int]


def ledger(state: State, now: datetime) -> Ledger:
    """Add up what has been billed by now, in the order of the debits."""
    debits = sorted((at, run.number, run) for run in state.runs.values() if (at := run.billed_at(now)) is not None)
    billed: list[Bill] = [
        {
            "idempotency_key": run.idempotency_key,
            "run_id": run.id,
            "number": run.number,
            "model": run.model.slug,
            "client_ref": run.client_ref,
            "images": run.outcome.images,
            "cost_usd": money(run.billable),
            "at": stamp(at) or "",
        }
        for at, _, run in debits
    ]
    total = sum((run.billable for _, _, run in debits), Decimal(0))
    return {
        "billed": billed,
        "totals": {"runs": len(state.runs), "billed_runs": len(billed), "cost_usd": money(total)},
        "requests": {label: state.requests[label] for label in (*COUNTED.values(), "other")},
    }
