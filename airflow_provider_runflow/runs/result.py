# SPDX-License-Identifier: Apache-2.0
"""The return value of an operator that waits for one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from airflow_provider_runflow.client.wire import Run

RESULT_SCHEMA_VERSION = 1
IMAGE_FIELDS = ("index", "uri", "content_type", "width", "height", "size_bytes", "sha256")


class Asked(Protocol):
    """What a result tells of the request."""

    @property
    def model(self) -> str | None:
        """Model id; ``None`` when it is not known."""

    @property
    def client_ref(self) -> str | None:
        """The scope that it was paid in, if it had one."""


def make_result(asked: Asked, run: Run, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Say in small JSON types what a run brought: no bytes, no presigned URL, money as a string.

    :param asked: a journal's record, or a landing's job.
    :param images: the landed pictures, or one row per output with only its index when nothing was landed.
    """
    return {
        "schema_version": RESULT_SCHEMA_VERSION,
        "run_id": run.id,
        "model": asked.model,
        "status": run.status_code,
        "cost_usd": money_text(run.cost),
        "duration_ms": run.duration_ms,
        "client_ref": asked.client_ref,
        "images": [dict(image) for image in images],
    }


def run_facts(run: Run) -> dict[str, Any]:
    """Say in small JSON types how a run ended: what a task that only waits for it wants to know."""
    return {
        "run_id": run.id,
        "status": run.status_code,
        "cost_usd": money_text(run.cost),
        "image_count": len(run.output_urls),
    }


def money_text(amount: Decimal | None) -> str | None:
    """Write money without an exponent, or ``None`` when it is not known."""
    return None if amount is None else f"{amount:f}"


def not_landed(run: Run) -> list[dict[str, Any]]:
    """Image rows for pictures that stay at Runflow: the index, whether it is flagged, and nothing that could expire."""
    rows = [{**dict.fromkeys(IMAGE_FIELDS), "index": index} for index in range(len(run.flagged))]
    return [{**row, "nsfw_detected": True} if flag else row for row, flag in zip(rows, run.flagged, strict=True)]
