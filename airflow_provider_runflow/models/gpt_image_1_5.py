# SPDX-License-Identifier: Apache-2.0
"""GPT Image 1.5 and GPT Image 1.5 Edit (API reference, 15.3 and 15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt, not_blank
from airflow_provider_runflow.models.references import Reference, References
from airflow_provider_runflow.models.sizes import check_listed_size, size_text

SIZES = ("1024x1024", "1536x1024", "1024x1536", "auto")
PRICES = {
    "low": {"1024x1024": Decimal("0.009"), "1024x1536": Decimal("0.013"), "1536x1024": Decimal("0.013")},
    "medium": {"1024x1024": Decimal("0.034"), "1024x1536": Decimal("0.051"), "1536x1024": Decimal("0.050")},
    "high": {"1024x1024": Decimal("0.133"), "1024x1536": Decimal("0.200"), "1536x1024": Decimal("0.199")},
}

ListedSize = Annotated[str, BeforeValidator(lambda value: check_listed_size(value, SIZES))]


class GptImage15Input(ModelInput):
    """Input of ``openai/gpt-image-1.5``."""

    prompt: Annotated[str, Field(min_length=2, max_length=32_000), AfterValidator(not_blank)]
    quality: Literal["low", "medium", "high"] = "high"
    num_images: Annotated[int, Field(ge=1, le=4)] = 1
    image_size: ListedSize | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"


class GptImage15EditInput(ModelInput):
    """
    Input of ``openai/gpt-image-1.5/edit``.

    The reference has no page of this model, only its name. The parameters are those of its siblings; what only one of
    them has, or limits, stays open here: the server decides.
    """

    prompt: Prompt
    image_urls: References
    mask_url: Reference | None = None
    quality: Literal["low", "medium", "high"] = "high"
    num_images: Annotated[int, Field(ge=1)] = 1
    image_size: Annotated[str, BeforeValidator(size_text)] | None = None
    background: str | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"


def price(wire_input: Mapping[str, Any]) -> Decimal:
    """
    Price of one picture by quality and size (model page).

    Where Runflow chooses the size itself, the dearest of the quality. An older page adds $0.005 for 1,000 tokens of
    text read and $0.010 for 1,000 written.
    """
    by_size = PRICES[wire_input.get("quality") or "high"]
    size = size_text(wire_input.get("image_size") or "1024x1024")
    return by_size.get(str(size), max(by_size.values()))


def edit_price(wire_input: Mapping[str, Any]) -> Decimal:
    """Price of one edited picture: not documented, so that of the sibling; without a size, its dearest."""
    return price({**wire_input, "image_size": wire_input.get("image_size") or "auto"})


GPT_IMAGE_1_5 = ImageModel(id="openai/gpt-image-1.5", input=GptImage15Input, price=price, sizes=SIZES)
GPT_IMAGE_1_5_EDIT = ImageModel(
    id="openai/gpt-image-1.5/edit", input=GptImage15EditInput, price=edit_price, sizes=SIZES
)
MODELS = (GPT_IMAGE_1_5, GPT_IMAGE_1_5_EDIT)
