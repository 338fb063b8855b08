# SPDX-License-Identifier: Apache-2.0
"""
Who asks for what: scope, item, fingerprint, and the keys made of them.

None of it may contain ``try_number`` or a task instance's id: both change on a retry, and a retry must find what the
try before it bought. That is the whole point of this module.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, get_args

from airflow_provider_runflow.exceptions import InvalidRequestError

ReuseWithin = Literal["retries", "dag_run", "destination"]
OnUnknown = Literal["fail", "resubmit"]

# Part of every hash below. Changing how a fingerprint is made bills every picture of every user again:
# golden fixtures in the tests hold it still.
FINGERPRINT_VERSION = 1
METADATA_KEY = "airflow"
# Stands in an input for a file that is uploaded right before the request is submitted.
SHA256_PREFIX = "sha256:"
_HASHED = re.compile(rf"{SHA256_PREFIX}[0-9a-f]{{64}}")
_ADDRESS = re.compile(r"(https?://[^\s?#]+)[?#]\S*", re.IGNORECASE)


@dataclass(frozen=True)
class TaskIdentity:
    """
    The Airflow task instance that asks.

    :param go: tells attempts after a clear from plain retries: ``ti.max_tries``, which Airflow raises on a clear only.
    :param first_try: no earlier attempt of this task instance can have sent anything.
    :param clears: how often tasks of the DAG run were cleared; a mapped list may have shifted since.
    :param literal: no template makes the request, so every attempt renders the same one.
    :param began: when the DAG run began: whatever its own tasks bought is younger.
    :param since: no attempt in this DAG run can have sent anything before; ``None`` if that is not known.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    go: int = 0
    first_try: bool = True
    clears: int = 0
    literal: bool = False
    began: datetime | None = None
    since: datetime | None = None

    def facts(self) -> dict[str, Any]:
        """What people want to read beside a run or a picture."""
        return {
            "dag_id": self.dag_id,
            "task_id": self.task_id,
            "run_id": self.run_id,
            "map_index": self.map_index,
        }


@dataclass(frozen=True)
class Scope:
    """
    Within which one request is paid once.

    :param client_ref: sent with every run of the scope, so that one exact-match list finds them all.
    :param item_key: tells the requests of one scope apart.
    :param task: who asks.
    :param spans_dag_runs: other DAG runs may have bought the same request.
    :param by_index: the item key is a map index, which names another request once the mapped list has shifted.
    :param about: facts that go into the run's metadata for people; constant within the scope, since a body that differs
        would void the idempotency key.
    """

    client_ref: str
    item_key: str
    task: TaskIdentity
    spans_dag_runs: bool = False
    by_index: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def may_have_shifted(self) -> bool:
        """Whether the same request may have been bought under another map index."""
        return self.by_index and (self.task.clears > 0 or self.spans_dag_runs)

    def may_be_ours(self, item_key: Any, created_at: datetime | None) -> bool:
        """
        Whether a run of the same request under another item key is this item's, from before the list shifted.

        Items of one list that ask for the very same are not taken for one another.
        """
        if not self.may_have_shifted or not str(item_key).isdecimal():
            return False
        started = self.task.began or self.task.since
        earlier_dag_run = started is not None and created_at is not None and created_at < started
        return self.task.clears > 0 or earlier_dag_run


def make_scope(
    reuse_within: str,
    *,
    namespace: str,
    task: TaskIdentity,
    item_key: str | None = None,
    destination: str | None = None,
) -> Scope:
    """
    Name the scope that the user chose.

    :param reuse_within: ``retries``, ``dag_run`` or ``destination``.
    :param namespace: tells Airflow installations apart that share one Runflow organisation.
    :param item_key: the item's own name; default: the map index, or nothing for a task that is not mapped.
    :param destination: rendered destination; needed for ``destination``.
    :raises InvalidRequestError: for another ``reuse_within``, or ``destination`` without one.
    """
    check_reuse_within(reuse_within)
    by_index = not item_key and task.map_index >= 0
    key = item_key if item_key else (str(task.map_index) if by_index else "")
    if reuse_within == "destination":
        if not destination:
            raise InvalidRequestError("reuse_within='destination' needs a destination: its prefix is the scope.")
        place = destination.rstrip("/")
        ref = _reference((place,), ("destination", namespace, place))
        return Scope(ref, key, task, spans_dag_runs=True, by_index=by_index)
    parts = (task.dag_id, task.task_id, task.run_id)
    go = (f"go {task.go}",) if reuse_within == "retries" else ()
    ref = _reference((*parts, *go), (reuse_within, namespace, *parts, *go))
    about = {name: value for name, value in task.facts().items() if name != "map_index"}
    return Scope(ref, key, task, by_index=by_index, about=about)


def check_reuse_within(value: str) -> None:
    """Raise :class:`InvalidRequestError` for anything but the three scopes."""
    if value not in get_args(ReuseWithin):
        raise InvalidRequestError(f"reuse_within={value!r}: must be 'retries', 'dag_run' or 'destination'.")


@dataclass(frozen=True)
class Request:
    """
    What is bought: one execution of a model.

    :param model: model id.
    :param input: the ``input`` object as it goes over the wire.
    :param variation: asks for another take of the same input; ``None`` is the first.
    :param recorded: the fingerprint under which it was bought, if it was: a newer package may compute another one.
    """

    model: str
    input: Mapping[str, Any]
    variation: str | None = None
    recorded: str | None = field(default=None, compare=False)

    @property
    def num_images(self) -> int:
        """Pictures that it asks for."""
        return asked_images(self.input)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over what buys the picture. Metadata and callback URL are outside, and so is what is not sent."""
        if self.recorded is not None:
            return self.recorded
        bought: dict[str, Any] = {"v": FINGERPRINT_VERSION, "model": self.model, "input": unsigned(self.input)}
        if self.variation is not None:
            bought["variation"] = self.variation
        return hashlib.sha256(canonical_json(bought)).hexdigest()


def asked_images(wire_input: Mapping[str, Any]) -> int:
    """Return how many pictures an input asks for: its ``num_images``, as far as it has one that is a number."""
    asked = wire_input.get("num_images")
    return asked if isinstance(asked, int) and asked > 0 else 1


def unsigned(value: Any) -> Any:
    """
    Return JSON data in which every text that is an http(s) address has lost its query and fragment.

    A presigned address is signed anew at each try, and whoever has its query has the picture: so neither fingerprints
    nor records hold it.
    """
    if isinstance(value, Mapping):
        return {name: unsigned(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [unsigned(item) for item in value]
    if isinstance(value, str) and (address := _ADDRESS.fullmatch(value)):
        return address[1]
    return value


def hashes_in(value: Any) -> set[str]:
    """Return the sha256 of every file that stands in an input by its hash, as ``sha256:…``."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return set().union(*(hashes_in(item) for item in value))
    return {value[len(SHA256_PREFIX) :]} if isinstance(value, str) and _HASHED.fullmatch(value) else set()


def with_assets(value: Any, assets: Mapping[str, str]) -> Any:
    """Return an input as it is sent: with the uploaded reference in the place of each hash."""
    if isinstance(value, Mapping):
        return {name: with_assets(item, assets) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_assets(item, assets) for item in value]
    if isinstance(value, str) and _HASHED.fullmatch(value):
        return assets.get(value[len(SHA256_PREFIX) :], value)
    return value


def resigned(bought: Request, now: Request) -> Request:
    """Return a recorded request with the signed addresses of now, where they are the same but for the signature."""
    signed = {unsigned(address): address for address in _texts(now.input) if unsigned(address) != address}

    def sign(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: sign(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [sign(item) for item in value]
        return signed.get(value, value) if isinstance(value, str) else value

    return Request(bought.model, sign(bought.input), bought.variation, recorded=bought.fingerprint)


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def canonical_json(value: Any) -> bytes:
    """Encode JSON in the one way that equal values always share."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def idempotency_key(scope: Scope, fingerprint: str, ordinal: int) -> str:
    """
    Key under which the server itself would refuse a duplicate (reference, 3.3; its length limit is not documented).

    :param ordinal: counts the deliberate submissions of one request: a failed run needs a new key, or the server
        would replay the failure.
    :return: 67 ASCII characters.
    """
    return "rf-" + _digest((scope.client_ref, scope.item_key, fingerprint, str(ordinal)))


def request_token(scope: Scope, fingerprint: str) -> str:
    """Twelve hexadecimal characters that name one request of one scope, for file names."""
    return _digest((scope.client_ref, scope.item_key, fingerprint))[:12]


def run_metadata(
    scope: Scope, request: Request, ordinal: int, user: Mapping[str, Any] | None, *, with_go: bool = False
) -> dict[str, Any]:
    """
    Metadata of a run: the user's, and under ``airflow`` what tells one request's runs from another's.

    :param with_go: say which go buys it, where no journal does; it changes on a clear, and with it the body under the
        same key.
    :raises InvalidRequestError: when the user's metadata has a key ``airflow`` of its own.
    """
    if user and METADATA_KEY in user:
        raise InvalidRequestError(f"metadata: the key {METADATA_KEY!r} is taken by this provider; use another one.")
    ours = {
        **scope.about,
        "item_key": scope.item_key,
        "fingerprint": request.fingerprint,
        "fingerprint_version": FINGERPRINT_VERSION,
        "ordinal": ordinal,
        **({"variation": request.variation} if request.variation is not None else {}),
        **({"go": scope.task.go, "clears": scope.task.clears} if with_go else {}),
    }
    return {**(user or {}), METADATA_KEY: ours}


def _reference(readable: tuple[str, ...], identity: tuple[str, ...]) -> str:
    head = ".".join(re.sub(r"[^A-Za-z0-9_-]+", "-", part).strip("-")[:60] for part in readable)
    return f"af.{head[:180]}.{_digest(identity)[:32]}"


def _digest(parts: tuple[str, ...]) -> str:
    # Lengths first: no separator can be forged by a part that contains it.
    return hashlib.sha256(canonical_json([[len(part), part] for part in parts])).hexdigest()
