# SPDX-License-Identifier: Apache-2.0
"""Which size to buy for a channel's size: the same shape where the model draws it, and nothing to scale up."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing.channels import CHANNELS
from airflow_provider_runflow.models.gpt_image_2 import SIZES
from airflow_provider_runflow.models.nearest import nearest_generation_size

PIXELS = sorted({(channel.width, channel.height) for channel in CHANNELS.values()})
# From 320x50 to 1920x1080: what the models' limits leave open.
GRID = [(width, height) for width in range(50, 3841, 137) for height in range(50, 3841, 151)]


@pytest.mark.parametrize(("width", "height"), PIXELS)
def test_what_a_channel_wants_can_be_cut_from_what_is_bought(width: int, height: int) -> None:
    wide, high = nearest_generation_size(width, height)
    assert SIZES.broken(wide, high) is None
    assert wide >= width
    assert high >= height


@pytest.mark.parametrize(("width", "height"), [size for size in PIXELS if max(size) <= 3 * min(size)])
def test_a_shape_that_the_model_draws_loses_less_than_a_hundredth(width: int, height: int) -> None:
    wide, high = nearest_generation_size(width, height)
    assert abs(width / height * high / wide - 1) < 0.01


def test_only_a_few_channel_sizes_can_be_bought_as_they_are() -> None:
    direct = [size for size in PIXELS if SIZES.broken(*size) is None]
    assert direct == [(960, 1200), (1200, 1200), (1280, 720)]
    assert [nearest_generation_size(*size) for size in direct] == direct


def test_no_edge_is_shorter_than_wanted_wherever_the_limits_allow_it() -> None:
    for width, height in GRID:
        wide, high = nearest_generation_size(width, height)
        assert SIZES.broken(wide, high) is None
        fits = max(width, height) <= 3 * min(width, height) and (width + 16) * (height + 16) * 1.02 < SIZES.max_pixels
        if fits and max(width, height) <= 3792:
            assert (wide >= width, high >= height) == (True, True), (width, height, wide, high)


@pytest.mark.parametrize(
    ("wanted", "model", "bought"),
    [
        ((1080, 1350), "openai/gpt-image-2", (1088, 1360)),
        ((1080, 1350), "openai/gpt-image-2/edit", (1088, 1360)),
        ((728, 90), "openai/gpt-image-2", (1440, 480)),
        ((2000, 100), "openai/gpt-image-2", (2016, 672)),
        ((5000, 5000), "openai/gpt-image-2", (2880, 2880)),
        ((1080, 1350), "openai/gpt-image-1.5", (1024, 1536)),
        ((1080, 1080), "openai/gpt-image-1.5/edit", (1024, 1024)),
        ((1080, 1350), "black-forest-labs/flux-1-1-pro", (1080, 1350)),
        ((1920, 1080), "black-forest-labs/flux-1-1-pro", (1440, 810)),
    ],
)
def test_each_model_by_its_own_limits(wanted: tuple[int, int], model: str, bought: tuple[int, int]) -> None:
    assert nearest_generation_size(*wanted, model=model) == bought


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "width=0: must be 1 to 999,999 pixels"),
        ((1, -1), "height=-1: must be"),
        ((1.5, 1), "width=1.5: must be"),
        ((True, 1), "width=True: must be"),
        ((1, 10**6), "height=1000000: must be"),
        ((1, 1, "acme/sketch"), "model='acme/sketch': not in the catalogue"),
        ((1, 1, "black-forest-labs/flux-1-1-pro-ultra"), "takes no size in pixels"),
    ],
)
def test_what_has_no_answer_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        nearest_generation_size(*arguments)
