# SPDX-License-Identifier: Apache-2.0
"""What a task shows of itself in the Airflow UI while it waits: small, in JSON types, and nothing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.compat import conf

if TYPE_CHECKING:
    from airflow_provider_runflow.runs.identity import Request

PROMPT_CHARACTERS = 2000


def shown_request(request: Request, *, item_key: str | None, conn_id: str | None) -> dict[str, Any]:
    """
    Tell what was asked for, to whoever looks at the task's *Pictures*.

    :param request: as recorded.
    :param item_key: which item of the task; ``None`` without a key of its own.
    :param conn_id: of :func:`store_conn_id`.
    """
    prompt, quality, size = (request.input.get(name) for name in ("prompt", "quality", "image_size"))
    if isinstance(size, dict):
        size = f"{size.get('width')}x{size.get('height')}"
    shown = {
        "prompt": strip_queries(prompt)[:PROMPT_CHARACTERS] if isinstance(prompt, str) else None,
        "quality": quality,
        "image_size": size,
        "variation": request.variation,
        "item_key": item_key,
        "conn_id": conn_id,
    }
    return {name: value for name, value in shown.items() if value is not None}


def store_conn_id(operator: Any, destination: str | None = None) -> str | None:
    """
    Return the name of the Airflow connection that pictures are stored with: the UI reads them with the same one.

    :param operator: with the parameters that all operators share which land pictures, rendered.
    :param destination: rendered; default: the operator's own, else the configured one.
    """
    from airflow_provider_runflow.stores import S3_SCHEMES, parse_destination

    destination = destination or operator.destination or conf.get("runflow", "default_destination", fallback=None)
    if not destination:
        return None
    where = parse_destination(destination)
    return where.conn_id or (operator.aws_conn_id if where.scheme in S3_SCHEMES else None)
