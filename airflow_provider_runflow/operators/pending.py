# SPDX-License-Identifier: Apache-2.0
"""What a deferral carries of a batch that nothing else may tell when the task resumes, in a few kilobytes."""

from __future__ import annotations

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.exceptions import BeforeMoneyError, RunflowError

# Airflow keeps both beside the trigger's arguments, in 64 KB on MySQL.
MAX_ERRORS_BYTES = 20_000
MAX_RUNS_BYTES = 30_000
MAX_REASON = 400
SHORT_REASON = 60
# So much of a fingerprint tells two requests of one item apart.
MARK = 16


class Bought(NamedTuple):
    """
    The run of an item.

    :param run_id: Runflow's id of it.
    :param ordinal: which submission of the request it was.
    :param mark: the beginning of the request's fingerprint.
    :param submitted_at: POSIX time.
    """

    run_id: str
    ordinal: int
    mark: str
    submitted_at: float


def pack_errors(errors: Mapping[str, RunflowError]) -> str:
    """
    Write down why items were not submitted, by key.

    Of very many only the first are kept; the rest count as not submitted for reasons that the log tells.
    """
    packed = _grouped(errors, MAX_REASON)
    kept = len(errors)
    while len(packed) > MAX_ERRORS_BYTES:
        packed = _grouped(dict(islice(errors.items(), kept)), SHORT_REASON)
        kept = kept * 2 // 3
    return packed


def unpack_errors(pending: Mapping[str, Any] | None) -> dict[str, RunflowError]:
    """Read back what :func:`pack_errors` wrote."""
    # What an older release packed has no code.
    return {key: _error(name, text, *code) for name, text, keys, *code in _unpacked(pending, "errors") for key in keys}


def pack_runs(runs: Mapping[str, Bought]) -> str | None:
    """Write down which runs were bought, by key; ``None`` when they are too many."""
    packed = _packed([[key, *run] for key, run in runs.items()])
    return packed if len(packed) <= MAX_RUNS_BYTES else None


def unpack_runs(pending: Mapping[str, Any] | None) -> dict[str, Bought]:
    """Read back what :func:`pack_runs` wrote."""
    return {key: Bought(*run) for key, *run in _unpacked(pending, "runs")}


def _grouped(errors: Mapping[str, RunflowError], longest: int) -> str:
    # What stops one item often stops many, with the same words.
    keys: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for key, error in errors.items():
        keys[type(error).__name__, str(error)[:longest], error.code].append(key)
    return _packed([[name, text, of, code] for (name, text, code), of in keys.items()])


def _packed(data: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)).decode()


def _unpacked(pending: Mapping[str, Any] | None, name: str) -> list[Any]:
    packed = (pending or {}).get(name)
    found: list[Any] = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else []
    return found


def _error(name: str, text: str, code: str | None = None) -> RunflowError:
    kind = getattr(exceptions, name, None)
    if not (isinstance(kind, type) and issubclass(kind, RunflowError)):
        kind = BeforeMoneyError
    error: RunflowError = kind(text)
    # The text names it already.
    error.told, error.code = text, code
    return error
