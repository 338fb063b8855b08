# SPDX-License-Identifier: Apache-2.0
"""FLUX 1.1 [pro] and FLUX 1.1 [pro] Ultra (API reference, 15.5 to 15.7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt
from airflow_provider_runflow.models.sizes import SizeRule

PRICE, ULTRA_PRICE = Decimal("0.04"), Decimal("0.06")

LONGEST_EDGE = 1440
# All that is documented is the longest edge.
SIZES = SizeRule(
    multiple=1, max_edge=LONGEST_EDGE, max_ratio=LONGEST_EDGE, min_pixels=1, max_pixels=LONGEST_EDGE * LONGEST_EDGE
)

Edge = Annotated[int, Field(ge=1, le=LONGEST_EDGE)]


class Flux11ProInput(ModelInput):
    """
    Input of ``black-forest-labs/flux-1-1-pro``.

    Up to 1440x1440 pixels; the least size, a step and the defaults are not documented. Pictures are JPEG.
    """

    prompt: Prompt
    width: Edge | None = None
    height: Edge | None = None
    seed: int | None = None


class Flux11ProUltraInput(ModelInput):
    """
    Input of ``black-forest-labs/flux-1-1-pro-ultra``.

    Its page shows the prompt only. The others are those of the model's earlier id, where their defaults are known too
    little to rely on: the server decides.
    """

    prompt: Prompt
    aspect_ratio: Annotated[str, Field(min_length=1)] | None = None
    raw: bool | None = None
    num_images: Annotated[int, Field(ge=1)] | None = None
    output_format: Annotated[str, Field(min_length=1)] | None = None


FLUX_1_1_PRO = ImageModel(
    id="black-forest-labs/flux-1-1-pro",
    input=Flux11ProInput,
    price=lambda _: PRICE,
    output_format="jpeg",
    sizes=SIZES,
)
FLUX_1_1_PRO_ULTRA = ImageModel(
    id="black-forest-labs/flux-1-1-pro-ultra",
    input=Flux11ProUltraInput,
    price=lambda _: ULTRA_PRICE,
    output_format=None,
)
MODELS = (FLUX_1_1_PRO, FLUX_1_1_PRO_ULTRA)
