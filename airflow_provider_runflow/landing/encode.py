# SPDX-License-Identifier: Apache-2.0
"""
A derivative's file: under its byte cap, and marked as made by a trained model in its own metadata. Needs Pillow.

The mark is IPTC's digital source type, as XMP: cutting and scaling a generated picture leaves it a generated one. The
master's own metadata and Content Credentials do not come along: they speak of other bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
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
# Close enough to the cap to stop looking.
_GOOD_ENOUGH = 0.97
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
    if format == "png":
        return _png(image, max_bytes, quantize, profile)
    if format == "jpeg":
        sharp = _best(lambda quality: _jpeg(image, quality, profile, halved=False), FULL_COLOUR, max_bytes)
        if max_bytes is None or len(sharp.data) <= max_bytes:
            return sharp
        made = _best(lambda quality: _jpeg(image, quality, profile, halved=True), WORST, max_bytes)
    else:
        made = _best(lambda quality: _webp(image, quality, profile), WORST, max_bytes)
    if max_bytes is not None and len(made.data) > max_bytes:
        raise DerivativeError(
            f"is {len(made.data) - max_bytes:,} bytes over its cap of {max_bytes:,} even at quality {WORST}, the "
            f"lowest that is used for {format}; allow more bytes or fewer pixels"
        )
    return made


def _best(save: Callable[[int], bytes], lowest: int, max_bytes: int | None) -> Encoded:
    """Find the best quality that stays under the cap; the lowest, if none does."""
    best = Encoded(save(BEST), BEST)
    if max_bytes is None or len(best.data) <= max_bytes:
        return best
    best = Encoded(save(lowest), lowest)
    low, high = lowest, BEST
    while high - low > 1 and len(best.data) < _GOOD_ENOUGH * max_bytes:
        middle = (low + high) // 2
        data = save(middle)
        if len(data) <= max_bytes:
            best, low = Encoded(data, middle), middle
        else:
            high = middle
    return best


def _jpeg(image: Image.Image, quality: int, profile: bytes | None, *, halved: bool) -> bytes:
    """Write a JPEG. ``halved``: the resolution of its colours."""
    file = io.BytesIO()
    # Written as a segment of our own: Pillow knows `xmp` for JPEG since version 11 only.
    segment = b"\xff\xe1" + (len(_JPEG_XMP) + 2).to_bytes(2, "big") + _JPEG_XMP
    image.save(
        file,
        "JPEG",
        quality=quality,
        subsampling=2 if halved else 0,
        optimize=True,
        progressive=True,
        extra=segment,
        icc_profile=profile,
    )
    return file.getvalue()


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
