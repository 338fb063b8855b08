# SPDX-License-Identifier: Apache-2.0
"""Texts with placeholders: parsed once, filled in by look-up only (``str.format`` would reach into attributes)."""

from __future__ import annotations

import copy
import difflib
import string
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_runflow.exceptions import InvalidRequestError

Path = tuple[str, ...]
# Literal text, and the placeholder that follows it.
Parts = tuple[tuple[str, Path | None], ...]


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that was probably meant, if one is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=cutoff)), None)


def hint(name: str, known: Iterable[str]) -> str:
    """Name what was probably meant, or what there is."""
    names = sorted(set(known))
    if near := nearest(name, names):
        return f"did you mean {near}?"
    return f"there is {', '.join(names[:20])}" + (", …" if len(names) > 20 else "") if names else "there is nothing"


def paths_in(value: Any, where: str) -> set[Path]:
    """
    Return the placeholders of all texts in ``value``.

    :raises InvalidRequestError: one is no plain look-up.
    """
    if isinstance(value, Mapping):
        return set().union(*(paths_in(item, where) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(paths_in(item, where) for item in value))
    if isinstance(value, str):
        return {path for _, path in _parse(value, where) if path is not None}
    return set()


def fill(value: Any, values: Mapping[str, Any], where: str) -> Any:
    """
    Put values in the place of placeholders, at every depth.

    :param value: a parameter's value; a text that is one placeholder becomes the very value that it names.
    :param where: the parameter and the item, for errors.
    :raises InvalidRequestError: a value is missing, or no text.
    """
    if isinstance(value, Mapping):
        return {name: fill(item, values, where) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values, where) for item in value]
    if not isinstance(value, str):
        return value
    parts = _parse(value, where)
    if len(parts) == 1 and parts[0][0] == "" and parts[0][1] is not None:
        found = _look_up(values, parts[0][1], where)
        return found["id"] if _has_id(found) else copy.deepcopy(found)
    return fill_text(value, values, where)


def fill_text(text: Any, values: Mapping[str, Any], where: str) -> str:
    """Put values in the place of placeholders; the result is a text, whatever they are."""
    if not isinstance(text, str):
        quotes = "; a text that begins with a placeholder stands in quotes" if isinstance(text, Mapping) else ""
        raise InvalidRequestError(f"{where}: must be a text, not {text!r}{quotes}.")
    return "".join(
        literal if path is None else literal + _as_text(_look_up(values, path, where), path, where)
        for literal, path in _parse(text, where)
    )


def _look_up(values: Mapping[str, Any], path: Path, where: str) -> Any:
    found: Any = values
    for depth, name in enumerate(path):
        if not isinstance(found, Mapping):
            raise _wrong(path, where, f"{'.'.join(path[:depth])} is {found!r}, which has no fields")
        if name not in found:
            inside = f" in {'.'.join(path[:depth])}" if depth else ""
            raise _wrong(path, where, f"{name} is missing{inside}; {hint(name, found)}")
        found = found[name]
    if found is None:
        raise _wrong(path, where, "it is empty (null)")
    return found


def _as_text(value: Any, path: Path, where: str) -> str:
    if _has_id(value):
        value = value["id"]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        kind = "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "true or false"
        fields = f" with {', '.join(value)}" if isinstance(value, Mapping) else ""
        raise _wrong(path, where, f"it is {kind}{fields}, not a text or number")
    return str(value)


def _has_id(value: Any) -> bool:
    return isinstance(value, Mapping) and "id" in value


def _wrong(path: Path, where: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: {{{'.'.join(path)}}}: {what}.")


def _parse(text: str, where: str) -> Parts:
    parts, problem = _split(text)
    if problem:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        raise InvalidRequestError(
            f"{where}: {shown!r}: {problem}. A brace that is not a placeholder's is written twice."
        )
    return parts


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[Parts, str | None]:
    """Split a text, or say what is wrong with it: the same text stands in thousands of items."""
    try:
        found = list(string.Formatter().parse(text))
    except ValueError as error:
        return (), str(error)
    parts: list[tuple[str, Path | None]] = []
    for literal, field, spec, conversion in found:
        if field is None:
            parts.append((literal, None))
            continue
        path = tuple(field.split("."))
        if spec or conversion:
            return (), f"{{{field}}} takes no format or conversion; write just {{{field}}}"
        if not all(path) or path[0].isdigit() or any(char in field for char in "[]{}"):
            return (), f"{{{field}}} is no placeholder; it takes a name, or names with dots between them"
        if any(name != name.strip() or name.startswith("__") for name in path):
            return (), f"{{{field}}} is no placeholder; it takes a name, or names with dots between them"
        parts.append((literal, path))
    return tuple(parts), None
