# SPDX-License-Identifier: Apache-2.0
"""The items of a batch: each with a key of its own, labels, and the parameters that differ from those of the task."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_runflow.estimate import ITEM_FIELDS
from airflow_provider_runflow.exceptions import InvalidRequestError

MAX_KEY = 200
# So many mistakes are told at once.
MAX_TOLD = 10


@dataclass(frozen=True)
class Item:
    """
    One item of a batch.

    :param key: its name in the scope; editing a prompt keeps it.
    :param parameters: of the model, by the names of the single operator.
    :param labels: text by name: they go into names, sidecars, manifest and tags.
    :param alt_text: alternative text for its pictures.
    :param variation: asks for another take.
    :param dropped: an earlier try of this go bought it, and the list does not have it any more.
    """

    key: str
    parameters: Mapping[str, Any]
    labels: Mapping[str, str]
    alt_text: str | None = None
    variation: str | None = None
    dropped: bool = False


def parse_items(data: Any, parameters: Collection[str]) -> list[Item]:
    """
    Read the items of a batch, and check what can be told without their model.

    :param data: a list of mappings with ``key`` or ``labels``, ``alt_text``, ``variation`` and the model's parameters.
    :param parameters: names of the model's parameters.
    :raises InvalidRequestError: naming each wrong item (at most ten), its field, its value and the rule.
    """
    if isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Sequence):
        raise InvalidRequestError(f"requests={str(data)[:80]!r}: must be a list of items, each a mapping.")
    if not data:
        raise InvalidRequestError("requests: must not be empty; it has no items.")
    wrong: list[str] = []
    items: list[Item] = []
    places: dict[str, int] = {}
    for index, each in enumerate(data):
        try:
            item = _item(each, parameters)
        except InvalidRequestError as error:
            wrong.append(f"requests[{index}]{_called(each)}: {error}")
            continue
        if item.key in places:
            wrong.append(f"requests[{index}]: key {item.key!r} is that of requests[{places[item.key]}], too.")
        places.setdefault(item.key, index)
        items.append(item)
    raise_all(wrong)
    return items


def raise_all(wrong: Sequence[str]) -> None:
    """
    Tell of all mistakes at once.

    :raises InvalidRequestError: if there are any.
    """
    if wrong:
        more = f" And {len(wrong) - MAX_TOLD} more." if len(wrong) > MAX_TOLD else ""
        raise InvalidRequestError(" ".join(wrong[:MAX_TOLD]) + more)


def _item(data: Any, parameters: Collection[str]) -> Item:
    if not isinstance(data, Mapping):
        raise InvalidRequestError(f"{str(data)[:80]!r} must be a mapping.")
    known = [*ITEM_FIELDS, *parameters]
    for name in data:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"(did you mean {near[0]}?)" if near else f"(an item takes {', '.join(known)})"
            raise InvalidRequestError(f"{name}: no such field {hint}.")
    labels = _labels(data.get("labels"))
    return Item(
        key=_key(data.get("key"), labels),
        parameters={name: value for name, value in data.items() if name in parameters},
        labels=labels,
        alt_text=_text("alt_text", data.get("alt_text")),
        variation=_text("variation", data.get("variation")),
    )


def _key(key: Any, labels: Mapping[str, str]) -> str:
    if key is None:
        if not labels:
            raise InvalidRequestError("needs a key, or labels to make one of.")
        # Of the labels alone: an edited prompt is another picture under the same name.
        key = "_".join(labels.values())
    text = _text("key", key)
    if text is None or not text.strip() or len(text) > MAX_KEY or not text.isprintable():
        raise InvalidRequestError(f"key={key!r}: must be 1-{MAX_KEY} printable characters.")
    return text


def _labels(labels: Any) -> dict[str, str]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidRequestError(f"labels={labels!r}: must be a mapping of names to texts.")
    for name in labels:
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidRequestError(
                f"labels: {name!r} is no name; use letters, digits and _, so that a name pattern can hold it."
            )
    return {name: _text(f"labels.{name}", value) or "" for name, value in labels.items()}


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidRequestError(f"{name}={str(value)[:80]!r}: must be a text or a number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequestError(f"{name}={value!r}: must be a text or a number.")
    return str(value)


def _called(data: Any) -> str:
    key = data.get("key") if isinstance(data, Mapping) else None
    return f" ({str(key)[:80]!r})" if key is not None else ""
