# SPDX-License-Identifier: Apache-2.0
"""Lists in pages. Runs have cursors of their own (reading.py), because new ones arrive while somebody pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from .wire import ApiError, JsonDict, Request, Response, json_response

DEFAULT_LIMIT = 50  # choice: the reference is silent
MAX_LIMIT = 500


def limit_of(request: Request) -> int:
    """Read how many rows are wanted."""
    text = request.param("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ApiError.invalid(["query", "limit"], f"Input should be from 1 to {MAX_LIMIT}", "int_range")
    return int(text)


def page(request: Request, rows: Sequence[JsonDict]) -> Response:
    """Answer with one page of a list that does not change while it is read."""
    limit, start = limit_of(request), _start(request.param("pq"))
    following = start + limit
    return json_response(
        200,
        {
            "items": rows[start:following],
            "first": _cursor(0) if rows else None,
            "next": _cursor(following) if following < len(rows) else None,
            "previous": _cursor(max(0, start - limit)) if start else None,
        },
    )


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"at {start}".encode()).decode()


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        found = re.fullmatch(rb"at ([0-9]{1,9})", base64.urlsafe_b64decode(cursor.encode()))
    except binascii.Error:
        found = None
    if found is None:
        raise ApiError.invalid(["query", "pq"], "Invalid cursor", "value_error")
    return int(found.group(1))
