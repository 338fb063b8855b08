# SPDX-License-Identifier: Apache-2.0
"""The models as data: inputs, limits, prices and durations. A new model is a new entry, not new code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import sqrt
from typing import Any
from uuid import UUID, uuid5

from .inputs import Choice, Field, Flag, ImageSize, Link, Links, Text, Whole

NAMESPACE = UUID("6f1c5d0e-52f5-5c0b-9d53-8c1d7f3a2b10")

# choice: the names of the presets are documented but not their pixels; these are the usual ones
PRESET_PIXELS: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
    "auto": (1024, 1024),
}
PAIR = re.compile(r"(\d+)[x:](\d+)")


@dataclass(frozen=True)
class Model:
    """One model of the catalogue."""

    slug: str
    inputs: Mapping[str, Field]
    price_by: tuple[str, ...]
    """The inputs on which the price of one image depends."""
    prices: Mapping[tuple[str, ...], Decimal]
    seconds_by_quality: Mapping[str, float]
    """Under the empty text for a model without qualities."""
    seconds_range: tuple[float, float]
    format: str = "png"
    """What comes when no format is asked for."""
    usual_pixels: tuple[int, int] = (1024, 1024)
    """What comes when no size is asked for; of an aspect ratio, as many pixels."""

    @cached_property
    def id(self) -> str:
        """The UUID that the API shows instead of the slug."""
        return str(uuid5(NAMESPACE, self.slug))

    def value(self, given: Mapping[str, Any], name: str) -> Any:
        """Give an input, or its default."""
        value = given.get(name)
        field = self.inputs.get(name)
        return field.default if value is None and field is not None else value

    def price(self, given: Mapping[str, Any]) -> Decimal:
        """Give the price of one image in USD."""
        return self.prices[tuple(str(self.value(given, name)) for name in self.price_by)]

    def images(self, given: Mapping[str, Any]) -> int:
        """Give the number of pictures asked for."""
        return int(self.value(given, "num_images") or 1)

    def quality(self, given: Mapping[str, Any]) -> str:
        """Give the quality tier; empty for a model without one."""
        return str(self.value(given, "quality") or "")

    def output_format(self, given: Mapping[str, Any]) -> str:
        """Give the file format: png, jpeg or webp."""
        return str(self.value(given, "output_format") or self.format)

    def pixels(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """Give the size of the picture, by whichever inputs the model has for it."""
        size, ratio = self.value(given, "image_size"), PAIR.fullmatch(str(self.value(given, "aspect_ratio")))
        width, height = self.usual_pixels
        if isinstance(size, str):
            pair = PAIR.fullmatch(size)
            return (int(pair[1]), int(pair[2])) if pair else PRESET_PIXELS.get(size, self.usual_pixels)
        if ratio is not None:
            return _of_ratio(int(ratio[1]), int(ratio[2]), width * height)
        box: Mapping[str, Any] = size if isinstance(size, Mapping) else given
        return int(box.get("width") or width), int(box.get("height") or height)


def _of_ratio(across: int, down: int, pixels: int) -> tuple[int, int]:
    """Give about so many pixels in a ratio, in multiples of 32."""
    width, height = sqrt(pixels * across / down), sqrt(pixels * down / across)
    return max(32, round(width / 32) * 32), max(32, round(height / 32) * 32)


def _usd(**prices: str) -> Mapping[tuple[str, ...], Decimal]:
    return {(name,): Decimal(price) for name, price in prices.items()}


QUALITY = Choice(("low", "medium", "high"), default="high")
FORMAT = Choice(("png", "jpeg", "webp"), default="png")
SYNC_MODE = Flag(allowed=False, default=False)
# choice: no limit is documented but for GPT Image 1.5
PROMPT = Text(2, 32_000, required=True)
NUM_IMAGES = Whole(1, 4, default=1)  # the site says 10 of GPT Image 2: --max-images
EDITED: Mapping[str, Field] = {"image_urls": Links(required=True), "mask_url": Link()}


def _image_size(default: str) -> ImageSize:
    return ImageSize(
        presets=tuple(PRESET_PIXELS),
        multiple_of=16,
        max_edge=3840,
        max_aspect=3,
        pixels=(655_360, 8_294_400),
        default=default,
    )


GPT_IMAGE_2 = Model(
    slug="openai/gpt-image-2",
    inputs={
        "prompt": PROMPT,
        "num_images": NUM_IMAGES,
        "output_format": FORMAT,
        "image_size": _image_size("landscape_4_3"),
        "quality": QUALITY,
        "sync_mode": SYNC_MODE,
    },
    price_by=("quality",),
    prices=_usd(low="0.009", medium="0.034", high="0.133"),
    seconds_by_quality={"low": 10.0, "medium": 18.0, "high": 28.0},
    seconds_range=(10.0, 30.0),
)

GPT_IMAGE_2_EDIT = Model(
    slug="openai/gpt-image-2/edit",
    inputs={**GPT_IMAGE_2.inputs, **EDITED, "image_size": _image_size("auto")},
    price_by=GPT_IMAGE_2.price_by,
    prices=GPT_IMAGE_2.prices,
    # choice: not documented; a client waits up to 420 s for high quality
    seconds_by_quality={"low": 14.0, "medium": 25.0, "high": 45.0},
    seconds_range=(10.0, 60.0),
)

SIZES_1_5 = ("1024x1024", "1024x1536", "1536x1024", "auto")
PRICES_1_5 = {
    "low": ("0.009", "0.013", "0.013"),
    "medium": ("0.034", "0.051", "0.050"),
    "high": ("0.133", "0.200", "0.199"),
}

GPT_IMAGE_1_5 = Model(
    slug="openai/gpt-image-1.5",
    inputs={
        "prompt": PROMPT,
        "quality": QUALITY,
        "image_size": Choice(SIZES_1_5, default="1024x1024"),
        "background": Choice(("auto", "transparent", "opaque"), default="auto"),
        "num_images": NUM_IMAGES,
        "output_format": FORMAT,
        "sync_mode": SYNC_MODE,
    },
    price_by=("quality", "image_size"),
    # choice: `auto` draws a square here, at its price; what tokens of text add on top is left out
    prices={
        (quality, size): Decimal(price)
        for quality, prices in PRICES_1_5.items()
        for size, price in zip(SIZES_1_5, (*prices, prices[0]), strict=True)
    },
    seconds_by_quality={"low": 10.0, "medium": 18.0, "high": 28.0},  # choice: as its successor
    seconds_range=(8.0, 30.0),
)

# choice: only the name of this model is documented; all else is as its two siblings have it
GPT_IMAGE_1_5_EDIT = Model(
    slug="openai/gpt-image-1.5/edit",
    inputs={**GPT_IMAGE_1_5.inputs, **EDITED, "image_size": Choice(SIZES_1_5, default="auto")},
    price_by=GPT_IMAGE_1_5.price_by,
    prices=GPT_IMAGE_1_5.prices,
    seconds_by_quality=GPT_IMAGE_2_EDIT.seconds_by_quality,
    seconds_range=GPT_IMAGE_2_EDIT.seconds_range,
)

FLUX_1_1_PRO = Model(
    slug="black-forest-labs/flux-1-1-pro",
    inputs={
        "prompt": PROMPT,
        "seed": Whole(),
        # choice: neither a least size nor a step nor a default is documented
        "width": Whole(1, 1440),
        "height": Whole(1, 1440),
    },
    price_by=(),
    prices={(): Decimal("0.04")},
    seconds_by_quality={"": 4.0},
    seconds_range=(2.0, 6.0),
    format="jpeg",
)

FLUX_1_1_PRO_ULTRA = Model(
    slug="black-forest-labs/flux-1-1-pro-ultra",
    # choice: only the prompt is documented; the others are those of the model's earlier id
    inputs={
        "prompt": PROMPT,
        "aspect_ratio": Choice(
            ("21:9", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16", "9:21"),
            default="16:9",
        ),
        "raw": Flag(default=False),
        "num_images": NUM_IMAGES,
        "output_format": Choice(("jpeg", "png"), default="jpeg"),
    },
    price_by=(),
    prices={(): Decimal("0.06")},
    seconds_by_quality={"": 10.0},
    seconds_range=(8.0, 12.0),
    format="jpeg",
    usual_pixels=(2752, 1536),
)

CATALOGUE: Mapping[str, Model] = {
    model.slug: model
    for model in (
        GPT_IMAGE_2,
        GPT_IMAGE_2_EDIT,
        GPT_IMAGE_1_5,
        GPT_IMAGE_1_5_EDIT,
        FLUX_1_1_PRO,
        FLUX_1_1_PRO_ULTRA,
    )
}
