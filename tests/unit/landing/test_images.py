# SPDX-License-Identifier: Apache-2.0
"""landing/images.py: what a file is, and whether all of it is there."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from airflow_provider_runflow.landing.images import ImageFacts, NotAnImage, Truncated, inspect
from tests.unit.landing.fakes import GIF, JPEG, PROGRESSIVE_JPEG, WEBP, WEBP_EXTENDED, WEBP_LOSSY, png


def look(tmp_path: Path, data: bytes) -> ImageFacts:
    path = tmp_path / "0.part"
    path.write_bytes(data)
    return inspect(path)


@pytest.mark.parametrize(
    ("data", "content_type", "ext"),
    [
        (png(), "image/png", "png"),
        (JPEG, "image/jpeg", "jpg"),
        (PROGRESSIVE_JPEG, "image/jpeg", "jpg"),
        (WEBP, "image/webp", "webp"),
        (WEBP_LOSSY, "image/webp", "webp"),
        (WEBP_EXTENDED, "image/webp", "webp"),
        (GIF, "image/gif", "gif"),
    ],
)
def test_formats_are_told_by_their_bytes(tmp_path: Path, data: bytes, content_type: str, ext: str) -> None:
    assert look(tmp_path, data) == ImageFacts(content_type, ext, 16, 8)


@pytest.mark.parametrize("data", [png(padding=500), JPEG, PROGRESSIVE_JPEG, WEBP, WEBP_LOSSY, WEBP_EXTENDED, GIF])
def test_a_body_cut_anywhere_is_caught(tmp_path: Path, data: bytes) -> None:
    for size in range(20, len(data)):
        with pytest.raises(Truncated):
            look(tmp_path, data[:size])


@pytest.mark.parametrize("data", [png(), JPEG, PROGRESSIVE_JPEG, WEBP])
def test_what_some_encoders_add_after_the_end_does_no_harm(tmp_path: Path, data: bytes) -> None:
    assert look(tmp_path, data + b"\0" * 40).width == 16


def test_the_end_of_an_exif_thumbnail_is_not_the_end_of_a_jpeg(tmp_path: Path) -> None:
    thumbnail = b"Exif\0\0" + JPEG
    with_exif = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + JPEG[2:]
    assert look(tmp_path, with_exif).ext == "jpg"
    with pytest.raises(Truncated, match="a JPEG without its end"):
        look(tmp_path, with_exif[:-2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\n <!DOCTYPE html><html>Sign in to the hotel network</html>", "an HTML or XML document"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an HTML or XML document"),
        (b'{"error": "no such key"}', "a JSON document"),
        (b"%PDF-1.7 and so on", r"an unknown format \(it begins with 25 50 44 46"),
        (b"tiny", "only 4 bytes"),
        (png()[:8] + struct.pack(">I", 4) + b"\0\1\2\3" + b"x" * 30, "a PNG with a broken chunk"),
        (png(width=0), "a png file whose header holds no dimensions"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(NotAnImage, match=reason):
        look(tmp_path, data)


def test_a_webp_that_is_cut_says_how_much_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Truncated, match="a WebP of 30 bytes that says it has 38"):
        look(tmp_path, WEBP[:30])
