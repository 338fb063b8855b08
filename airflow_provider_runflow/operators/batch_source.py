# SPDX-License-Identifier: Apache-2.0
"""Where the items of a batch come from: a list, or a file beside the DAG file or in object storage."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.exceptions import ConfigurationError, InvalidRequestError, ReferenceUnreadableError

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.batch import RunflowBatchOperator

MAX_BYTES = 64 * 1024 * 1024
_ENDINGS = (".jsonl", ".ndjson", ".json", ".yaml", ".yml")


def load_requests(operator: RunflowBatchOperator) -> Any:
    """
    Return the items as data, from wherever they come.

    :raises InvalidRequestError: the path breaks a rule, or the file is not what its name says.
    :raises ReferenceUnreadableError: the file is not there, or its store does not answer.
    """
    if not isinstance(operator.requests, str):
        return operator.final("requests")
    path = operator.requests.strip()
    if PurePosixPath(path).suffix.lower() not in _ENDINGS:
        raise InvalidRequestError(
            f"requests={path!r}: must be a list of items, or a path to a {', '.join(_ENDINGS)} file."
        )
    raw = _read(path, operator)
    if len(raw) > MAX_BYTES:
        raise InvalidRequestError(f"requests={path!r}: has more than 64 MiB.")
    try:
        return parse(raw.decode("utf-8-sig"), path)
    except InvalidRequestError:
        raise
    except ValueError as error:
        raise InvalidRequestError(f"requests={path!r}: {error}.") from error


def parse(text: str, name: str) -> Any:
    """
    Read the items that a file holds; a YAML mapping is a brief.

    :param name: of the file; its ending says what it holds.
    :raises ValueError: the text is not what the ending says.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending in (".jsonl", ".ndjson"):
        # Not splitlines(): a text may hold U+2028 and the like, which JSON does not escape.
        return [_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if ending == ".json":
        return json.loads(text)
    from airflow_provider_runflow.brief import expand_brief
    from airflow_provider_runflow.brief.reading import parse_yaml

    data = parse_yaml(text.encode(), name)
    return expand_brief(data) if isinstance(data, dict) else data


def _line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _read(path: str, operator: RunflowBatchOperator) -> bytes:
    try:
        if "://" not in path:
            return _beside_the_dag(path, operator).read_bytes()
        from airflow_provider_runflow.stores.reading import open_file

        with open_file(path, operator.requests_conn_id, "requests") as file:
            raw: bytes = file.read(MAX_BYTES + 1)
            return raw
    except (InvalidRequestError, ConfigurationError):
        raise
    except Exception as error:  # whatever the store raises
        raise ReferenceUnreadableError(f"requests: {path} cannot be read ({type(error).__name__}: {error}).") from error


def _beside_the_dag(path: str, operator: RunflowBatchOperator) -> Path:
    folder = Path(operator.dag.fileloc).resolve().parent
    file = (folder / path).resolve()
    if Path(path).is_absolute() or not file.is_relative_to(folder):
        raise InvalidRequestError(
            f"requests={path!r}: a path without a scheme is read beside the DAG file, and may not leave its folder."
        )
    return file
