# SPDX-License-Identifier: Apache-2.0
"""
A master's pixels in another frame: cut, fitted or padded to an exact size. Needs Pillow.

Colours are those that the master shows: its profile is converted to sRGB, its orientation is applied.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_runflow.landing.images import NotAnImage, Truncated, inspect

if TYPE_CHECKING:
    from PIL import Image

INSTALL = "derivatives need Pillow: pip install 'airflow-provider-runflow[derivatives]'"
# The largest picture of the catalogue has 8.3 megapixels (3840x2160); four times that are 133 MB decoded, and what
# claims to have more is taken for a decompression bomb.
MAX_PIXELS = 4 * 3840 * 2160
MAX_MASTER_BYTES = 64 * 1024 * 1024
# Decoding a JPEG at a fraction of its size is cheap, and twice the wanted size leaves the resampling enough to do.
_DRAFT_GAP = 2
_REDUCING_GAP = 3.0
_SIDEWAYS = (5, 6, 7, 8)
_ORIENTATION = 0x0112


class DerivativeError(Exception):
    """A derivative could not be made. Its master is landed and untouched; nothing was or is paid."""


@dataclass(frozen=True)
class Decoded:
    """
    One master in memory, upright.

    :param image: its pixels, perhaps at a fraction of its size: RGB, or RGBa (premultiplied) where it is transparent.
    :param width: of the master, in pixels, as it is shown.
    :param height: likewise.
    :param profile: ICC profile of its colours, None for sRGB.
    """

    image: Image.Image
    width: int
    height: int
    profile: bytes | None


@dataclass(frozen=True)
class Frame:
    """
    Which part of a master goes where.

    :param box: left, top, right and bottom of that part, in the master's pixels.
    :param size: width and height of that part in the derivative.
    :param canvas: width and height of the derivative.
    :param scale: the derivative's pixels per pixel of the master.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    canvas: tuple[int, int]
    scale: float

    @property
    def upscaled(self) -> bool:
        """Whether pixels had to be invented."""
        return self.scale > 1 + 1e-9


def make_frame(master: tuple[int, int], wanted: tuple[int, int], fit: str, focal_point: tuple[float, float]) -> Frame:
    """
    Work out a frame.

    :param master: width and height.
    :param wanted: width and height.
    :param fit: ``cover`` cuts what is too much, ``pad`` keeps all and fills up, ``contain`` keeps all and may be
        smaller in one direction.
    :param focal_point: what ``cover`` keeps as near to the middle as it can, as fractions of width and height.
    """
    (width, height), (wide, high) = master, wanted
    if fit == "cover":
        scale = max(wide / width, high / height)
        part = min(wide / scale, width), min(high / scale, height)
        left = min(max(focal_point[0] * width - part[0] / 2, 0.0), width - part[0])
        top = min(max(focal_point[1] * height - part[1] / 2, 0.0), height - part[1])
        return Frame((left, top, left + part[0], top + part[1]), wanted, wanted, scale)
    scale = min(wide / width, high / height)
    size = min(wide, max(1, round(width * scale))), min(high, max(1, round(height * scale)))
    return Frame((0, 0, width, height), size, wanted if fit == "pad" else size, scale)


def decode(path: Path, scale: Callable[[int, int], float]) -> Decoded:
    """
    Read a master.

    :param path: its file.
    :param scale: from its width and height to the largest scale at which it is needed; a JPEG is decoded accordingly.
    :raises DerivativeError: it is no picture, not whole, or larger than any picture should be; or Pillow is missing.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise DerivativeError(INSTALL) from None
    try:
        facts = inspect(path)
        _check(facts.width * facts.height, path)
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF")) as opened:
            _check(opened.width * opened.height, path)
            sideways = opened.getexif().get(_ORIENTATION) in _SIDEWAYS
            width, height = (opened.height, opened.width) if sideways else opened.size
            if opened.format == "JPEG":
                part = min(1.0, scale(width, height) * _DRAFT_GAP)
                opened.draft(None, (math.ceil(opened.width * part), math.ceil(opened.height * part)))
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            profile = opened.info.get("icc_profile")
            return _upright(opened, width, height, profile if isinstance(profile, bytes) else None)
    except (NotAnImage, Truncated) as error:
        raise DerivativeError(f"the master is {error}") from error
    # What Pillow raises for a broken file depends on where it is broken.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise DerivativeError(f"the master cannot be decoded ({type(error).__name__}: {error})") from error


def _check(pixels: int, path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_MASTER_BYTES:
        raise DerivativeError(f"the master has {size:,} bytes, over the limit of {MAX_MASTER_BYTES:,}")
    if pixels > MAX_PIXELS:
        raise DerivativeError(f"the master has {pixels:,} pixels, over the limit of {MAX_PIXELS:,}")


def _upright(image: Image.Image, width: int, height: int, profile: bytes | None) -> Decoded:
    if image.mode.startswith("I"):
        # 16-bit grey, which convert() would clip instead of scale.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    transparent = "A" in image.mode or "a" in image.mode or "transparency" in image.info
    if transparent:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        lowest, _ = image.getchannel("A").getextrema()
        transparent = lowest != 255
    if transparent:
        return Decoded(image.convert("RGBa"), width, height, profile)
    if image.mode not in ("RGB", "RGBA") and profile:
        # The profile speaks of grey or CMYK.
        converted = _to_srgb(image, profile)
        if converted is not None:
            return Decoded(converted, width, height, None)
        profile = None
    return Decoded(image if image.mode == "RGB" else image.convert("RGB"), width, height, profile)


def apply(decoded: Decoded, frame: Frame, background: tuple[int, int, int] | None) -> tuple[Image.Image, bytes | None]:
    """
    Bring a master into a frame.

    :param background: red, green and blue behind what is transparent or left over; None keeps it transparent.
    :return: the picture, RGB or RGBA, and the profile that must go with it: None for sRGB.
    """
    from PIL import Image

    across, down = decoded.image.width / decoded.width, decoded.image.height / decoded.height
    left, top, right, bottom = frame.box
    box = (
        left * across,
        top * down,
        min(right * across, decoded.image.width),
        min(bottom * down, decoded.image.height),
    )
    image = decoded.image.resize(frame.size, Image.Resampling.LANCZOS, box=box, reducing_gap=_REDUCING_GAP)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    profile = decoded.profile
    if profile and (converted := _to_srgb(image, profile)) is not None:
        image, profile = converted, None
    # What came with the master stays with it: its metadata is not the derivative's.
    image.info = {}
    if background is None and (image.mode == "RGBA" or frame.canvas == frame.size):
        return (image if frame.canvas == frame.size else _on(image, frame, (0, 0, 0, 0))), profile
    if background is None:
        return _on(image.convert("RGBA"), frame, (0, 0, 0, 0)), profile
    if image.mode == "RGB" and frame.canvas == frame.size:
        return image, profile
    return _on(image, frame, background), profile


def _on(image: Image.Image, frame: Frame, colour: tuple[int, ...]) -> Image.Image:
    """Put a picture into the middle of a canvas; a canvas of three numbers is opaque."""
    from PIL import Image

    canvas = Image.new("RGB" if len(colour) == 3 else "RGBA", frame.canvas, colour)
    at = (frame.canvas[0] - frame.size[0]) // 2, (frame.canvas[1] - frame.size[1]) // 2
    mask = image if image.mode == "RGBA" and canvas.mode == "RGB" else None
    canvas.paste(image, at, mask)
    return canvas


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert colours to sRGB, which is what an untagged picture is taken for; None if the profile cannot be used."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source) and image.mode in ("RGB", "RGBA"):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ImportError, ValueError):
        return None
