# SPDX-License-Identifier: Apache-2.0
"""A brief as plain data: from a mapping, or from YAML in which nothing is read as something that nobody wrote."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1024 * 1024
# Aliases make few lines of YAML into any number of values: what counts is how many there are when written out.
MAX_VALUES = 500_000
MAX_DEPTH = 20

# The core schema of YAML 1.2. PyYAML's own is 1.1, where the locale `no` is false, the ratio `4:5` is 245 and the
# article number `0123` is 83.
_SCALARS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
)


def read_brief(brief: Any) -> dict[str, Any]:
    """
    Return a brief as plain data of our own.

    :param brief: a mapping, or the path of a YAML file.
    :raises InvalidRequestError: it cannot be read, or holds what is no plain data.
    """
    if isinstance(brief, Mapping):
        return dict(plain(brief, "brief"))
    if not isinstance(brief, (str, os.PathLike)):
        raise InvalidRequestError(f"brief={brief!r}: must be a mapping or the path of a YAML file.")
    path = Path(brief)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidRequestError(
            f"brief={str(brief)!r}: cannot be read ({why}). A file beside the DAG is Path(__file__).with_name(...)."
        ) from None
    if len(data) > MAX_BYTES:
        raise InvalidRequestError(f"brief={path.name!r}: is larger than {MAX_BYTES:,} bytes.")
    read = parse_yaml(data, path.name)
    if not isinstance(read, Mapping):
        raise InvalidRequestError(f"brief={path.name!r}: must hold a mapping, not {_kind(read)}.")
    return dict(plain(read, path.name))


def plain(value: Any, where: str) -> Any:
    """
    Return a copy of JSON-like data, written out in full.

    :param where: where it stands, for errors.
    :raises InvalidRequestError: for anything that is no text, number, true, false, null, list or mapping of texts; and
        for more of it than a person writes.
    """
    left = [MAX_VALUES]

    def copy(value: Any, path: str, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > MAX_DEPTH:
            rule = f"{MAX_VALUES:,} values" if left[0] < 0 else f"{MAX_DEPTH} levels"
            raise InvalidRequestError(f"{where}: holds more than {rule}, aliases written out.")
        if value is None or isinstance(value, (str, bool, int)):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, Mapping):
            for name in value:
                if not isinstance(name, str):
                    raise InvalidRequestError(f"{path}: the name {name!r} must be a text; put it in quotes.")
            return {name: copy(item, f"{path}: {name}", depth + 1) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [copy(item, path, depth + 1) for item in value]
        raise InvalidRequestError(
            f"{path}: {str(value)[:80]} is {_kind(value)}; if it is meant as text, put it in quotes."
        )

    return copy(value, where, 0)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def parse_yaml(data: bytes, name: str) -> Any:
    import yaml

    try:
        return yaml.load(data, Loader=_loader())  # noqa: S506 - a SafeLoader, made stricter
    except RecursionError:
        raise InvalidRequestError(f"brief={name!r}: is nested too deeply.") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        hint = " A text that begins with a placeholder stands in quotes." if "expected" in problem else ""
        raise InvalidRequestError(f"brief={name!r}: {line}{problem}.{hint}") from None


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads plain scalars as YAML 1.2 does; a name that is there twice is an error."""

        yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own form

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                problem = None
                if key.tag == "tag:yaml.org,2002:merge":
                    problem = "merge keys (<<) are not possible in a brief"
                elif not isinstance(key, yaml.ScalarNode):
                    problem = "a name must be a text, and a text that begins with a placeholder stands in quotes"
                elif key.value in seen:
                    problem = f"{key.value!r} is there twice"
                if problem:
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    for tag, pattern, first in _SCALARS:
        first_letters = [letter if letter != "\0" else "" for letter in first]
        Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), first_letters)
    return Loader
