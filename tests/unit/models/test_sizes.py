# SPDX-License-Identifier: Apache-2.0
"""Picture sizes: what is legal, what is nearest to what is not, and how people may write one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_runflow.models.gpt_image_2 import PRESETS, SIZES
from airflow_provider_runflow.models.sizes import SizeRule, check_size, parse_size

EDGES = [*range(1, 4200, 131), 655, 1024, 1350, 1920, 2160, 3839, 3840, 3841, 9999, 999_999]


Nearest = dict[tuple[int, int], tuple[int, int]]
#: From one pixel to far beyond the limits.
GRID = [(width, height) for width in EDGES for height in EDGES]


@pytest.fixture(scope="module")
def nearest() -> Nearest:
    return {size: SIZES.nearest(*size) for size in GRID}


def limits_of_the_ratio() -> Iterator[tuple[int, int]]:
    """The narrowest and the widest that 3:1 allows, at every scale."""
    for edge in range(1, 4000, 13):
        yield edge, 3 * edge
        yield 3 * edge, edge
        yield edge, 3 * edge - 1
        yield 3 * edge - 1, edge


class TestLegalSizes:
    @pytest.mark.parametrize(
        ("width", "height"),
        [(1024, 1024), (1088, 1360), (1536, 1024), (3840, 2160), (2160, 3840), (1536, 512), (1440, 480), (816, 816)],
    )
    def test_these_are(self, width: int, height: int) -> None:
        assert SIZES.broken(width, height) is None

    @pytest.mark.parametrize(
        ("width", "height", "rule"),
        [
            (0, 1024, "both edges must be more than 0 pixels"),
            (-16, 1024, "both edges must be more than 0 pixels"),
            (1080, 1350, "both edges must be multiples of 16"),
            (1024, 1025, "both edges must be multiples of 16"),
            (3856, 2160, "an edge may have at most 3840 pixels"),
            (1552, 512, "the aspect ratio may be at most 3:1"),
            (512, 1552, "the aspect ratio may be at most 3:1"),
            (512, 512, "width x height must be 655,360 to 8,294,400 pixels"),
            (3840, 3840, "width x height must be 655,360 to 8,294,400 pixels"),
        ],
    )
    def test_these_are_not_and_the_first_broken_rule_is_named(self, width: int, height: int, rule: str) -> None:
        assert SIZES.broken(width, height) == rule

    def test_the_limits_themselves_are_legal(self) -> None:
        assert SIZES.min_pixels == 1024 * 640
        assert SIZES.max_pixels == 3840 * 2160
        assert SIZES.broken(1024, 640) is SIZES.broken(3840, 2160) is None


class TestTheNearestSize:
    def test_the_social_media_portrait_keeps_its_4_to_5(self) -> None:
        assert SIZES.nearest(1080, 1350) == (1088, 1360)

    @pytest.mark.parametrize(
        ("asked", "near"),
        [
            ((1080, 1080), (1088, 1088)),
            ((1920, 1080), (1936, 1088)),
            ((1200, 630), (1216, 640)),
            ((100, 100), (816, 816)),
            ((10_000, 10_000), (2880, 2880)),
            ((4000, 100), (1440, 480)),
        ],
    )
    def test_formats_that_people_ask_for(self, asked: tuple[int, int], near: tuple[int, int]) -> None:
        assert SIZES.nearest(*asked) == near

    def test_it_is_always_legal(self, nearest: Nearest) -> None:
        assert {size: near for size, near in nearest.items() if SIZES.broken(*near)} == {}

    def test_it_keeps_every_ratio_that_the_model_can_draw_within_one_percent(self, nearest: Nearest) -> None:
        drawable = {size: near for size, near in nearest.items() if max(size) <= SIZES.max_ratio * min(size)}
        assert len(drawable) > 400
        assert {size: near for size, near in drawable.items() if _ratio_error(size, near) > 0.01} == {}

    def test_at_the_limits_of_the_ratio_too(self) -> None:
        sizes = list(limits_of_the_ratio())
        near = [SIZES.nearest(*size) for size in sizes]
        assert [n for n in near if SIZES.broken(*n)] == []
        assert max(_ratio_error(size, n) for size, n in zip(sizes, near, strict=True)) <= 0.01

    def test_a_ratio_that_the_model_cannot_draw_becomes_the_closest_one(self, nearest: Nearest) -> None:
        extreme = {size: near for size, near in nearest.items() if max(size) > SIZES.max_ratio * min(size)}
        assert len(extreme) > 400
        assert {max(near) / min(near) for near in extreme.values()} == {3.0}

    def test_it_stays_as_it_is_when_it_is_legal_already(self) -> None:
        legal = [(w * 16, h * 16) for w in range(30, 241, 7) for h in range(30, 241, 7)]
        legal = [size for size in legal if SIZES.broken(*size) is None]
        assert [size for size in legal if SIZES.nearest(*size) != size] == []


def _ratio_error(one: tuple[int, int], other: tuple[int, int]) -> float:
    return abs(math.exp(abs(math.log(one[0] / one[1] / (other[0] / other[1])))) - 1)


class TestSpellings:
    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ("1088x1360", (1088, 1360)),
            ("1088X1360", (1088, 1360)),
            (" 1088 x 1360 ", (1088, 1360)),
            ({"width": 1088, "height": 1360}, (1088, 1360)),
            ({"height": 1360, "width": 1088}, (1088, 1360)),
            ({"width": "1088", "height": "1360"}, (1088, 1360)),
            ({"width": -5, "height": 0}, (-5, 0)),
        ],
        ids=str,
    )
    def test_pixels_may_be_written_as_text_or_object(self, value: Any, size: tuple[int, int]) -> None:
        assert parse_size(value) == size

    @pytest.mark.parametrize(
        "value",
        [
            "square_hd",
            "1088",
            "1088x",
            "x1360",
            "1088x1360x3",
            "1088*1360",
            "-1088x1360",
            "1088.0x1360",
            "1234567x16",
            1024,
            (1088, 1360),
            [1088, 1360],
            {"width": 1088},
            {"width": 1088, "height": 1360, "depth": 1},
            {"width": 1088.0, "height": 1360},
            {"width": True, "height": True},
            {"width": None, "height": 1360},
            {"width": "wide", "height": "high"},
            {"width": 10**400, "height": 1},
            {"width": "9" * 5000, "height": "1"},
            None,
            {},
        ],
        ids=lambda value: repr(value)[:40],
    )
    def test_anything_else_is_no_size_in_pixels(self, value: Any) -> None:
        assert parse_size(value) is None


class TestChecking:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_preset_is_sent_as_it_is(self, preset: str) -> None:
        assert check_size(preset, PRESETS, SIZES) == preset

    @pytest.mark.parametrize(
        "value", ["1088x1360", {"width": 1088, "height": 1360}, {"width": "1088", "height": "1360"}]
    )
    def test_pixels_are_sent_as_the_object_of_the_reference(self, value: Any) -> None:
        assert check_size(value, PRESETS, SIZES) == {"width": 1088, "height": 1360}

    def test_a_wrong_size_names_the_rule_and_the_nearest_legal_one(self) -> None:
        with pytest.raises(ValueError, match="must be") as caught:
            check_size("1080x1350", PRESETS, SIZES)
        assert str(caught.value) == (
            "both edges must be multiples of 16; the nearest legal size is 1088x1360 (the same aspect ratio)"
        )

    def test_it_does_not_claim_the_same_ratio_where_that_is_only_close(self) -> None:
        with pytest.raises(ValueError, match="must be") as caught:
            check_size("1200x630", PRESETS, SIZES)
        assert str(caught.value) == "both edges must be multiples of 16; the nearest legal size is 1216x640"

    def test_for_no_pixels_at_all_there_is_no_nearest_one(self) -> None:
        with pytest.raises(ValueError, match=r"^both edges must be more than 0 pixels$"):
            check_size("0x1024", PRESETS, SIZES)


def test_a_rule_of_another_model_is_served_as_well() -> None:
    flux = SizeRule(multiple=32, max_edge=1440, max_ratio=4, min_pixels=256 * 256, max_pixels=1440 * 1440)
    for width, height in GRID[::7]:
        assert flux.broken(*flux.nearest(width, height)) is None
