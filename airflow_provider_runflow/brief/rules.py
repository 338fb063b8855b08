# SPDX-License-Identifier: Apache-2.0
"""The axes of a brief, and the rules that leave combinations out or change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_runflow.brief.reading import plain
from airflow_provider_runflow.brief.text import Path, hint
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing.names import PLACEHOLDERS

_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Ids and their values, in order.
Axis = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Rule:
    """
    One entry of ``exclude`` or ``overrides``.

    :param match: the ids that fit, by axis.
    :param sets: what it changes, by dotted name; nothing for ``exclude``.
    :param where: where it stands, for errors.
    """

    match: Mapping[str, frozenset[str]]
    sets: Mapping[Path, Any]
    where: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether it is about the item with these labels."""
        return all(labels[axis] in ids for axis, ids in self.match.items())


def read_axes(of_brief: Any, of_caller: Any) -> tuple[dict[str, Axis], dict[str, set[str]]]:
    """
    Read the axes.

    :param of_brief: as they stand in the brief.
    :param of_caller: of the call; an axis of these wins. An id that the brief knows is the brief's value, so that a
        caller can choose among its values.
    :return: the axes, and by axis every id that rules may name.
    :raises InvalidRequestError: there are none, or one is not well-formed.
    """
    own = {name: _axis(name, values, {}) for name, values in _named(of_brief, "axes").items()}
    chosen = {name: _axis(name, values, own.get(name, {})) for name, values in _named(of_caller, "axes").items()}
    axes = {**own, **chosen}
    if not axes:
        raise InvalidRequestError("axes: a brief needs at least one, such as locale: [en-GB, de-DE].")
    return axes, {name: {*own.get(name, ()), *axis} for name, axis in axes.items()}


def _named(axes: Any, where: str) -> dict[str, Any]:
    if axes is None:
        return {}
    if not isinstance(axes, Mapping):
        raise InvalidRequestError(f"{where}={axes!r}: must map names to lists of values.")
    return dict(axes)


def _axis(name: Any, values: Any, known: Axis) -> Axis:
    if not isinstance(name, str) or not _AXIS.fullmatch(name):
        raise InvalidRequestError(f"axes: {name!r}: the name of an axis has letters, digits and _, no digit in front.")
    if name in (*PLACEHOLDERS, "labels", "id"):
        raise InvalidRequestError(f"axes: {name}: the name is taken; a file name's {{{name}}} is something else.")
    if not isinstance(values, (list, tuple)):
        raise InvalidRequestError(f"axes: {name}={values!r}: must be a list of values.")
    if not values:
        raise InvalidRequestError(f"axes: {name}: is empty, so that there would be no item.")
    axis: Axis = {}
    for value in plain(values, f"axes: {name}"):
        text = _id(value, f"axes: {name}")
        if text in axis:
            raise InvalidRequestError(f"axes: {name}: {text!r} is there twice.")
        as_known = known.get(text) if not isinstance(value, dict) else None
        axis[text] = as_known or {**(value if isinstance(value, dict) else {}), "id": text}
    return axis


def _id(value: Any, where: str) -> str:
    if isinstance(value, dict):
        if "id" not in value:
            raise InvalidRequestError(f"{where}: {value!r} has no id.")
        value = value["id"]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        shown = json.dumps(value, ensure_ascii=False)
        raise InvalidRequestError(
            f"{where}: {shown} must be a text, a number, or a mapping with an id; a text such as 'no' stands in quotes."
        )
    if not str(value).strip():
        raise InvalidRequestError(f"{where}: an id must not be empty.")
    return str(value)


def read_excludes(rules: Any, ids: Mapping[str, Iterable[str]], where: str) -> list[Rule]:
    """
    Read label matches.

    :param ids: by axis, every id that may be named.
    :raises InvalidRequestError: one names an axis or a value that there is not.
    """
    return [Rule(_match(rule, ids, at), {}, at) for rule, at in _numbered(rules, where)]


def read_overrides(rules: Any, ids: Mapping[str, Iterable[str]], where: str) -> list[Rule]:
    """
    Read changes: ``{"match": {...}, "set": {...}}``.

    :param ids: by axis, every id that may be named.
    :raises InvalidRequestError: one is not well-formed, or names an axis or a value that there is not.
    """
    read = []
    for rule, at in _numbered(rules, where):
        if set(rule) != {"match", "set"}:
            raise InvalidRequestError(
                f"{at}: must be {{match: ..., set: ...}}, but has {', '.join(rule) or 'nothing'}."
            )
        changes = rule["set"]
        if not isinstance(changes, dict) or not changes:
            raise InvalidRequestError(f"{at}: set={changes!r}: must map names to values.")
        sets = {tuple(name.split(".")): value for name, value in changes.items()}
        if not all(all(path) for path in sets):
            raise InvalidRequestError(f"{at}: set: a name is parts with dots between them, not {', '.join(changes)}.")
        read.append(Rule(_match(rule["match"], ids, at), sets, at))
    return read


def _numbered(rules: Any, where: str) -> list[tuple[dict[str, Any], str]]:
    if rules is None:
        return []
    if isinstance(rules, (str, Mapping)) or not isinstance(rules, Sequence):
        raise InvalidRequestError(f"{where}={rules!r}: must be a list.")
    numbered = []
    for number, rule in enumerate(plain(list(rules), where)):
        at = f"{where}[{number}]"
        if not isinstance(rule, dict):
            raise InvalidRequestError(f"{at}: must be a mapping, not {rule!r}.")
        numbered.append((rule, at))
    return numbered


def _match(match: Any, ids: Mapping[str, Iterable[str]], where: str) -> dict[str, frozenset[str]]:
    if not isinstance(match, dict) or not match:
        raise InvalidRequestError(f"{where}: must name at least one axis and its value, not {match!r}.")
    fitting = {}
    for axis, wanted in match.items():
        if axis not in ids:
            raise InvalidRequestError(f"{where}: {axis}: no such axis; {hint(axis, ids)}")
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values:
            raise InvalidRequestError(f"{where}: {axis}: the list is empty, so that it matches nothing.")
        texts = [_id(value, f"{where}: {axis}") for value in values]
        for text in texts:
            if text not in set(ids[axis]):
                raise InvalidRequestError(f"{where}: {axis}={text!r}: no such value; {hint(text, ids[axis])}")
        fitting[axis] = frozenset(texts)
    return fitting
