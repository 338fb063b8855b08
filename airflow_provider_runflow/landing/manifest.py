# SPDX-License-Identifier: Apache-2.0
"""
What a batch made, beside its pictures: ``manifest.jsonl`` with a row per item, ``manifest.json`` with the totals.

Both are of the latest DAG run that landed there; each DAG run's own rows stay as ``manifest.<hash>.jsonl``.

The rows are read back, too: one whose pictures are still there, unchanged, is proof that its request is paid and
landed. Their form is published as ``landing/schemas/manifest-row.v1.json`` and ``manifest.v1.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_runflow.landing.job import Landed
from airflow_provider_runflow.landing.sidecar import image_of, without_queries
from airflow_provider_runflow.landing.store import Store
from airflow_provider_runflow.outcomes import Outcome

SCHEMA_VERSION = 1
STEM = "manifest"
ROWS = f"{STEM}.jsonl"
SUMMARY = f"{STEM}.json"
# 10,000 items take about 15 MB.
MAX_BYTES = 256 * 1024 * 1024
MAX_EXPONENT = 20
MAX_CHARACTERS = 64


@dataclass(frozen=True)
class ManifestRow:
    """
    What became of one item.

    :param key: of the item.
    :param outcome: one of :class:`~airflow_provider_runflow.outcomes.Outcome`.
    :param reason: why it did not succeed, for people.
    :param code: Runflow's own code for that, where it gave one.
    :param model: model id.
    :param prompt: the prompt, if the model takes one.
    :param input: the recorded input, without the queries of addresses.
    :param labels: of the item.
    :param alt_text: of its pictures.
    :param variation: the take; ``None`` is the first.
    :param runflow_run_id: the run, if there is one.
    :param cost_usd: of the run; ``None`` when it is not known.
    :param reused: an earlier task bought it, so this one paid nothing.
    :param dropped: the list of items does not have it any more.
    :param client_ref: the scope that it was paid in.
    :param fingerprint: hash of what buys it.
    :param images: the landed pictures, in order.
    """

    key: str
    outcome: Outcome
    reason: str | None = None
    code: str | None = None
    model: str | None = None
    prompt: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    alt_text: str | None = None
    variation: str | None = None
    runflow_run_id: str | None = None
    cost_usd: Decimal | None = None
    reused: bool = False
    dropped: bool = False
    client_ref: str | None = None
    fingerprint: str | None = None
    images: tuple[Landed, ...] = ()

    @property
    def uris(self) -> list[str]:
        """Addresses of the landed pictures."""
        return [image.uri for image in self.images]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of a row."""
        return {
            "schema_version": SCHEMA_VERSION,
            "key": self.key,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "code": self.code,
            "model": self.model,
            "prompt": self.prompt,
            "input": without_queries(dict(self.input)),
            "labels": dict(self.labels),
            "alt_text": self.alt_text,
            "variation": self.variation,
            "runflow_run_id": self.runflow_run_id,
            "cost_usd": None if self.cost_usd is None else f"{self.cost_usd:f}",
            "reused": self.reused,
            "dropped": self.dropped,
            "client_ref": self.client_ref,
            "fingerprint": self.fingerprint,
            "images": [image.as_dict() for image in self.images],
        }


def name_of_run(airflow: Mapping[str, Any]) -> str:
    """
    Return the name of the rows of one task instance, which no other has.

    Whoever knows a task instance can tell by the name whether a manifest is its own; so the hash is long enough that
    nobody finds a DAG run's id that gives the name of another's.

    :param airflow: with ``dag_id``, ``run_id``, ``task_id``, and ``map_index`` if it is mapped.
    """
    who = [airflow["dag_id"], airflow["run_id"], airflow["task_id"], airflow.get("map_index", -1)]
    return f"{STEM}.{hashlib.sha256(json.dumps(who).encode()).hexdigest()[:32]}.jsonl"


def row_from_json(data: Any) -> ManifestRow:
    """
    Read a row back.

    :raises ValueError: it is not in the form of :meth:`ManifestRow.to_json`, or of a newer one.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("key"), str):
        raise ValueError("a row needs a key")
    if type(data.get("schema_version")) is not int or data["schema_version"] > SCHEMA_VERSION:
        raise ValueError(f"schema_version {data.get('schema_version')!r}; this package reads up to {SCHEMA_VERSION}")
    listed = data.get("images") or []
    images = [image_of({"image": each}, "") for each in listed] if isinstance(listed, list) else [None]
    if None in images:
        raise ValueError(f"a picture of {data['key']!r} lacks a field")
    return ManifestRow(
        key=data["key"],
        outcome=_outcome(data.get("outcome")),
        input=_mapping(data, "input"),
        labels=_mapping(data, "labels"),
        cost_usd=amount_of(data.get("cost_usd")),
        reused=bool(data.get("reused")),
        dropped=bool(data.get("dropped")),
        images=tuple(image for image in images if image is not None),
        **{name: _text(data, name) for name in _TEXTS},
    )


_TEXTS = ("reason", "code", "model", "prompt", "alt_text", "variation", "runflow_run_id", "client_ref", "fingerprint")


def parse_rows(text: str) -> Iterator[ManifestRow]:
    """
    Read ``manifest.jsonl``.

    :raises ValueError: naming the line that cannot be read.
    """
    return (row for row, _ in parse_lines(text))


def parse_lines(text: str) -> Iterator[tuple[ManifestRow, Mapping[str, Any]]]:
    """
    Read ``manifest.jsonl``: each row, and the JSON object that it was read from.

    :raises ValueError: naming the line that cannot be read.
    """
    # Not splitlines(): a prompt may hold U+2028 and the like, which JSON does not escape.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            yield row_from_json(data), data
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error


def write_rows(store: Store, name: str, rows: Iterable[ManifestRow]) -> None:
    """Store a row per item; raises as the store does."""
    lines = (json.dumps(row.to_json(), ensure_ascii=False, default=str) for row in rows)
    raw = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    store.put_document(name, raw, content_type="application/x-ndjson")


def read_rows(store: Store, name: str) -> list[ManifestRow] | None:
    """
    Read what a batch left; ``None`` when there is nothing.

    :raises ValueError: it is damaged, or of a newer package.
    """
    raw = store.read_document(name, MAX_BYTES)
    return None if raw is None else list(parse_rows(raw.decode("utf-8", "replace")))


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} of {data['key']!r} is no object")
    return value or {}


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} of {data['key']!r} is no text")
    return value


def _outcome(value: Any) -> Outcome:
    try:
        return Outcome(value)
    except ValueError:
        return Outcome.FAILED  # one that a newer package knows


def amount_of(value: Any) -> Decimal | None:
    """Read an amount of USD that anybody may have written; ``None`` for what is none."""
    text = str(value) if isinstance(value, (str, int, float, Decimal)) else ""
    try:
        amount = Decimal(text if len(text) <= MAX_CHARACTERS else "")
    except InvalidOperation:
        return None
    # A million digits fit into a few characters (1e999999), and would be written out in full.
    return amount if amount.is_finite() and -MAX_EXPONENT <= amount.adjusted() <= MAX_EXPONENT else None
