# SPDX-License-Identifier: Apache-2.0
"""Pictures that say what they are: real PNG, JPEG and WebP files of the exact size that was asked for.

A calm scene whose colours come from the prompt and whose shapes come from the run, under a label with the
prompt, the model, the quality, the number of the run and of the picture. The same description gives the same
bytes; another run never does. Pillow is imported when the first picture is drawn.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

CACHE_BYTES = 48 * 1024 * 1024


@dataclass(frozen=True)
class PictureSpec:
    """All that decides the bytes of a picture."""

    seed: int
    run_id: str
    number: int
    index: int
    total: int
    width: int
    height: int
    format: str
    prompt: str
    model: str
    quality: str

    @property
    def digest(self) -> str:
        """Tell descriptions apart."""
        return hashlib.sha256(repr(self).encode(errors="replace")).hexdigest()[:32]

    @property
    def caption(self) -> str:
        """Say in one line what this is; written into the file, which keeps even tiny pictures apart."""
        return (
            f"Runflow emulator, run {self.number} ({self.run_id}), picture {self.index + 1} of {self.total}, "
            f"{self.model}, {self.quality or 'of one quality'}, seed {self.seed}"
        )


class PictureCache:
    """The latest pictures, within a bound in bytes."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[PictureSpec, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, spec: PictureSpec) -> bytes:
        """Give the bytes of a picture, drawn when they are not at hand."""
        with self._lock:
            kept = self._kept.get(spec)
            if kept is not None:
                self._kept.move_to_end(spec)
                return kept
        # outside the lock: two readers may draw the same bytes, but nobody waits for the picture of another
        drawn = draw(spec)
        with self._lock:
            if spec not in self._kept:
                self._kept[spec] = drawn
                self._bytes += len(drawn)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return drawn

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes


def draw(spec: PictureSpec) -> bytes:
    """Draw a picture and encode it."""
    from . import label, scenes

    shapes = Random(f"{spec.seed}:{spec.number}:{spec.index}:{spec.run_id}")  # repeatable
    picture, ink = scenes.paint(spec.width, spec.height, spec.prompt, shapes)
    label.write(picture, spec, ink)
    return _encoded(picture, spec)


def _encoded(picture: Image.Image, spec: PictureSpec) -> bytes:
    from PIL import Image, PngImagePlugin

    options: dict[str, Any]
    if spec.format == "png":
        info = PngImagePlugin.PngInfo()
        info.add_text("Description", spec.caption)
        options = {"format": "PNG", "compress_level": 1, "pnginfo": info}
    elif spec.format == "webp":
        exif = Image.Exif()
        exif[0x010E] = spec.caption  # ImageDescription
        options = {"format": "WEBP", "quality": 88, "method": 1, "exif": exif}
    else:
        options = {"format": "JPEG", "quality": 90, "comment": spec.caption}
    out = BytesIO()
    picture.save(out, **options)
    return out.getvalue()
