# SPDX-License-Identifier: Apache-2.0
"""What is on the pictures, under the label: a landscape, or a pattern of tiles. Needs Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

ART_PIXELS = 1_000_000  # shapes are drawn no larger than this and scaled up: their edges are soft anyway
SMOOTH = 2  # drawn so many times larger, then reduced: Pillow does not smooth edges itself
RIDGES = 4
STEPS = 180  # of a ridge's outline; small pictures need fewer


@dataclass(frozen=True)
class Palette:
    """Sky from top to bottom, the sun, and the ridges from far to near."""

    top: str
    bottom: str
    sun: str
    far: str
    near: str


PALETTES = (
    Palette("#2b3a67", "#f2b5a7", "#ffe8c9", "#8a7ba8", "#1d2547"),  # dusk
    Palette("#8fc1d4", "#f6efdc", "#fffdf2", "#9dbfb0", "#21504f"),  # morning lake
    Palette("#f4c095", "#fbeed6", "#e4572e", "#d9a273", "#5b2e35"),  # desert
    Palette("#1b2b4b", "#6f9bb8", "#f4e9cd", "#5c87a3", "#0f1d33"),  # moonlight
    Palette("#cfe3c4", "#fbf7e4", "#f2c14e", "#a3c191", "#24502f"),  # spring
    Palette("#7d5ba6", "#fbc4ab", "#fff1e0", "#b184b5", "#33204d"),  # heather
    Palette("#b9d6e8", "#fdf3ee", "#ef6f6c", "#9fbcd0", "#2f4858"),  # coast
    Palette("#6f8f72", "#ece7d8", "#f9efd6", "#93ab86", "#1f3524"),  # forest
    Palette("#f7b2bd", "#fdf0d5", "#fffaf5", "#dd9aa8", "#6d2e46"),  # rose
    Palette("#2f6f7a", "#f3d9a4", "#f4a261", "#7fa99b", "#17323d"),  # harvest
)


def paint(width: int, height: int, prompt: str, shapes: Random) -> tuple[Image.Image, Colour]:
    """Paint a picture whose scene and colours come from the prompt; give it with its darkest colour."""
    mood = Random(prompt.encode(errors="replace"))  # repeatable
    palette = mood.choice(PALETTES)
    scene: Callable[[Image.Image, Palette, Random], None] = mood.choice((_landscape, _landscape, _tiles))
    shrink = min(1.0, math.sqrt(ART_PIXELS / (width * height)))
    size = max(1, round(width * shrink)) * SMOOTH, max(1, round(height * shrink)) * SMOOTH
    art = _sky(size, palette)
    scene(art, palette, shapes)
    small = art.reduce(SMOOTH)
    if small.size != (width, height):
        small = small.resize((width, height), Image.Resampling.BICUBIC)
    return small, rgb(palette.near)


def _sky(size: tuple[int, int], palette: Palette) -> Image.Image:
    rows = size[1]
    sky = Image.new("RGB", (1, rows))
    top, bottom = rgb(palette.top), rgb(palette.bottom)
    sky.putdata([mix(top, bottom, min(1.0, y / (rows * 0.62))) for y in range(rows)])
    return sky.resize(size, Image.Resampling.NEAREST)


def _landscape(art: Image.Image, palette: Palette, shapes: Random) -> None:
    """Paint a sun or moon over four ridges."""
    width, height = art.size
    canvas = ImageDraw.Draw(art, "RGBA")
    radius = min(width, height) * shapes.uniform(0.075, 0.125)
    x = width * shapes.choice((shapes.uniform(0.16, 0.38), shapes.uniform(0.62, 0.84)))
    y = height * shapes.uniform(0.16, 0.27)
    for ring, alpha in ((3.1, 16), (2.2, 26), (1.5, 40), (1.0, 255)):
        _disc(canvas, x, y, radius * ring, (*rgb(palette.sun), alpha))
    for ridge in range(RIDGES):
        depth = ridge / (RIDGES - 1)
        colour = mix(rgb(palette.far), rgb(palette.near), depth**1.15)
        canvas.polygon(_ridge(width, height, depth, shapes), fill=colour)


def _ridge(width: int, height: int, depth: float, shapes: Random) -> list[tuple[float, float]]:
    """Outline one ridge: a few slow waves, higher and calmer the further away it is."""
    base = height * (0.40 + 0.30 * depth)
    waves = [
        (height * size * shapes.uniform(0.6, 1.2), shapes.uniform(*turns), shapes.uniform(0, math.tau))
        for size, turns in ((0.060, (0.5, 1.1)), (0.026, (1.4, 2.6)), (0.009, (3.5, 6.0)))
    ]
    steps = min(STEPS, width)
    line = [base] * (steps + 1)
    for high, turns, phase in waves:
        each = math.tau * turns / steps
        line = [y - high * math.sin(each * step + phase) for step, y in enumerate(line)]
    return [(0.0, float(height)), *((width * step / steps, y) for step, y in enumerate(line)), (width, height)]


def _tiles(art: Image.Image, palette: Palette, shapes: Random) -> None:
    """Paint quarter circles, discs and plain squares on a grid."""
    width, height = art.size
    canvas = ImageDraw.Draw(art)
    side = max(width, height) / (5 if max(width, height) < 1.6 * min(width, height) else 7)
    tones = [
        mix(rgb(palette.top), rgb(palette.bottom), 0.55),
        rgb(palette.bottom),
        rgb(palette.far),
        rgb(palette.sun),
        mix(rgb(palette.far), rgb(palette.near), 0.45),
        rgb(palette.near),
    ]
    for row in range(math.ceil(height / side)):
        for column in range(math.ceil(width / side)):
            ground, figure = shapes.sample(tones, 2)
            _tile(canvas, (round(column * side), round(row * side)), round(side), ground, figure, shapes)


def _tile(
    canvas: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    side: int,
    ground: Colour,
    figure: Colour,
    shapes: Random,
) -> None:
    x, y = corner
    canvas.rectangle((x, y, x + side, y + side), fill=ground)
    kind = shapes.choice(("quarter", "quarter", "leaf", "disc", "half", "plain"))
    turn = shapes.randrange(4)
    if kind == "disc":
        _disc(canvas, x + side / 2, y + side / 2, side * 0.32, figure)
    elif kind == "half":
        start = 90 * turn
        canvas.pieslice((x, y, x + side, y + side), start, start + 180, fill=figure)
    elif kind in ("quarter", "leaf"):
        _quarter(canvas, corner, side, turn, figure)
        if kind == "leaf":
            _quarter(canvas, corner, side // 2, turn, mix(figure, ground, 0.55), outer=side)


def _quarter(
    canvas: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    radius: int,
    turn: int,
    colour: Colour,
    outer: int | None = None,
) -> None:
    """Draw a quarter of a disc around one corner of a tile."""
    side = radius if outer is None else outer
    x = corner[0] + (side if turn in (1, 2) else 0)
    y = corner[1] + (side if turn in (2, 3) else 0)
    canvas.pieslice((x - radius, y - radius, x + radius, y + radius), 90 * turn, 90 * turn + 90, fill=colour)


def _disc(canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def rgb(colour: str) -> Colour:
    """Read `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Go from one colour to another."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
