# SPDX-License-Identifier: Apache-2.0
"""Kinds of model inputs, and the judgement over a request body in the words that FastAPI would use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .wire import ApiError, JsonDict

MAX_CLIENT_REF = 255
MAX_CALLBACK_URL = 2048
MEDIA_URL = re.compile(r"https?://[^/\s]|data:[\w.+-]+/|runflow://assets/[\w-]")

Problem = tuple[tuple[str, ...], str, str]
"""Where below the field, message, type."""


class Field(Protocol):
    """One declared input of a model."""

    @property
    def required(self) -> bool:
        """Whether it has to be given."""

    @property
    def default(self) -> Any:
        """What the model takes when it is not given."""

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""


@dataclass(frozen=True)
class Text:
    """A string within length limits."""

    shortest: int
    longest: int
    required: bool = False
    default: str | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if not isinstance(value, str):
            yield (), "Input should be a valid string", "string_type"
        elif len(value) < self.shortest:
            yield (), f"String should have at least {self.shortest} characters", "string_too_short"
        elif len(value) > self.longest:
            yield (), f"String should have at most {self.longest} characters", "string_too_long"


@dataclass(frozen=True)
class Whole:
    """An integer, within limits where there are some."""

    low: int | None = None
    high: int | None = None
    required: bool = False
    default: int | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if isinstance(value, bool) or not isinstance(value, int):
            yield (), "Input should be a valid integer", "int_type"
        elif self.low is not None and value < self.low:
            yield (), f"Input should be greater than or equal to {self.low}", "greater_than_equal"
        elif self.high is not None and value > self.high:
            yield (), f"Input should be less than or equal to {self.high}", "less_than_equal"


@dataclass(frozen=True)
class Choice:
    """One of a few strings."""

    options: tuple[str, ...]
    required: bool = False
    default: str | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if not isinstance(value, str) or value not in self.options:
            yield (), f"Input should be {_either(self.options)}", "literal_error"


@dataclass(frozen=True)
class Flag:
    """True or false; `allowed=False` for a switch that exists but is not emulated."""

    allowed: bool = True
    required: bool = False
    default: bool | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if not isinstance(value, bool):
            yield (), "Input should be a valid boolean", "bool_type"
        elif value and not self.allowed:
            # choice: the shape of a sync answer is not documented, and its picture would be kept nowhere
            yield (), "true is not emulated", "not_emulated"


@dataclass(frozen=True)
class Link:
    """The address of a picture to work from: the web, inline, or an asset."""

    required: bool = False
    default: str | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if not isinstance(value, str):
            yield (), "Input should be a valid string", "string_type"
        elif not MEDIA_URL.match(value):
            scheme = value.partition(":")[0] if ":" in value else ""
            yield (), f"media URL must use HTTP(S), data URI or runflow://assets/, got '{scheme}'", "media_url"


@dataclass(frozen=True)
class Links:
    """A list of such addresses."""

    required: bool = False
    default: None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if not isinstance(value, list):
            yield (), "Input should be a valid list", "list_type"
        elif not value:
            # choice: neither bound is documented; no picture at all leaves nothing to edit
            yield (), "List should have at least 1 item after validation, not 0", "too_short"
        else:
            for position, item in enumerate(value):
                for below, msg, kind in Link().problems(item):
                    yield (str(position), *below), msg, kind


@dataclass(frozen=True)
class ImageSize:
    """A preset by name, or `{width, height}` within the limits of the model."""

    presets: tuple[str, ...]
    multiple_of: int
    max_edge: int
    max_aspect: int
    pixels: tuple[int, int]
    required: bool = False
    default: str | None = None

    def problems(self, value: Any) -> Iterator[Problem]:
        """Say what is wrong with a value."""
        if isinstance(value, str):
            # choice: "1088x1360" is refused; the reference knows presets and {width, height} only
            if value not in self.presets:
                yield (), f"Input should be {_either(self.presets)} or an object", "literal_error"
        elif not isinstance(value, Mapping):
            yield (), "Input should be a valid string or object", "type_error"
        else:
            yield from self._box_problems(value)

    def _box_problems(self, box: Mapping[str, Any]) -> Iterator[Problem]:
        edges = []
        for name in ("width", "height"):
            edge = box.get(name)
            if edge is None:
                yield (name,), "Field required", "missing"
            elif isinstance(edge, bool) or not isinstance(edge, int):
                yield (name,), "Input should be a valid integer", "int_type"
            elif edge % self.multiple_of or edge < self.multiple_of:
                yield (name,), f"Input should be a multiple of {self.multiple_of}", "multiple_of"
            elif edge > self.max_edge:
                yield (name,), f"Input should be less than or equal to {self.max_edge}", "less_than_equal"
            else:
                edges.append(edge)
        if len(edges) == 2:
            yield from self._ratio_problems(*edges)

    def _ratio_problems(self, width: int, height: int) -> Iterator[Problem]:
        low, high = self.pixels
        if max(width, height) > self.max_aspect * min(width, height):
            yield (), f"The aspect ratio should be at most {self.max_aspect}:1", "aspect_ratio"
        if not low <= width * height <= high:
            yield (), f"The image should have {low} to {high} pixels, not {width * height}", "pixels"


def check_create_body(body: Any, inputs: Mapping[str, Field], max_images: int | None) -> JsonDict:
    """Judge the body of a create request; give it back when all is well."""
    if not isinstance(body, dict):
        raise ApiError.invalid(["body"], "Input should be a valid dictionary", "dict_type")
    problems = [*_envelope_problems(body)]
    given = body.get("input")
    if "input" not in body:
        problems.append((("input",), "Field required", "missing"))
    elif not isinstance(given, dict):
        problems.append((("input",), "Input should be a valid dictionary", "dict_type"))
    else:
        problems.extend(_input_problems(given, inputs, max_images))
    if problems:
        raise ApiError.invalid_fields(
            [{"loc": ["body", *where], "msg": msg, "type": kind} for where, msg, kind in problems]
        )
    return body


def _input_problems(given: JsonDict, inputs: Mapping[str, Field], max_images: int | None) -> Iterator[Problem]:
    for name, declared in inputs.items():
        field = declared
        if name == "num_images" and max_images is not None:
            field = Whole(1, max_images, default=1)
        if given.get(name) is None:
            if field.required:
                yield ("input", name), "Field required", "missing"
            continue
        for below, msg, kind in field.problems(given[name]):
            yield ("input", name, *below), msg, kind
    for name in given:
        if name not in inputs:
            # choice: an undeclared input is refused, because it is more often a typing error than a wish
            yield ("input", name), "Extra inputs are not permitted", "extra_forbidden"


def _envelope_problems(body: JsonDict) -> Iterator[Problem]:
    for name, longest in (("client_ref", MAX_CLIENT_REF), ("callback_url", MAX_CALLBACK_URL)):
        if body.get(name) is not None:
            for _, msg, kind in Text(0, longest).problems(body[name]):
                yield (name,), msg, kind
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        yield ("metadata",), "Input should be a valid dictionary", "dict_type"


def _either(options: tuple[str, ...]) -> str:
    quoted = [f"'{option}'" for option in options]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
