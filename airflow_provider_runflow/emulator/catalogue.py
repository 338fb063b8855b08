# SPDX-License-Identifier: Apache-2.0
"""The models as data: inputs, limits, prices and durations. A new model is a new entry, not new code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from .inputs import Choice, Field, Flag, ImageSize, Text, Whole

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


@dataclass(frozen=True)
class Model:
    """One model of the catalogue."""

    slug: str
    inputs: Mapping[str, Field]
    price_by: tuple[str, ...]
    """The inputs on which the price of one image depends."""
    prices: Mapping[tuple[str, ...], Decimal]
    seconds_by_quality: Mapping[str, float]
    seconds_range: tuple[float, float]

    @property
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
        """Give the quality tier."""
        return str(self.value(given, "quality") or "high")

    def output_format(self, given: Mapping[str, Any]) -> str:
        """Give the file format: png, jpeg or webp."""
        return str(self.value(given, "output_format") or "jpeg")

    def pixels(self, given: Mapping[str, Any]) -> tuple[int, int]:
        """Give the size of the picture."""
        size = self.value(given, "image_size")
        if isinstance(size, Mapping):
            return int(size["width"]), int(size["height"])
        return PRESET_PIXELS.get(str(size), PRESET_PIXELS["auto"])


GPT_IMAGE_2 = Model(
    slug="openai/gpt-image-2",
    inputs={
        # choice: no limit is documented for this model; GPT Image 1.5 has 2-32,000 characters
        "prompt": Text(2, 32_000, required=True),
        "num_images": Whole(1, 4, default=1),  # the site says 10: --max-images
        "output_format": Choice(("png", "jpeg", "webp"), default="png"),
        "image_size": ImageSize(
            presets=tuple(PRESET_PIXELS),
            multiple_of=16,
            max_edge=3840,
            max_aspect=3,
            pixels=(655_360, 8_294_400),
            default="landscape_4_3",
        ),
        "quality": Choice(("low", "medium", "high"), default="high"),
        "sync_mode": Flag(allowed=False, default=False),
    },
    price_by=("quality",),
    prices={("low",): Decimal("0.009"), ("medium",): Decimal("0.034"), ("high",): Decimal("0.133")},
    seconds_by_quality={"low": 10.0, "medium": 18.0, "high": 28.0},
    seconds_range=(10.0, 30.0),
)

CATALOGUE: Mapping[str, Model] = {model.slug: model for model in (GPT_IMAGE_2,)}
