# SPDX-License-Identifier: Apache-2.0
"""What a downloaded file is, told from its own bytes: format, pixels, and whether it is all there."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagesize

from airflow_provider_runflow.client.content_type import image_type

# The next marker in JPEG data: 0xFF that is not escaped (00), a restart marker (D0-D7) or a fill byte (FF).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


@dataclass(frozen=True)
class ImageFacts:
    """
    What an image file is.

    :param content_type: for example ``image/jpeg``.
    :param ext: its file extension without a dot: ``png``, ``jpg``, ``webp`` or ``gif``.
    :param width: pixels.
    :param height: pixels.
    """

    content_type: str
    ext: str
    width: int
    height: int


class NotAnImage(Exception):
    """The bytes are not a picture of a known format: a finding, which download.py acts upon."""


class Truncated(Exception):
    """The bytes begin like a picture, but its end is missing."""


def inspect(path: Path) -> ImageFacts:
    """
    Look at a finished file; the file is mapped, never read into memory as a whole.

    :param path: the file.
    :raises NotAnImage: it is not PNG, JPEG, WebP or GIF, or its header makes no sense.
    :raises Truncated: its end is missing (an answer without Content-Length can stop early unnoticed).
    """
    with path.open("rb") as file:
        head = file.read(512)
        if len(head) < 12:
            raise NotAnImage(f"only {len(head)} bytes")
        content_type, ext, check = _format(head)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check(data)
    width, height = _extended_webp(head) or imagesize.get(str(path))
    if width < 1 or height < 1:
        raise NotAnImage(f"a {ext} file whose header holds no dimensions")
    return ImageFacts(content_type, ext, int(width), int(height))


def _extended_webp(head: bytes) -> tuple[int, int] | None:
    """Read the canvas of a WebP with metadata, which imagesize 1.4 gives one pixel too small each way."""
    if head[:4] != b"RIFF" or head[12:16] != b"VP8X" or len(head) < 30:
        return None
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def _format(head: bytes) -> tuple[str, str, Callable[[mmap.mmap], None]]:
    content_type = image_type(head)
    if content_type is not None:
        return content_type, *_KINDS[content_type]
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        raise NotAnImage("an HTML or XML document")
    if text.startswith((b"{", b"[")):
        raise NotAnImage("a JSON document")
    raise NotAnImage(f"an unknown format (it begins with {head[:8].hex(' ')})")


def _whole_png(data: mmap.mmap) -> None:
    at = 8  # after the magic bytes
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if not kind.isalpha():
            raise NotAnImage("a PNG with a broken chunk")
        at += 12 + length
        if kind == b"IEND" and at <= len(data):
            return
    raise Truncated("a PNG without its end")


def _whole_jpeg(data: mmap.mmap) -> None:
    # Segment by segment, because an EXIF thumbnail has an end marker of its own. What follows the end of the
    # picture (maker notes, a second preview) is left alone.
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker = data[found.start() + 1]
        at = found.end()
        if marker == 0xD9:
            return
        if marker in (0x01, 0xD8):
            continue  # these two have no length
        if at + 2 > len(data):
            break
        at += int.from_bytes(data[at : at + 2], "big")
    raise Truncated("a JPEG without its end")


def _whole_webp(data: mmap.mmap) -> None:
    declared = int.from_bytes(data[4:8], "little") + 8
    if len(data) < declared:
        raise Truncated(f"a WebP of {len(data)} bytes that says it has {declared}")


def _whole_gif(data: mmap.mmap) -> None:
    # Encoders pad the end with zeros at times.
    if not data[-64:].rstrip(b"\0").endswith(b"\x3b"):
        raise Truncated("a GIF without its end")


_KINDS: dict[str, tuple[str, Callable[[mmap.mmap], None]]] = {
    "image/png": ("png", _whole_png),
    "image/jpeg": ("jpg", _whole_jpeg),
    "image/webp": ("webp", _whole_webp),
    "image/gif": ("gif", _whole_gif),
}
