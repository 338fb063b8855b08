# SPDX-License-Identifier: Apache-2.0
"""The return value of an operator that waits for one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.runs.journal import Record

RESULT_SCHEMA_VERSION = 1
IMAGE_FIELDS = ("index", "uri", "content_type", "width", "height", "size_bytes", "sha256")


def make_result(record: Record, run: Run, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Say in small JSON types what a run brought: no bytes, no presigned URL, money as a string.

    :param images: the landed pictures, or one row per output with only its index when nothing was landed.
    """
    return {
        "schema_version": RESULT_SCHEMA_VERSION,
        "run_id": run.id,
        "model": record.model,
        "status": run.status_code,
        "cost_usd": money_text(run.cost),
        "duration_ms": run.duration_ms,
        "client_ref": record.client_ref,
        "images": [dict(image) for image in images],
    }


def money_text(amount: Decimal | None) -> str | None:
    """Write money without an exponent, or ``None`` when it is not known."""
    return None if amount is None else f"{amount:f}"


def not_landed(count: int) -> list[dict[str, Any]]:
    """Image rows for pictures that stay at Runflow: the index, and nothing that could expire."""
    return [{**dict.fromkeys(IMAGE_FIELDS), "index": index} for index in range(count)]
