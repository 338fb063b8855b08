# SPDX-License-Identifier: Apache-2.0
"""
A derivative's file: under its byte cap, and marked as made by a trained model in its own metadata. Needs Pillow.

The mark is IPTC's digital source type, as XMP: cutting and scaling a generated picture leaves it a generated one. The
master's own metadata and Content Credentials do not come along: they speak of other bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_runflow.landing.frames import DerivativeError
from airflow_provider_runflow.landing.sidecar import DIGITAL_SOURCE_TYPE

if TYPE_CHECKING:
    from PIL import Image

# Below 40, JPEG and WebP show blocks; above 90, files grow and nobody sees why.
BEST, WORST = 90, 40
# A JPEG rather goes down to here than halve the resolution of its colours: red letters on white get a fringe of that.
FULL_COLOUR = 80
# Close enough to the cap to stop looking; what a guess aims at; guesses before the rest is halved.
_GOOD_ENOUGH, _AIM, _GUESSES = 0.96, 0.985, 6
_ROOM = 4 * 1024 * 1024
_COLOURS = (256, 128, 64, 32, 16)

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode()


@dataclass(frozen=True)
class Encoded:
    """
    A file in memory.

    :param data: its bytes.
    :param quality: of 1 to 100; None where there is no such thing.
    """

    data: bytes
    quality: int | None


def encode(image: Image.Image, format: str, *, max_bytes: int | None, quantize: bool, profile: bytes | None) -> Encoded:
    """
    Write a picture, as well as its cap allows.

    :param image: RGB or RGBA; RGBA is not for JPEG.
    :param format: ``jpeg``, ``png`` or ``webp``.
    :param max_bytes: the cap; None for none.
    :param quantize: a PNG may have its colours reduced.
    :param profile: ICC profile to embed; None for sRGB.
    :raises DerivativeError: the cap cannot be met; by how much.
    """
    try:
        return _encode(image, format, max_bytes, quantize, profile)
    except (OSError, ValueError, MemoryError) as error:
        raise DerivativeError(f"cannot be written as {format} ({type(error).__name__}: {error})") from error


def _encode(image: Image.Image, format: str, max_bytes: int | None, quantize: bool, profile: bytes | None) -> Encoded:
    if format == "png":
        return _png(image, max_bytes, quantize, profile)
    if format == "jpeg":
        made = _best_jpeg(image, max_bytes, profile)
    else:
        made = _best(lambda quality: _webp(image, quality, profile), WORST, BEST, max_bytes)
    if max_bytes is not None and len(made.data) > max_bytes:
        raise DerivativeError(
            f"is {len(made.data) - max_bytes:,} bytes over its cap of {max_bytes:,} even at quality {WORST}, the "
            f"lowest that is used for {format}; allow more bytes or fewer pixels"
        )
    return made


def _best_jpeg(image: Image.Image, max_bytes: int | None, profile: bytes | None) -> Encoded:
    """Find the best JPEG under the cap: first with all of its colours' resolution, then with half of it."""
    sharp = Encoded(_jpeg(image, BEST, profile, halved=False), BEST)
    if max_bytes is None or len(sharp.data) <= max_bytes:
        return sharp
    size = len(sharp.data)
    if size < 2 * max_bytes:
        first = _guess(size, BEST, max_bytes, FULL_COLOUR, BEST - 1)
        sharp = _best(lambda quality: _jpeg(image, quality, profile, halved=False), FULL_COLOUR, first, max_bytes)
        if len(sharp.data) <= max_bytes:
            return sharp
    # Half of the colours' resolution is worth about a quarter of the file.
    first = _guess(size * 3 // 4, BEST, max_bytes, WORST, BEST)
    return _best(lambda quality: _jpeg(image, quality, profile, halved=True), WORST, first, max_bytes)


def _best(save: Callable[[int], bytes], lowest: int, first: int, max_bytes: int | None) -> Encoded:
    """
    Find the best quality that stays under the cap; the lowest, if none does.

    Each try costs as much as writing the file, so the next one is guessed from the sizes so far.

    :param first: the first guess.
    """
    best: Encoded | None = None
    low, high = lowest - 1, BEST + 1  # the best that fits and the worst that does not, as far as they are known
    sizes: dict[int, int] = {}
    quality = first
    while True:
        data = save(quality)
        sizes[quality] = len(data)
        if max_bytes is None:
            return Encoded(data, quality)
        if len(data) <= max_bytes:
            best, low = Encoded(data, quality), quality
        else:
            high = quality
        if best is None and high == lowest:
            return Encoded(data, quality)
        if best is not None and (high - low <= 1 or len(best.data) >= _GOOD_ENOUGH * max_bytes):
            return best
        quality = _next(sizes, low, high, lowest, max_bytes)


def _next(sizes: dict[int, int], low: int, high: int, lowest: int, max_bytes: int) -> int:
    least, most = max(low + 1, lowest), min(high - 1, BEST)
    if len(sizes) >= _GUESSES:
        return (least + most) // 2
    if low in sizes and high in sizes:
        part = math.log(_AIM * max_bytes / sizes[low]) / math.log(sizes[high] / sizes[low])
        return min(max(low + math.floor(part * (high - low)), least), most)
    known = high if high in sizes else low
    return _guess(sizes[known], known, max_bytes, least, most)


def _guess(size: int, quality: int, max_bytes: int, least: int, most: int) -> int:
    """Guess the quality that meets the cap from one size: files grow by about a twenty-fifth per step."""
    return min(max(quality - math.ceil(math.log(size / (_AIM * max_bytes)) * 25), least), most)


def _jpeg(image: Image.Image, quality: int, profile: bytes | None, *, halved: bool) -> bytes:
    """Write a JPEG. ``halved``: the resolution of its colours."""
    # Written as a segment of our own: Pillow knows `xmp` for JPEG since version 11 only.
    segment = b"\xff\xe1" + (len(_JPEG_XMP) + 2).to_bytes(2, "big") + _JPEG_XMP

    def save(*, small: bool) -> bytes:
        file = io.BytesIO()
        options = {"quality": quality, "subsampling": 2 if halved else 0, "optimize": small, "progressive": small}
        image.save(file, "JPEG", extra=segment, icc_profile=profile, **options)
        return file.getvalue()

    with _room_for(image.width * image.height):
        try:
            return save(small=True)
        except OSError:
            return save(small=False)


@contextmanager
def _room_for(pixels: int) -> Iterator[None]:
    """
    Give Pillow (13 too) more than a byte per pixel for optimising a JPEG, which is not enough for a grainy one.

    Its buffer has a least size, and that is all that can be set. A thread that sees it larger for a while only reads
    in larger blocks.
    """
    from PIL import ImageFile

    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, min(3 * pixels, pixels + _ROOM))
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


def _webp(image: Image.Image, quality: int, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=4, xmp=XMP.encode(), icc_profile=profile)
    return file.getvalue()


def _png(image: Image.Image, max_bytes: int | None, quantize: bool, profile: bytes | None) -> Encoded:
    data = _save_png(image, profile)
    if max_bytes is None or len(data) <= max_bytes:
        return Encoded(data, None)
    data = _save_png(image, profile, optimize=True)
    if len(data) <= max_bytes:
        return Encoded(data, None)
    over = len(data) - max_bytes
    if not quantize:
        raise DerivativeError(
            f"is {over:,} bytes over its cap of {max_bytes:,}, and a PNG has no quality to lower; allow quantize=True "
            "(fewer colours), or take format='jpeg' or 'webp'"
        )
    from PIL import Image

    # Of Pillow's own methods, only the octree knows transparency.
    octree = image.mode == "RGBA"
    method = Image.Quantize.FASTOCTREE if octree else Image.Quantize.MEDIANCUT
    for colours in _COLOURS:
        data = _save_png(
            image.quantize(colours, method=method, dither=Image.Dither.FLOYDSTEINBERG), profile, optimize=True
        )
        if len(data) <= max_bytes:
            return Encoded(data, None)
    raise DerivativeError(
        f"is {len(data) - max_bytes:,} bytes over its cap of {max_bytes:,} even with {_COLOURS[-1]} colours; take "
        "format='jpeg' or 'webp', allow more bytes or fewer pixels"
    )


def _save_png(image: Image.Image, profile: bytes | None, *, optimize: bool = False) -> bytes:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=info, optimize=optimize, icc_profile=profile)
    return file.getvalue()
