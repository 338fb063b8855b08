# SPDX-License-Identifier: Apache-2.0
"""GPT Image 2 (API reference, 15.1)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt
from airflow_provider_runflow.models.sizes import SizeRule, check_size

SIZES = SizeRule(multiple=16, max_edge=3840, max_ratio=3, min_pixels=655_360, max_pixels=8_294_400)
PRESETS = (
    "square_hd",
    "square",
    "portrait_4_3",
    "portrait_16_9",
    "landscape_4_3",
    "landscape_16_9",
    "auto",
)
PRICES = {"low": Decimal("0.009"), "medium": Decimal("0.034"), "high": Decimal("0.133")}

ImageSize = Annotated[str | dict[str, int], BeforeValidator(lambda value: check_size(value, PRESETS, SIZES))]


class GptImage2Input(ModelInput):
    """
    Input of ``openai/gpt-image-2``.

    The length limit of the prompt is not documented. Up to 10 pictures: the sources say 4 and 10, so the server decides
    in between.
    """

    prompt: Prompt
    quality: Literal["low", "medium", "high"] = "high"
    num_images: Annotated[int, Field(ge=1, le=10)] = 1
    image_size: ImageSize | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"


def price(wire_input: Mapping[str, Any]) -> Decimal:
    """Price of one picture by quality (product page); one source prints more, so this is an estimate."""
    return PRICES[wire_input.get("quality", "high")]


GPT_IMAGE_2 = ImageModel(id="openai/gpt-image-2", input=GptImage2Input, price=price)
