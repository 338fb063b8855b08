# SPDX-License-Identifier: Apache-2.0
"""Masters as they come, with what must not go on into their derivatives; and a reader of metadata without Pillow."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageCms, PngImagePlugin

# Stands in a master's Content Credentials, own XMP and what trails behind its end.
FOREIGN = b"c2pa.of.the.master"
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def photo(width: int, height: int) -> Image.Image:
    """Soft clouds with grain: about as hard to compress as a photograph."""
    dice = random.Random(width * height)

    def noise(wide: int, high: int) -> Image.Image:
        return Image.frombytes("RGB", (wide, high), dice.randbytes(wide * high * 3))

    soft = noise(max(2, width // 16), max(2, height // 16)).resize((width, height), Image.Resampling.BICUBIC)
    return Image.blend(soft, noise(width, height), 0.06)


def quarters(width: int, height: int) -> Image.Image:
    """Red, green / blue, white."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    image.paste("white", (width // 2, height // 2, width, height))
    return image


def save(folder: Path, image: Image.Image, kind: str, **options: object) -> Path:
    """Write a master; ``kind``: ``png``, ``jpeg`` or ``webp``."""
    path = folder / f"master.{kind}"
    image.save(path, FORMATS[kind], **options)
    return path


def with_credentials(image: Image.Image, kind: str) -> bytes:
    """Return a file with a box of Content Credentials, XMP of its own, and something behind its end."""
    file = io.BytesIO()
    xmp = b"<x>" + FOREIGN + b"</x>"
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(file, "PNG", pnginfo=info)
        data = file.getvalue()
        box = struct.pack(">I4s", len(FOREIGN), b"caBX") + FOREIGN + struct.pack(">I", zlib.crc32(b"caBX" + FOREIGN))
        return data[:33] + box + data[33:]
    if kind == "jpeg":
        image.save(file, "JPEG", quality=95, comment=FOREIGN)
        jumbf = b"JP\0\1\0\0\0\1" + FOREIGN
        segments = [(0xEB, jumbf), (0xE1, _JPEG_XMP + xmp)]
        raw = b"".join(b"\xff" + bytes([m]) + (len(s) + 2).to_bytes(2, "big") + s for m, s in segments)
        return file.getvalue()[:2] + raw + file.getvalue()[2:] + FOREIGN
    image.save(file, "WEBP", xmp=xmp)
    data = file.getvalue()
    body = data[12:] + b"C2PA" + len(FOREIGN).to_bytes(4, "little") + FOREIGN
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def swapped_profile() -> bytes:
    """An RGB profile in which what is called red looks green, and the other way round."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(int.from_bytes(profile[128:132], "big")):
        at = 132 + 12 * number
        tag = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB b", b"swap b")


def xmp_of(data: bytes) -> list[bytes]:
    """Return every XMP packet of a file, read from its own structure."""
    if data.startswith(b"\x89PNG"):
        chunks = [body for kind, body in _png_chunks(data) if kind == b"iTXt"]
        head = b"XML:com.adobe.xmp\0\0\0\0\0"
        return [body[len(head) :] for body in chunks if body.startswith(head)]
    if data.startswith(b"RIFF"):
        return [body for kind, body in _riff_chunks(data) if kind == b"XMP "]
    return [
        body[len(_JPEG_XMP) :] for marker, body in jpeg_segments(data) if body.startswith(_JPEG_XMP) and marker == 0xE1
    ]


def source_type(data: bytes) -> str | None:
    """Return the digital source type that a file declares, as a consumer of XMP reads it."""
    (packet,) = xmp_of(data)
    found = ElementTree.fromstring(packet.decode("utf-8")).find(f".//{_SOURCE_TYPE}")  # noqa: S314 - our own file
    return None if found is None else found.text


def kinds(data: bytes) -> set[object]:
    """Return the kinds of chunks or segments in a file."""
    if data.startswith(b"\x89PNG"):
        return {kind for kind, _ in _png_chunks(data)}
    if data.startswith(b"RIFF"):
        return {kind for kind, _ in _riff_chunks(data)}
    return {marker for marker, _ in jpeg_segments(data)}


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + length : at + 12 + length], "big")
        yield kind, body
        at += 12 + length


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at < len(data):
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the segments of a JPEG up to its picture data."""
    at = 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length
