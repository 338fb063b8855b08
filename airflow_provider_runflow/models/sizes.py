# SPDX-License-Identifier: Apache-2.0
"""Picture sizes: presets, explicit pixels, and the nearest legal size to a wrong one."""

from __future__ import annotations

import ast
import contextlib
import math
import re
from dataclasses import dataclass
from typing import Any

# Anything above is no size in pixels, and the search for the nearest legal one needs a ratio that a float can hold.
LONGEST_EDGE = 999_999


@dataclass(frozen=True)
class SizeRule:
    """
    Which explicit sizes a model takes.

    :param multiple: both edges must be multiples of this many pixels.
    :param max_edge: longest edge in pixels.
    :param max_ratio: longest edge over shortest edge, at most.
    :param min_pixels: width times height, at least.
    :param max_pixels: width times height, at most.
    """

    multiple: int
    max_edge: int
    max_ratio: int
    min_pixels: int
    max_pixels: int

    def broken(self, width: int, height: int) -> str | None:
        """Say which rule a size breaks, or ``None``."""
        if width <= 0 or height <= 0:
            return "both edges must be more than 0 pixels"
        if width % self.multiple or height % self.multiple:
            return f"both edges must be multiples of {self.multiple}"
        if max(width, height) > self.max_edge:
            return f"an edge may have at most {self.max_edge} pixels"
        if max(width, height) > self.max_ratio * min(width, height):
            return f"the aspect ratio may be at most {self.max_ratio}:1"
        if not self.min_pixels <= width * height <= self.max_pixels:
            return f"width x height must be {self.min_pixels:,} to {self.max_pixels:,} pixels"
        return None

    def nearest(self, width: int, height: int, *, at_least: bool = False) -> tuple[int, int]:
        """
        Find a legal size close by, whose aspect ratio differs as little as that allows.

        :param at_least: no edge shorter than asked for, where the limits allow that.
        :return: width and height in pixels.
        """
        ratio = min(max(width / height, 1 / self.max_ratio), self.max_ratio)
        pixels = min(max(width * height, self.min_pixels), self.max_pixels)
        aim = math.sqrt(pixels * ratio)
        if at_least:
            aim = min(max(aim, width, height * ratio), math.sqrt(self.max_pixels * ratio))
        aim = min(aim, self.max_edge, self.max_edge * ratio)
        first = int(aim) // self.multiple
        legal = [
            (w, h)
            for column in range(max(1, first - 8), first + 10)
            for row in range(max(1, int(column / ratio) - 2), int(column / ratio) + 4)
            if self.broken(w := column * self.multiple, h := row * self.multiple) is None
        ]

        def distance(size: tuple[int, int]) -> float:
            w, h = size
            return 10 * abs(math.log(w / h / ratio)) + abs(math.log(w / aim))

        enough = [size for size in legal if size[0] >= width and size[1] >= height] if at_least else []
        return min(enough or legal, key=distance)


def parse_size(value: Any) -> tuple[int, int] | None:
    """
    Read explicit pixels from ``"1088x1360"`` or ``{"width": 1088, "height": 1360}``.

    :return: width and height, or ``None`` when the value has neither form.
    """
    if isinstance(value, str) and value.strip().startswith("{"):
        # A template that gives an object renders to its text.
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = ast.literal_eval(value.strip())
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", value)
        return (int(match[1]), int(match[2])) if match else None
    if isinstance(value, dict) and set(value) == {"width", "height"}:
        edges = (value["width"], value["height"])
        if all(isinstance(edge, int) and not isinstance(edge, bool) and abs(edge) <= LONGEST_EDGE for edge in edges):
            return edges
        if all(isinstance(edge, str) and re.fullmatch(r"\d{1,6}", edge) for edge in edges):
            return int(edges[0]), int(edges[1])
    return None


def size_text(value: Any) -> Any:
    """Write explicit pixels as ``"1024x1536"``, the one form that some models take; anything else stays as it is."""
    size = parse_size(value)
    return value if size is None else f"{size[0]}x{size[1]}"


def check_listed_size(value: Any, sizes: tuple[str, ...]) -> str:
    """
    Turn a size as users write it into the one that is sent, for a model that takes a few sizes only.

    :param value: ``"WIDTHxHEIGHT"``, ``{"width": ..., "height": ...}``, or a word among ``sizes``.
    :param sizes: all that the model takes.
    :raises ValueError: naming them, and the one whose aspect ratio is nearest.
    """
    text = size_text(value)
    if text in sizes:
        return str(text)
    rule = f"must be {', '.join(sizes[:-1])} or {sizes[-1]}"
    size = parse_size(value)
    if size is None or min(size) <= 0:
        raise ValueError(rule)
    near = nearest_listed(*size, sizes)
    raise ValueError(f"{rule}; the nearest in aspect ratio is {near[0]}x{near[1]}")


def nearest_listed(width: int, height: int, sizes: tuple[str, ...]) -> tuple[int, int]:
    """Return the one of a few sizes whose aspect ratio is nearest; words among them (``auto``) do not count."""

    def distance(size: tuple[int, int]) -> float:
        return abs(math.log(width / height) - math.log(size[0] / size[1]))

    return min(filter(None, map(parse_size, sizes)), key=distance)


def check_size(value: Any, presets: tuple[str, ...], rule: SizeRule) -> str | dict[str, int]:
    """
    Turn a size as users write it into the one that is sent.

    :param value: a preset, ``"WIDTHxHEIGHT"`` or ``{"width": ..., "height": ...}``.
    :raises ValueError: naming the rule, and the nearest legal size or preset.
    """
    if isinstance(value, str) and value in presets:
        return value
    size = parse_size(value)
    if size is None:
        raise ValueError(f"must be a preset ({', '.join(presets)}) or WIDTHxHEIGHT in pixels, such as '1088x1360'")
    width, height = size
    broken = rule.broken(width, height)
    if broken is None:
        return {"width": width, "height": height}
    if width <= 0 or height <= 0:
        raise ValueError(broken)
    near = rule.nearest(width, height)
    same = " (the same aspect ratio)" if near[0] * height == near[1] * width else ""
    raise ValueError(f"{broken}; the nearest legal size is {near[0]}x{near[1]}{same}")
