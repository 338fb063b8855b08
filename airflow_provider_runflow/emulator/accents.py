# SPDX-License-Identifier: Apache-2.0
"""Writing text in Pillow's own font, which has ASCII and a few signs: accents are drawn over the letters.

It keeps the emulator free of font files, and most Latin scripts readable. Needs Pillow.
"""

from __future__ import annotations

import unicodedata

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont
Ink = tuple[int, int, int]
Strokes = tuple[tuple[tuple[float, float], ...], ...]

SMOOTH = 4

KNOWN = frozenset(map(chr, range(32, 127))) | frozenset("“”‘’…·©™°")  # noqa: RUF001 - drawn as they are
REPLACED = str.maketrans(
    {
        "–": "-", "—": "-", "‑": "-", "−": "-", "×": "x", "•": "·", "→": "->", "€": "EUR", "£": "GBP",  # noqa: RUF001 - drawn as they are
        "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L",
        "ı": "i", "đ": "d", "Đ": "D", "«": '"', "»": '"', "„": '"', "\ufe0f": "", "\u200d": "",  # noqa: RUF001 - drawn as they are
    }
)  # fmt: skip

# strokes of each mark in a box of 1 x 1 above its letter, y downwards; a single point is a dot
MARKS: dict[str, Strokes] = {
    "\u0300": (((0.25, 0.1), (0.7, 0.8)),),  # grave
    "\u0301": (((0.75, 0.1), (0.3, 0.8)),),  # acute
    "\u0302": (((0.1, 0.8), (0.5, 0.15), (0.9, 0.8)),),  # circumflex
    "\u0303": (((0.0, 0.7), (0.25, 0.35), (0.7, 0.65), (1.0, 0.3)),),  # tilde
    "\u0304": (((0.05, 0.5), (0.95, 0.5)),),  # macron
    "\u0306": (((0.1, 0.2), (0.3, 0.7), (0.7, 0.7), (0.9, 0.2)),),  # breve
    "\u0307": (((0.5, 0.5),),),  # dot
    "\u0308": (((0.12, 0.5),), ((0.88, 0.5),)),  # diaeresis
    "\u030a": (((0.5, 0.05), (0.8, 0.4), (0.5, 0.8), (0.2, 0.4), (0.5, 0.05)),),  # ring
    "\u030b": (((0.45, 0.1), (0.1, 0.8)), ((0.95, 0.1), (0.6, 0.8))),  # double acute
    "\u030c": (((0.1, 0.15), (0.5, 0.8), (0.9, 0.15)),),  # caron
}
BELOW: dict[str, Strokes] = {
    "\u0323": (((0.5, 0.5),),),  # dot below
    "\u0327": (((0.5, 0.0), (0.65, 0.4), (0.35, 0.8)),),  # cedilla
    "\u0328": (((0.6, 0.0), (0.4, 0.5), (0.75, 0.8)),),  # ogonek
}


def decomposed(text: str) -> tuple[str, int]:
    """Give a text as letters and marks that can be written, and count the characters that cannot."""
    written: list[str] = []
    lost = 0
    for character in unicodedata.normalize("NFKD", text.translate(REPLACED)).translate(REPLACED):
        if character in KNOWN or character in MARKS or character in BELOW:
            written.append(character)
        elif not unicodedata.combining(character):
            written.append("·")
            lost += 1
    return "".join(written), lost


def bare(text: str) -> str:
    """Drop the marks: this is what the font measures and writes."""
    return "".join(character for character in text if character not in MARKS and character not in BELOW)


def write(picture: Image.Image, spot: tuple[float, float], text: str, font: Font, ink: Ink) -> None:
    """Write one line of decomposed text with its baseline at a spot."""
    ImageDraw.Draw(picture).text(spot, bare(text), font=font, fill=ink, anchor="ls")
    before = ""
    for character in text:
        strokes = MARKS.get(character) or BELOW.get(character)
        if strokes is None:
            before += character
        elif before:
            _write_mark(picture, spot, before, font, strokes, below=character in BELOW, ink=ink)


def _write_mark(
    picture: Image.Image,
    spot: tuple[float, float],
    before: str,
    font: Font,
    strokes: Strokes,
    *,
    below: bool,
    ink: Ink,
) -> None:
    letter = before[-1]
    start = spot[0] + font.getlength(before) - font.getlength(letter)
    left, top, right, bottom = font.getbbox(letter, anchor="ls")
    size = font.size * 0.2
    middle = start + (left + right) / 2
    gap = -0.06 if letter in "ij" else 0.02  # their dot stays, so that the mark sits on it
    edge = spot[1] + (bottom if below else top - size - font.size * gap)
    mask = _drawn(strokes, size, font.size * 0.082)
    margin = (mask.width - size) / 2
    picture.paste(ink, (round(middle - size / 2 - margin), round(edge - margin)), mask)


def _drawn(strokes: Strokes, size: float, pen: float) -> Image.Image:
    """Draw the strokes smoothly: four times larger, then reduced."""
    side = int(size * 2) + 2
    mask = Image.new("L", (side * SMOOTH, side * SMOOTH), 0)
    canvas = ImageDraw.Draw(mask)
    margin = (side - size) / 2
    for stroke in strokes:
        points = [((margin + (0.5 + (x - 0.5) * 1.2) * size) * SMOOTH, (margin + y * size) * SMOOTH) for x, y in stroke]
        if len(points) > 1:
            canvas.line(points, fill=255, width=max(1, round(pen * SMOOTH)), joint="curve")
        else:
            x, y = points[0]
            dot = pen * 0.75 * SMOOTH
            canvas.ellipse((x - dot, y - dot, x + dot, y + dot), fill=255)
    return mask.reduce(SMOOTH)
