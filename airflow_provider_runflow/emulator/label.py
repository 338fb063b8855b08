# SPDX-License-Identifier: Apache-2.0
"""The label on a picture: what was asked for, who made it, and which run and picture it is. Needs Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from . import accents

if TYPE_CHECKING:
    from .pictures import PictureSpec

Font = ImageFont.FreeTypeFont
PAPER = (253, 251, 246)
SMALLEST_LABEL = 220  # below this edge, only the number of the run fits
PROMPT_LINES = 6
PROMPT_CHARACTERS = 600  # more would not fit anyway, and wrapping 32,000 characters takes time
LEADING = 1.28
TYPE_SIZES = (0.062, 0.052, 0.044, 0.037, 0.031, 0.026)
LARGEST_TYPE_LINES = 4

# for scripts that Pillow's own font cannot write at all: the first one installed that has all the characters
OTHER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "Arial Unicode.ttf",
    "msgothic.ttc",
)


@dataclass(frozen=True)
class Setting:
    """A prompt set in type."""

    font: Font
    lines: list[str]

    @property
    def leading(self) -> float:
        """From one baseline to the next."""
        return self.font.size * LEADING

    @property
    def height(self) -> float:
        """Of all lines."""
        return self.leading * len(self.lines)


def write(picture: Image.Image, spec: PictureSpec, ink: tuple[int, int, int]) -> None:
    """Write the label onto a picture."""
    if min(spec.width, spec.height) < SMALLEST_LABEL:
        _write_number(ImageDraw.Draw(picture), spec)
    else:
        _write_card(picture, spec, ink)


def _write_number(canvas: ImageDraw.ImageDraw, spec: PictureSpec) -> None:
    text = f"{spec.number}" if spec.total == 1 else f"{spec.number}.{spec.index + 1}"
    size = max(6, int(min(spec.width / max(2, len(text)) * 1.4, spec.height * 0.5)))
    middle = (spec.width / 2, spec.height / 2)
    canvas.text(middle, text, font=_font(None, size), fill=PAPER, anchor="mm")


def _write_card(picture: Image.Image, spec: PictureSpec, ink: tuple[int, int, int]) -> None:
    unit = min(spec.width, spec.height * 1.25, spec.width * 0.6 + spec.height * 0.4)
    margin, inner = unit * 0.045, unit * 0.036
    room = spec.width - 2 * (margin + inner)
    small = max(10, round(unit * 0.0235))
    footer = small * 2.9
    name, text = _writable(" ".join(spec.prompt[:PROMPT_CHARACTERS].split()))
    setting = _set_prompt(text, name, unit, room, spec.height * 0.46 - 2 * inner - footer)
    height = inner + setting.height + small * 0.4 + footer
    left, top = margin, spec.height - margin - height
    _paper(picture, (left, top, spec.width - margin, spec.height - margin), unit * 0.022)
    for place, line in enumerate(setting.lines):
        spot = (left + inner, top + inner + setting.leading * (place + 0.74))
        accents.write(picture, spot, line, setting.font, ink)
    canvas = ImageDraw.Draw(picture, "RGBA")
    rule = top + height - footer
    canvas.line((left + inner, rule, left + inner + room, rule), fill=(*ink, 60), width=max(1, small // 12))
    _write_footer(canvas, spec, (left + inner, rule + small * 1.78), room, small, ink)


def _write_footer(
    canvas: ImageDraw.ImageDraw,
    spec: PictureSpec,
    spot: tuple[float, float],
    room: float,
    small: int,
    ink: tuple[int, int, int],
) -> None:
    which = f"Run {spec.number}  ·  image {spec.index + 1} of {spec.total}"
    short = spec.model.rpartition("/")[2]
    tail = f"  ·  {spec.quality}" if spec.quality else ""
    choices = (f"{spec.model}{tail}  ·  {spec.width} x {spec.height}", spec.model + tail, short + tail)
    font = _font(None, small)
    fitting = (text for text in choices if font.getlength(which + text) + small * 1.5 <= room)
    facts = next(fitting, choices[-1])
    while font.size > 7 and font.getlength(which + facts) + small * 1.5 > room:
        font = _font(None, int(font.size) - 1)
    canvas.text(spot, facts, font=font, fill=(*ink, 190), anchor="ls")
    canvas.text((spot[0] + room, spot[1]), which, font=font, fill=ink, anchor="rs")


def _paper(picture: Image.Image, box: tuple[float, float, float, float], radius: float) -> None:
    """Lay a slightly transparent card with smooth corners onto the picture."""
    left, top, right, bottom = (round(edge) for edge in box)
    size = right - left, bottom - top
    mask = Image.new("L", size, 247)
    corner = max(1, round(radius))
    quarter = Image.new("L", (corner * 4, corner * 4), 0)
    ImageDraw.Draw(quarter).pieslice((0, 0, corner * 8 - 1, corner * 8 - 1), 180, 270, fill=247)
    quarter = quarter.reduce(4)
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    turn = Image.Transpose.FLIP_TOP_BOTTOM
    mask.paste(quarter, (0, 0))
    mask.paste(quarter.transpose(flip), (size[0] - corner, 0))
    mask.paste(quarter.transpose(turn), (0, size[1] - corner))
    mask.paste(quarter.transpose(flip).transpose(turn), (size[0] - corner, size[1] - corner))
    picture.paste(PAPER, (left, top, right, bottom), mask)


def _set_prompt(text: str, name: str | None, unit: float, room: float, tallest: float) -> Setting:
    """Choose the largest type in which the prompt fits; when none does, end it with an ellipsis."""
    for share in TYPE_SIZES:
        font = _font(name, max(11, round(unit * share)))
        setting = Setting(font, _wrapped(text, font, room))
        most = LARGEST_TYPE_LINES if share == TYPE_SIZES[0] else PROMPT_LINES
        if len(setting.lines) <= most and setting.height <= tallest:
            return setting
    most = max(1, min(PROMPT_LINES, int(tallest / setting.leading)))
    kept = setting.lines[:most]
    while kept[-1] and _length(font, f"{kept[-1]}…") > room:
        kept[-1] = kept[-1][:-1]
    return Setting(font, [*kept[:-1], f"{kept[-1].rstrip()}…"])


def _wrapped(text: str, font: Font, room: float) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if _length(font, longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while _length(font, line) > room and len(line) > 1:  # a very long word, or a script without spaces
            cut = _fitting_characters(line, font, room)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]


def _fitting_characters(text: str, font: Font, room: float) -> int:
    low, high = 1, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _length(font, text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _length(font: Font, text: str) -> float:
    return font.getlength(accents.bare(text))


def _writable(text: str) -> tuple[str | None, str]:
    """Find a font for a text: (None for Pillow's own, the text as it can be written)."""
    decomposed, lost = accents.decomposed(text)
    if not lost:
        return None, decomposed
    for name in OTHER_FONTS:
        font = _installed(name, 20)
        if font is not None and _covers(font, text):
            return name, text
    if lost * 2 > len(text):
        return None, f"A prompt of {len(text)} characters in a script for which no font is installed"
    return None, decomposed


def _covers(font: Font, text: str) -> bool:
    missing = bytes(font.getmask("\uffff"))
    return all(character.isspace() or bytes(font.getmask(character)) != missing for character in set(text))


@lru_cache(maxsize=64)
def _font(name: str | None, size: int) -> Font:
    found = _installed(name, size) if name else None
    if found is not None:
        return found
    default = ImageFont.load_default(size)
    if not isinstance(default, Font):  # Pillow was built without FreeType
        raise RuntimeError("the emulator needs a Pillow with FreeType to write on its pictures")
    return default


@lru_cache(maxsize=64)
def _installed(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None
