# SPDX-License-Identifier: Apache-2.0
"""What a deferral carries of the items that were not submitted: why, in a few kilobytes."""

from __future__ import annotations

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import Any

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.exceptions import BeforeMoneyError, RunflowError

# Airflow keeps it beside the trigger's arguments, in 64 KB on MySQL.
MAX_PENDING_BYTES = 40_000
MAX_REASON = 400
SHORT_REASON = 60


def pack_errors(errors: Mapping[str, RunflowError]) -> dict[str, Any]:
    """
    Write down in small JSON types why items were not submitted.

    Of very many only the first are kept; the rest count as not submitted for reasons that the log tells.
    """
    if not errors:
        return {}
    packed = _packed(errors, MAX_REASON)
    kept = len(errors)
    while len(packed) > MAX_PENDING_BYTES:
        packed = _packed(dict(islice(errors.items(), kept)), SHORT_REASON)
        kept = kept * 2 // 3
    return {"errors": packed}


def unpack_errors(pending: Mapping[str, Any] | None) -> dict[str, RunflowError]:
    """Read back what :func:`pack_errors` wrote."""
    packed = (pending or {}).get("errors")
    if not packed:
        return {}
    told = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {key: _error(name, text) for name, text, keys in told for key in keys}


def _packed(errors: Mapping[str, RunflowError], longest: int) -> str:
    # What stops one item often stops many, with the same words.
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, error in errors.items():
        keys[type(error).__name__, str(error)[:longest]].append(key)
    told = [[*why, of] for why, of in keys.items()]
    return base64.b64encode(zlib.compress(json.dumps(told).encode())).decode()


def _error(name: str, text: str) -> RunflowError:
    kind = getattr(exceptions, name, None)
    if isinstance(kind, type) and issubclass(kind, RunflowError):
        return kind(text)
    return BeforeMoneyError(text)
