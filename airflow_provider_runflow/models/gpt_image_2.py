# SPDX-License-Identifier: Apache-2.0
"""GPT Image 2 and GPT Image 2 Edit (API reference, 15.1 and 15.2)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt
from airflow_provider_runflow.models.references import Reference, References
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
# The sources say 4 and 10, so the server decides in between.
NumImages = Annotated[int, Field(ge=1, le=10)]


class GptImage2Input(ModelInput):
    """Input of ``openai/gpt-image-2``. The length limit of the prompt is not documented."""

    prompt: Prompt
    quality: Literal["low", "medium", "high"] = "high"
    num_images: NumImages = 1
    image_size: ImageSize | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"


class GptImage2EditInput(ModelInput):
    """
    Input of ``openai/gpt-image-2/edit``.

    How many pictures ``image_urls`` may name is not documented. ``image_size`` is ``auto`` unless given: Runflow takes
    it from the pictures.
    """

    prompt: Prompt
    image_urls: References
    mask_url: Reference | None = None
    quality: Literal["low", "medium", "high"] = "high"
    num_images: NumImages = 1
    image_size: ImageSize | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"


def price(wire_input: Mapping[str, Any]) -> Decimal:
    """Price of one picture by quality (product page); one source prints more, so this is an estimate."""
    return PRICES[wire_input.get("quality") or "high"]


GPT_IMAGE_2 = ImageModel(id="openai/gpt-image-2", input=GptImage2Input, price=price, sizes=SIZES)
GPT_IMAGE_2_EDIT = ImageModel(id="openai/gpt-image-2/edit", input=GptImage2EditInput, price=price, sizes=SIZES)
MODELS = (GPT_IMAGE_2, GPT_IMAGE_2_EDIT)
