# SPDX-License-Identifier: Apache-2.0
"""What a task paid, in the form that its XCom ``usage`` has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_runflow.runs.result import money_text

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Spent:
    """
    The money of one run.

    :param cost: USD that it was billed; ``None`` when that is not known.
    :param estimate: USD that it was expected to cost; ``None`` when nothing knows its price.
    :param reused: an earlier task bought it, so this one paid nothing.
    :param images: how many pictures it delivered.
    """

    cost: Decimal | None
    estimate: Decimal | None
    reused: bool
    images: int


@dataclass(frozen=True)
class Usage:
    """All runs of a task instance, over all its attempts."""

    model: str
    runs: tuple[Spent, ...]

    @property
    def paid(self) -> Decimal | None:
        """USD that the task paid; ``None`` when nothing is known of it."""
        return _sum(run.cost for run in self.runs if not run.reused)

    @property
    def estimated(self) -> Decimal | None:
        """USD that those of the paid runs were expected to cost whose bill is known."""
        return _sum(run.estimate for run in self.runs if not run.reused and run.cost is not None)

    @property
    def difference(self) -> str | None:
        """Say by how much bill and estimate differ; ``None`` when they do not, or one of them is not known."""
        paid, estimated = self.paid, self.estimated
        if paid is None or estimated is None or paid == estimated:
            return None
        return f"Runflow billed ${paid:f}; ${estimated:f} was the estimate."

    def to_json(self) -> dict[str, Any]:
        """Return the XCom: money in USD as text, ``None`` where it is not known."""
        bought = [run for run in self.runs if not run.reused]
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "runs": len(bought),
            "images": sum(run.images for run in bought),
            "cost_usd": money_text(self.paid if bought else Decimal(0)),
            "estimated_cost_usd": money_text(self.estimated if bought else Decimal(0)),
            "runs_of_unknown_cost": sum(run.cost is None for run in bought),
            "reused_runs": len(self.runs) - len(bought),
            "reused_cost_usd": money_text(_sum(run.cost for run in self.runs if run.reused)),
        }


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None
