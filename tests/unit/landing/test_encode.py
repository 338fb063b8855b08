# SPDX-License-Identifier: Apache-2.0
"""A derivative's file: under its cap, as good as the cap allows, and marked."""

from __future__ import annotations

import io
import random
import re

import pytest
from PIL import Image, ImageFile, JpegImagePlugin

from airflow_provider_runflow.landing.encode import BEST, FULL_COLOUR, WORST, encode
from airflow_provider_runflow.landing.frames import DerivativeError
from airflow_provider_runflow.landing.sidecar import DIGITAL_SOURCE_TYPE
from tests.unit.landing.masters import photo, quarters, source_type


def size_of(image: Image.Image, format: str, **options: object) -> int:
    file = io.BytesIO()
    image.save(file, format, **options)
    return len(file.getvalue())


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return photo(600, 500)


@pytest.mark.parametrize(
    ("format", "mode"), [("jpeg", "RGB"), ("png", "RGB"), ("png", "RGBA"), ("webp", "RGB"), ("webp", "RGBA")]
)
def test_every_file_says_that_a_model_made_it(format: str, mode: str) -> None:
    made = encode(quarters(64, 64).convert(mode), format, max_bytes=None, quantize=False, profile=None)
    assert source_type(made.data) == DIGITAL_SOURCE_TYPE
    with Image.open(io.BytesIO(made.data)) as back:
        back.load()
        assert (back.format, back.size) == (format.upper(), (64, 64))


def test_a_reduced_png_says_it_too() -> None:
    image = photo(200, 200)
    made = encode(image, "png", max_bytes=30_000, quantize=True, profile=None)
    assert len(made.data) <= 30_000 < size_of(image, "PNG", optimize=True)
    assert source_type(made.data) == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_without_a_cap_the_quality_is_the_best(picture: Image.Image, format: str) -> None:
    assert encode(picture, format, max_bytes=None, quantize=False, profile=None).quality == BEST


@pytest.mark.parametrize("format", ["jpeg", "webp"])
@pytest.mark.parametrize("part", [0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
def test_the_cap_is_kept_and_used(picture: Image.Image, format: str, part: float) -> None:
    cap = int(part * len(encode(picture, format, max_bytes=None, quantize=False, profile=None).data))
    made = encode(picture, format, max_bytes=cap, quantize=False, profile=None)
    assert made.quality is not None
    assert WORST <= made.quality <= BEST
    assert 0.9 * cap < len(made.data) <= cap


def test_a_jpeg_keeps_the_resolution_of_its_colours_as_long_as_it_can(picture: Image.Image) -> None:
    best = len(encode(picture, "jpeg", max_bytes=None, quantize=False, profile=None).data)
    for part, sampling in ((0.9, 0), (0.4, 2)):
        made = encode(picture, "jpeg", max_bytes=int(part * best), quantize=False, profile=None)
        assert made.quality is not None
        assert made.quality >= (FULL_COLOUR if sampling == 0 else WORST)
        assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(made.data))) == sampling


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_cap_that_cannot_be_met_says_by_how_much(picture: Image.Image, format: str) -> None:
    with pytest.raises(DerivativeError, match=f"over its cap of 2,000 even at quality {WORST}") as caught:
        encode(picture, format, max_bytes=2000, quantize=False, profile=None)
    over = int(re.findall(r"is ([\d,]+) bytes over", str(caught.value))[0].replace(",", ""))
    with pytest.raises(DerivativeError, match="is 1 bytes over"):
        encode(picture, format, max_bytes=2000 + over - 1, quantize=False, profile=None)
    assert encode(picture, format, max_bytes=2000 + over, quantize=False, profile=None).quality == WORST


def test_a_png_is_not_reduced_unless_that_is_allowed(picture: Image.Image) -> None:
    with pytest.raises(
        DerivativeError, match=r"over its cap of 100,000, and a PNG has no quality to lower; allow quantize"
    ):
        encode(picture, "png", max_bytes=100_000, quantize=False, profile=None)
    with pytest.raises(DerivativeError, match="over its cap of 5,000 even with 16 colours"):
        encode(picture, "png", max_bytes=5000, quantize=True, profile=None)


def test_a_png_is_packed_tighter_before_anything_is_lost() -> None:
    image = photo(300, 300)
    plain = len(encode(image, "png", max_bytes=None, quantize=False, profile=None).data)
    made = encode(image, "png", max_bytes=plain - 1, quantize=True, profile=None)
    with Image.open(io.BytesIO(made.data)) as back:
        assert len(made.data) < plain
        if back.mode == "RGB":
            assert back.tobytes() == image.tobytes()


def test_transparency_survives_the_reduction() -> None:
    image = photo(200, 200).convert("RGBA")
    image.paste((0, 0, 0, 0), (100, 0, 200, 200))
    made = encode(image, "png", max_bytes=20_000, quantize=True, profile=None)
    with Image.open(io.BytesIO(made.data)) as back:
        alpha = back.convert("RGBA").getchannel("A")
        assert (alpha.getpixel((150, 100)), alpha.getpixel((50, 100))) == (0, 255)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_profile_that_goes_along_is_in_the_file(format: str) -> None:
    made = encode(quarters(64, 64), format, max_bytes=None, quantize=False, profile=b"some profile")
    with Image.open(io.BytesIO(made.data)) as back:
        assert back.info["icc_profile"] == b"some profile"


@pytest.mark.parametrize("room", [4_000_000, -10_000_000], ids=["with room", "without"])
def test_grain_that_needs_more_than_a_byte_per_pixel_is_written_all_the_same(
    room: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("airflow_provider_runflow.landing.encode._ROOM", room)
    noise = Image.frombytes("RGB", (400, 300), random.Random(1).randbytes(400 * 300 * 3))
    made = encode(noise, "jpeg", max_bytes=None, quantize=False, profile=None)
    assert len(made.data) > 400 * 300
    assert source_type(made.data) == DIGITAL_SOURCE_TYPE
    if room > 0:
        # libjpeg itself would complain there, in the middle of the task's log.
        assert capfd.readouterr().err == ""
        assert len(encode(noise, "jpeg", max_bytes=100_000, quantize=False, profile=None).data) <= 100_000
    assert ImageFile.MAXBLOCK == 65_536


def test_what_pillow_cannot_write_is_an_error_of_ours() -> None:
    with pytest.raises(DerivativeError, match=r"cannot be written as webp \(\w+"):
        encode(Image.new("RGB", (20_000, 1)), "webp", max_bytes=None, quantize=False, profile=None)
