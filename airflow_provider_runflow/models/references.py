# SPDX-License-Identifier: Apache-2.0
"""Pictures that a model works from, as they go over the wire: addresses that Runflow itself can read."""

from __future__ import annotations

import ast
import contextlib
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from airflow_provider_runflow.client.redact import strip_queries

RULE = "must be an https:// address or a runflow:// id"
# Goes when private files are uploaded: what reaches a model's input then is a runflow:// id.
NOT_YET = "files in a bucket or on disk (s3://, gs://, file://) cannot be uploaded yet"


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
    if parts.scheme not in ("https", "runflow"):
        raise ValueError(RULE if parts.scheme == "http" else f"{RULE}; {NOT_YET}")
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
    if isinstance(value, str) and value.strip().startswith("["):
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value.strip())
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


Reference = Annotated[str, BeforeValidator(check_reference)]
References = Annotated[list[str], BeforeValidator(check_references)]
