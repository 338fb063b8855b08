# SPDX-License-Identifier: Apache-2.0
"""Pictures that a model works from, as they go over the wire: addresses that Runflow itself can read."""

from __future__ import annotations

import ast
import contextlib
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from airflow_provider_runflow.client.redact import strip_queries

_HASHED = re.compile("sha256:[0-9a-f]{64}")
RULE = "must be an https:// address, a runflow:// id or, for an Edit operator, a file such as s3://bucket/cup.jpg"


def check_reference(value: Any) -> str:
    """
    Check one address of a picture.

    :param value: an https URL that Runflow can fetch, or an id such as ``runflow://assets/…``.
    :raises ValueError: for anything else: Runflow fetches the picture, so it can reach no local path and no bucket.
    """
    if not isinstance(value, str) or value != value.strip() or not value.isprintable() or " " in value:
        raise ValueError(RULE)
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(RULE) from None
    if _HASHED.fullmatch(value):
        return value  # a file that is uploaded before the request is sent
    if parts.scheme not in ("https", "runflow"):
        raise ValueError(RULE)
    if not parts.netloc:
        raise ValueError(RULE)
    if "@" in parts.netloc:
        raise ValueError(f"{RULE} without user and password")
    return value


def check_references(value: Any) -> list[str]:
    """
    Check the pictures to work from.

    :param value: a list of addresses, or a single one. A template that gives a list renders to its text.
    :raises ValueError: naming the first one that is wrong, or that there is none. How many there may be at most is not
        documented, so the server decides.
    """
    value = without_text(value)
    if isinstance(value, str):
        return [check_reference(value)]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("must be a list of at least one picture")
    checked = []
    for position, item in enumerate(value):
        try:
            checked.append(check_reference(item))
        except ValueError as error:
            raise ValueError(f"item {position}, {strip_queries(repr(item))[:80]}, {error}") from None
    return checked


def without_text(value: Any) -> Any:
    """Read the list that a template has rendered to its text; return anything else as it is."""
    if isinstance(value, str) and value.strip().startswith("["):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = ast.literal_eval(value.strip())
    return value


Reference = Annotated[str, BeforeValidator(check_reference)]
References = Annotated[list[str], BeforeValidator(check_references)]
