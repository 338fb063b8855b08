# SPDX-License-Identifier: Apache-2.0
"""Pictures are real files of the exact size, the same at each read and never the same for two runs."""

from __future__ import annotations

import time
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image, ImageFont

from airflow_provider_runflow.emulator import accents
from airflow_provider_runflow.emulator.pictures import PictureCache, PictureSpec, draw
from tests.unit.emulator.api import Api, urls

SPEC = PictureSpec(
    seed=0,
    run_id="019e0000-0000-7000-8000-000000000001",
    number=1,
    index=0,
    total=1,
    width=320,
    height=240,
    format="png",
    prompt="A red fox",
    model="openai/gpt-image-2",
    quality="high",
)


def opened(data: bytes) -> Image.Image:
    picture = Image.open(BytesIO(data))
    picture.load()  # decodes it all: a broken file fails here
    return picture


def _written(text: str) -> bytes:
    picture = Image.new("RGB", (160, 60), "white")
    font = ImageFont.load_default(30)
    assert isinstance(font, ImageFont.FreeTypeFont)
    accents.write(picture, (5, 45), accents.decomposed(text)[0], font, (0, 0, 0))
    return picture.tobytes()


class TestDelivery:
    @pytest.mark.parametrize(
        ("size", "pixels"),
        [
            ("landscape_16_9", (1024, 576)),
            ("auto", (1024, 1024)),
            (None, (1024, 768)),
            ({"width": 1088, "height": 1360}, (1088, 1360)),
        ],
    )
    def test_a_picture_has_exactly_the_size_that_was_asked_for(self, size: object, pixels: tuple[int, int]) -> None:
        api = Api(picture_size=None)
        run = api.finished(image_size=size)
        assert opened(api.download(urls(run)[0]).content).size == pixels

    @pytest.mark.parametrize(
        ("asked", "kind", "content_type"),
        [("png", "PNG", "image/png"), ("jpeg", "JPEG", "image/jpeg"), ("webp", "WEBP", "image/webp")],
    )
    def test_a_picture_really_is_in_the_format_that_was_asked_for(
        self, api: Api, asked: str, kind: str, content_type: str
    ) -> None:
        response = api.download(urls(api.finished(output_format=asked))[0])
        assert opened(response.content).format == kind
        assert response.headers["content-type"] == content_type

    def test_a_model_that_ignores_the_format_is_a_switch(self) -> None:
        api = Api(force_format="webp")
        url = urls(api.finished(output_format="png"))[0]
        assert ".webp?" in url
        assert opened(api.download(url).content).format == "WEBP"

    def test_chaos_tests_may_have_tiny_pictures(self) -> None:
        api = Api(picture_size=(64, 64))
        assert opened(api.download(urls(api.finished(image_size="square_hd"))[0]).content).size == (64, 64)

    def test_two_runs_of_the_same_request_and_two_images_of_one_run_differ(self, api: Api) -> None:
        runs = [api.finished(num_images=2), api.finished(num_images=2)]
        assert len({api.download(url).content for run in runs for url in urls(run)}) == 4

    def test_the_python_method_gives_the_bytes_that_are_served(self, api: Api) -> None:
        run = api.finished()
        assert api.emulator.picture(run["id"]) == api.download(urls(run)[0]).content


class TestDrawing:
    @pytest.mark.parametrize("file_format", ["png", "jpeg", "webp"])
    def test_the_same_description_gives_the_same_bytes(self, file_format: str) -> None:
        spec = replace(SPEC, format=file_format)
        assert draw(spec) == draw(spec)

    @pytest.mark.parametrize("file_format", ["png", "jpeg", "webp"])
    @pytest.mark.parametrize("size", [(8, 8), (320, 240)])
    def test_number_index_seed_and_run_id_each_change_the_bytes(self, file_format: str, size: tuple[int, int]) -> None:
        base = replace(SPEC, format=file_format, width=size[0], height=size[1])
        others = [replace(base, number=2), replace(base, index=1), replace(base, seed=1), replace(base, run_id="x")]
        assert len({draw(spec) for spec in (base, *others)}) == 5

    def test_prompt_model_and_quality_are_on_the_picture(self) -> None:
        specs = [SPEC, replace(SPEC, prompt="A blue fox"), replace(SPEC, model="x/y"), replace(SPEC, quality="low")]
        assert len({opened(draw(spec)).tobytes() for spec in specs}) == 4

    @pytest.mark.parametrize(
        "prompt",
        [
            "Frühstück im Café, 4,50 €",
            "冬の朝",
            "x" * 32_000,
            "a b " * 8_000,
            "😀",
            "\ud800 lone",
            "two\nlines\x00",
            "  ",
        ],
    )
    def test_any_prompt_can_be_written(self, prompt: str) -> None:
        assert opened(draw(replace(SPEC, prompt=prompt))).size == (320, 240)

    def test_accents_are_drawn_over_the_letters_that_the_font_has(self) -> None:
        written = {text: _written(text) for text in ("uber", "über", "ubér", "uçer", "ucer")}
        assert len(set(written.values())) == 5
        assert accents.decomposed("Äß€—x") == ("A\u0308ssEUR-x", 0)
        assert accents.decomposed("狐 fox") == ("· fox", 1)

    @pytest.mark.parametrize("file_format", ["png", "jpeg", "webp"])
    def test_the_file_itself_says_which_run_it_is_so_that_tiny_ones_differ_too(self, file_format: str) -> None:
        data = draw(replace(SPEC, format=file_format, width=1, height=1))
        assert b"Runflow emulator, run 1 (019e0000-0000-7000-8000-000000000001), picture 1 of 1" in data

    @pytest.mark.parametrize("size", [(1, 1), (16, 400), (700, 233), (240, 720)])
    def test_any_shape_can_be_drawn(self, size: tuple[int, int]) -> None:
        assert opened(draw(replace(SPEC, width=size[0], height=size[1], number=12345))).size == size

    def test_a_square_of_1024_pixels_is_drawn_quickly(self) -> None:
        spec = replace(SPEC, width=1024, height=1024)
        draw(spec)  # imports and fonts
        start = time.process_time()
        draw(replace(spec, number=2))
        assert time.process_time() - start < 0.4


class TestCache:
    def test_a_picture_is_drawn_once(self) -> None:
        cache = PictureCache()
        assert cache.get(SPEC) is cache.get(SPEC)

    def test_the_cache_is_bounded_and_drops_what_was_not_used_for_longest(self) -> None:
        size = len(draw(SPEC))
        cache = PictureCache(max_bytes=int(size * 2.5))
        first = cache.get(SPEC)
        for number in range(2, 6):
            cache.get(replace(SPEC, number=number))
            assert cache.size <= size * 2.5
        assert cache.get(SPEC) == first
