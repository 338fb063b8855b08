# SPDX-License-Identifier: Apache-2.0
"""From a brief to the items of a batch operator; the format is described in the package."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_runflow.brief.reading import read_brief
from airflow_provider_runflow.brief.rules import Axis, Rule, read_axes, read_excludes, read_overrides
from airflow_provider_runflow.brief.text import Path, fill, fill_text, hint, nearest, paths_in
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing.names import slug

MAX_ITEMS = 20_000
STRUCTURE = ("axes", "exclude", "overrides")
# What a single operator takes for one request; a test compares this with the operators.
PARAMETERS = (
    "alt_text",
    "aspect_ratio",
    "background",
    "height",
    "image_size",
    "input",
    "mask",
    "model",
    "num_images",
    "output_format",
    "prompt",
    "quality",
    "raw",
    "references",
    "seed",
    "variation",
    "width",
)
# Parameters of the task as a whole, which people would look for in a brief.
TASK_PARAMETERS = ("destination", "filename_pattern", "item_key", "metadata", "reuse_within", "sidecars")
# A value of an axis that has one of these means it, and without a placeholder it would go nowhere.
_SURELY_MEANT = ("alt_text", "image_size", "num_images", "output_format", "quality", "references", "variation")


def expand_brief(
    brief: Mapping[str, Any] | str | os.PathLike[str],
    axes: Mapping[str, Sequence[Any]] | None = None,
    *,
    exclude: Sequence[Mapping[str, Any]] = (),
    overrides: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """
    Make the items of a batch operator: the cross product of the axes, with exceptions. No network, no Airflow.

    >>> expand_brief({"prompt": "A cat. {locale}"}, {"locale": ["en"]})
    [{'key': 'en', 'labels': {'locale': 'en'}, 'alt_text': None, 'prompt': 'A cat. en'}]

    :param brief: a mapping, or the path of a YAML file; the format is described in this package.
    :param axes: win over the brief's axes of the same name. An id that the brief knows is the brief's value.
    :param exclude: added to the brief's: matches of labels that are left out.
    :param overrides: added after the brief's: ``{"match": {...}, "set": {...}}``, later wins.
    :return: items in the order of the axes, the last one fastest.
    :raises InvalidRequestError: anything is wrong with it; naming where, what, and the nearest right name.
    """
    return list(_Expansion.read(read_brief(brief), axes, exclude, overrides).items())


@dataclass
class _Expansion:
    """A brief that has been read, about to become items."""

    parameters: dict[str, Any]
    fields: dict[str, Any]
    axes: dict[str, Axis]
    excludes: list[Rule]
    overrides: list[Rule]

    @classmethod
    def read(cls, brief: dict[str, Any], axes: Any, exclude: Any, overrides: Any) -> _Expansion:
        """Sort out what stands in the brief and what came with the call, and check what is wrong for every item."""
        found, ids = read_axes(brief.get("axes"), axes)
        parameters = {name: value for name, value in brief.items() if name in PARAMETERS}
        fields = {name: value for name, value in brief.items() if name not in (*PARAMETERS, *STRUCTURE)}
        expansion = cls(
            parameters,
            fields,
            found,
            [*read_excludes(brief.get("exclude"), ids, "brief: exclude"), *read_excludes(exclude, ids, "exclude")],
            [
                *read_overrides(brief.get("overrides"), ids, "brief: overrides"),
                *read_overrides(overrides, ids, "overrides"),
            ],
        )
        expansion.check()
        return expansion

    def check(self) -> None:
        """Check names and the number of items."""
        combinations = math.prod(len(axis) for axis in self.axes.values())
        if combinations > MAX_ITEMS:
            sizes = " x ".join(f"{name} {len(axis)}" for name, axis in self.axes.items())
            raise InvalidRequestError(
                f"axes: {sizes} make {combinations:,} items, and {MAX_ITEMS:,} is the limit. Split the brief."
            )
        for axis in self.axes:
            if axis in self.parameters or axis in self.fields:
                raise InvalidRequestError(f"brief: {axis}: is an axis, too; give one of them another name.")
        used = self._used()
        self._check_fields(used)
        for rule in self.overrides:
            for path in rule.sets:
                self._check_set(rule, path, used)

    def _used(self) -> set[Path]:
        """Every placeholder, of the brief's own parameters and of those that overrides bring."""
        used = set().union(*(paths_in(value, f"brief: {name}") for name, value in self.parameters.items()))
        for rule in self.overrides:
            for path, value in rule.sets.items():
                if path[0] in PARAMETERS:
                    used |= paths_in(value, f"{rule.where}: set: {'.'.join(path)}")
        return used

    def _check_fields(self, used: set[Path]) -> None:
        roots = {path[0] for path in used}
        for name in self.fields:
            if name in roots:
                continue
            if name in TASK_PARAMETERS:
                raise InvalidRequestError(
                    f"brief: {name}: is a parameter of the operator, not of an item; give it there."
                )
            # A brief may hold what only people read, but "qualty: low" would be paid at high quality.
            if near := nearest(name, (*PARAMETERS, *STRUCTURE), cutoff=0.75):
                raise InvalidRequestError(
                    f"brief: {name}: no placeholder uses it, and it is no parameter; did you mean {near}?"
                )
        for axis, values in self.axes.items():
            for text, value in values.items():
                for name in value.keys() & set(_SURELY_MEANT) - {
                    path[1] for path in used if path[0] == axis and path[1:]
                }:
                    raise InvalidRequestError(
                        f"axes: {axis}: {text} has {name}, which nothing uses; write {name}: "
                        f"'{{{axis}.{name}}}' at the top of the brief."
                    )

    def _check_set(self, rule: Rule, path: Path, used: set[Path]) -> None:
        name = ".".join(path)
        if path[0] in self.axes and (len(path) == 1 or path[1] == "id" or path[0] in PARAMETERS):
            raise InvalidRequestError(f"{rule.where}: set: {name}: labels cannot be set, since they name the item.")
        if path[0] in PARAMETERS or any(path[: len(other)] == other[: len(path)] for other in used):
            return
        if path[0] in TASK_PARAMETERS:
            raise InvalidRequestError(f"{rule.where}: set: {name}: is a parameter of the operator, not of an item.")
        known = (*PARAMETERS, *(".".join(other) for other in used))
        raise InvalidRequestError(
            f"{rule.where}: set: {name}: is no parameter, and no placeholder uses it; {hint(name, known)}"
        )

    def items(self) -> Iterator[dict[str, Any]]:
        """Make the items."""
        taken: dict[str, dict[str, str]] = {}
        for ids in itertools.product(*self.axes.values()):
            labels = dict(zip(self.axes, ids, strict=True))
            if any(rule.fits(labels) for rule in self.excludes):
                continue
            key = slug("_".join(slug(value) for value in ids))
            if key in taken:
                raise InvalidRequestError(
                    f"axes: {_shown(taken[key])} and {_shown(labels)} have the same key {key!r}; "
                    "change an id, so that their pictures have names of their own."
                )
            taken[key] = labels
            yield self._item(key, labels)
        if not taken:
            raise InvalidRequestError("exclude: leaves no item at all.")

    def _item(self, key: str, labels: dict[str, str]) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            **self.parameters,
            **{axis: labels[axis] for axis in labels if axis in PARAMETERS},
        }
        values: dict[str, Any] = {**self.fields, **{axis: self.axes[axis][labels[axis]] for axis in labels}}
        filled_by_axis = {axis for axis in labels if axis in PARAMETERS}
        for rule in self.overrides:
            if rule.fits(labels):
                for path, value in rule.sets.items():
                    if path[0] in PARAMETERS:
                        parameters = _with(parameters, path, value, rule.where)
                    else:
                        values = _with(values, path, value, rule.where)
        item: dict[str, Any] = {"key": key, "labels": labels, "alt_text": None}
        for name, value in parameters.items():
            where = f"{name} of item {key!r}"
            if value is None:
                continue
            if name in filled_by_axis:
                item[name] = value
            elif name in ("prompt", "alt_text"):
                item[name] = fill_text(value, values, where)
            else:
                item[name] = fill(value, values, where)
        if "prompt" not in item and "input" not in item:
            raise InvalidRequestError(
                f"prompt of item {key!r}: is missing; a brief has a prompt (or an input, for any model)."
            )
        return item


def _with(mapping: dict[str, Any], path: Path, value: Any, where: str) -> dict[str, Any]:
    """Return a copy in which ``path`` has another value; what it shares with other items stays as it is."""
    name, rest = path[0], path[1:]
    if not rest:
        return {**mapping, name: value}
    inside = mapping.get(name)
    if inside is not None and not isinstance(inside, dict):
        raise InvalidRequestError(f"{where}: set: {'.'.join(path)}: {name} is {inside!r}, which has no fields.")
    return {**mapping, name: _with(inside or {}, rest, value, where)}


def _shown(labels: Mapping[str, str]) -> str:
    return " ".join(f"{axis}={value!r}" for axis, value in labels.items())
