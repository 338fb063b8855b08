# SPDX-License-Identifier: Apache-2.0
"""Which part of a master goes where, and that it looks there as it looks in the master."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_runflow.landing.frames import MAX_PIXELS, DerivativeError, apply, decode, make_frame
from tests.unit.landing.masters import photo, quarters, save, swapped_profile

CENTRE = (0.5, 0.5)


def whole(width: int, height: int) -> float:
    return 1.0


def framed(path: Path, size: tuple[int, int], fit: str = "cover", focal: tuple[float, float] = CENTRE) -> Image.Image:
    decoded = decode(path, lambda w, h: make_frame((w, h), size, fit, focal).scale)
    return apply(decoded, make_frame((decoded.width, decoded.height), size, fit, focal), (255, 255, 255))[0]


def close(pixel: Any, colour: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, colour, strict=True))


class TestFrames:
    @pytest.mark.parametrize(
        ("focal", "box"),
        [
            ((0.5, 0.5), (50, 0, 150, 100)),
            ((0.0, 0.5), (0, 0, 100, 100)),
            ((1.0, 1.0), (100, 0, 200, 100)),
            ((0.3, 0.9), (10, 0, 110, 100)),
        ],
    )
    def test_cover_keeps_the_focal_point_as_near_to_the_middle_as_the_edges_allow(
        self, focal: tuple[float, float], box: tuple[int, ...]
    ) -> None:
        assert make_frame((200, 100), (50, 50), "cover", focal).box == pytest.approx(box)

    def test_contain_keeps_all_and_may_be_smaller_and_pad_is_filled_up(self) -> None:
        contain, pad = (make_frame((200, 100), (50, 50), fit, CENTRE) for fit in ("contain", "pad"))
        assert (contain.size, contain.canvas) == ((50, 25), (50, 25))
        assert (pad.size, pad.canvas) == ((50, 25), (50, 50))

    def test_pixels_that_are_invented_are_told(self) -> None:
        assert make_frame((100, 100), (101, 50), "cover", CENTRE).upscaled
        assert make_frame((100, 50), (101, 101), "contain", CENTRE).upscaled
        assert not make_frame((100, 100), (100, 100), "cover", CENTRE).upscaled
        assert not make_frame((1088, 1360), (1080, 1350), "cover", CENTRE).upscaled

    @pytest.mark.parametrize("seed", range(5))
    def test_no_frame_ever_leaves_its_master_or_its_canvas(self, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(500):
            master = dice.randint(1, 4000), dice.randint(1, 4000)
            wanted = dice.randint(1, 2000), dice.randint(1, 2000)
            fit = dice.choice(["cover", "contain", "pad"])
            frame = make_frame(master, wanted, fit, (dice.random(), dice.random()))
            left, top, right, bottom = frame.box
            assert 0 <= left < right <= master[0] + 1e-6
            assert 0 <= top < bottom <= master[1] + 1e-6
            assert frame.canvas == (wanted if fit != "contain" else frame.size)
            assert all(1 <= edge <= limit for edge, limit in zip(frame.size, wanted, strict=True))


class TestPixels:
    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    def test_the_focal_point_is_in_the_picture(self, tmp_path: Path, kind: str) -> None:
        path = save(tmp_path, quarters(400, 200), kind)
        left, right = (framed(path, (50, 100), focal=(x, 0.5)) for x in (0.0, 1.0))
        assert close(left.getpixel((25, 20)), (255, 0, 0))
        assert close(left.getpixel((25, 80)), (0, 0, 255))
        assert close(right.getpixel((25, 20)), (0, 255, 0))
        assert close(right.getpixel((25, 80)), (255, 255, 255))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_master_that_lies_on_its_side_is_put_upright_at_full_size_and_at_a_fraction(
        self, tmp_path: Path, orientation: int
    ) -> None:
        upright = quarters(640, 320)
        back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = save(tmp_path, stored, "jpeg", exif=exif, quality=95)
        for size in ((600, 300), (60, 30)):
            image = framed(path, size)
            assert image.size == size
            wide, high = size[0] // 4, size[1] // 4
            assert close(image.getpixel((wide, high)), (255, 0, 0))
            assert close(image.getpixel((3 * wide, high)), (0, 255, 0))
            assert close(image.getpixel((wide, 3 * high)), (0, 0, 255))

    def test_a_jpeg_decoded_at_a_fraction_looks_like_the_whole_one(self, tmp_path: Path) -> None:
        path = save(tmp_path, photo(1600, 1200), "jpeg", quality=95)
        frame = make_frame((1600, 1200), (200, 150), "cover", CENTRE)
        small, large = (decode(path, scale) for scale in (lambda w, h: frame.scale, whole))
        assert small.image.size == (400, 300)
        assert large.image.size == (1600, 1200)
        pictures = [apply(decoded, frame, None)[0] for decoded in (small, large)]
        assert max(ImageStat.Stat(ImageChops.difference(*pictures)).mean) < 2

    def test_a_profile_is_converted_so_that_colours_stay_what_they_look_like(self, tmp_path: Path) -> None:
        for kind in ("png", "jpeg", "webp"):
            path = save(tmp_path, Image.new("RGB", (64, 64), (200, 30, 30)), kind, icc_profile=swapped_profile())
            assert close(framed(path, (32, 32)).getpixel((9, 9)), (30, 200, 30))

    def test_a_profile_that_cannot_be_read_goes_along(self, tmp_path: Path) -> None:
        path = save(tmp_path, Image.new("RGB", (64, 64), "red"), "png", icc_profile=b"no profile at all")
        decoded = decode(path, whole)
        image, profile = apply(decoded, make_frame((64, 64), (32, 32), "cover", CENTRE), None)
        assert profile == b"no profile at all"
        assert image.getpixel((1, 1)) == (255, 0, 0)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_every_kind_of_png_is_read(self, tmp_path: Path, mode: str) -> None:
        grey = Image.new("L", (64, 64), 255)
        image = Image.new("I;16", (64, 64), 65535) if mode == "I;16" else grey.convert(mode)
        path = save(tmp_path, image, "png")
        assert close(framed(path, (32, 32)).getpixel((9, 9)), (255, 255, 255), by=1)

    def test_a_cmyk_jpeg_is_read(self, tmp_path: Path) -> None:
        path = save(tmp_path, Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "jpeg")
        assert close(framed(path, (32, 32)).getpixel((9, 9)), (255, 0, 0))


class TestTransparency:
    @pytest.fixture
    def half(self, tmp_path: Path) -> Path:
        image = Image.new("RGBA", (200, 100), (255, 0, 0, 255))
        # What is transparent has a colour all the same, and that must not bleed.
        image.paste((0, 0, 255, 0), (100, 0, 200, 100))
        return save(tmp_path, image, "png")

    def test_it_lies_on_the_background_and_no_hidden_colour_bleeds(self, half: Path) -> None:
        image = framed(half, (20, 10))
        assert image.mode == "RGB"
        assert close(image.getpixel((2, 5)), (255, 0, 0))
        assert close(image.getpixel((17, 5)), (255, 255, 255))
        # The sharp edge rings a little, as it does without transparency.
        assert not [x for x in range(20) if image.getpixel((x, 5))[2] > image.getpixel((x, 5))[0] + 12]

    def test_it_stays_when_the_background_is_transparent(self, half: Path) -> None:
        decoded = decode(half, whole)
        for fit, at in (("cover", (19, 5)), ("pad", (10, 1))):
            frame = make_frame((200, 100), (20, 20) if fit == "pad" else (20, 10), fit, CENTRE)
            image, _ = apply(decoded, frame, None)
            assert image.mode == "RGBA"
            assert image.getpixel(at)[3] == 0

    def test_an_opaque_master_is_padded_transparently_too(self, tmp_path: Path) -> None:
        decoded = decode(save(tmp_path, quarters(200, 100), "png"), whole)
        image, _ = apply(decoded, make_frame((200, 100), (20, 20), "pad", CENTRE), None)
        assert image.getpixel((10, 0)) == (0, 0, 0, 0)
        assert image.getpixel((2, 7))[3] == 255

    def test_an_alpha_channel_that_hides_nothing_is_dropped(self, tmp_path: Path) -> None:
        assert decode(save(tmp_path, quarters(200, 100).convert("RGBA"), "png"), whole).image.mode == "RGB"


def _png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


class TestWhatIsNoMaster:
    def test_a_decompression_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        path.write_bytes(_png_of(60_000, 60_000))
        with pytest.raises(DerivativeError, match=f"has 3,600,000,000 pixels, over the limit of {MAX_PIXELS:,}"):
            decode(path, whole)

    def test_a_file_larger_than_any_download_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "large.png"
        with path.open("wb") as file:
            file.write(_png_of(64, 64))
            file.truncate(65 * 1024 * 1024)
        with pytest.raises(DerivativeError, match="has 68,157,440 bytes, over the limit of 67,108,864"):
            decode(path, whole)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"<html>not found</html>", "the master is an HTML or XML document"),
            (_png_of(64, 64)[:-12], "the master is a PNG without its end"),
            (_png_of(64, 64), r"the master cannot be decoded \(OSError"),
            (b"", "the master is only 0 bytes"),
        ],
        ids=["html", "truncated", "too little data", "empty"],
    )
    def test_what_is_broken_is_told(self, tmp_path: Path, data: bytes, message: str) -> None:
        path = tmp_path / "broken.png"
        path.write_bytes(data)
        with pytest.raises(DerivativeError, match=message):
            decode(path, whole)

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    def test_flipped_bytes_end_in_a_picture_or_in_an_error_of_ours(self, tmp_path: Path, kind: str) -> None:
        path = save(tmp_path, quarters(64, 64), kind)
        good = path.read_bytes()
        dice = random.Random(7)
        for _ in range(150):
            data = bytearray(good)
            for _ in range(3):
                data[dice.randrange(8, len(data))] = dice.randrange(256)
            path.write_bytes(data)
            try:
                framed(path, (32, 32))
            except DerivativeError as error:
                assert "the master" in str(error)  # noqa: PT017 - most of them can still be decoded

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DerivativeError, match=r"cannot be decoded \(FileNotFoundError"):
            decode(tmp_path / "none.png", whole)
