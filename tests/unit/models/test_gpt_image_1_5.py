# SPDX-License-Identifier: Apache-2.0
"""GPT Image 1.5 and its Edit: what they send, and about what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.models.gpt_image_1_5 import GPT_IMAGE_1_5, GPT_IMAGE_1_5_EDIT, SIZES

CAT = {"prompt": "a cat"}
CUP = {**CAT, "image_urls": ["https://shop.example/cup.jpg"]}


class TestWhatIsSent:
    def test_only_what_was_given(self) -> None:
        assert GPT_IMAGE_1_5.validate({**CAT, "background": None}) == CAT

    @pytest.mark.parametrize("size", SIZES)
    def test_a_listed_size_is_sent_as_it_is_written(self, size: str) -> None:
        assert GPT_IMAGE_1_5.validate({**CAT, "image_size": size})["image_size"] == size

    @pytest.mark.parametrize(
        "size", [{"width": 1024, "height": 1536}, "1024X1536", " 1024 x 1536 ", "{'width': 1024, 'height': 1536}"]
    )
    def test_the_forms_of_the_other_models_become_the_one_that_this_model_takes(self, size: Any) -> None:
        assert GPT_IMAGE_1_5.validate({**CAT, "image_size": size})["image_size"] == "1024x1536"

    @pytest.mark.parametrize("length", [2, 32_000])
    def test_a_prompt_may_have_2_to_32000_characters(self, length: int) -> None:
        assert len(GPT_IMAGE_1_5.validate({"prompt": "a" * length})["prompt"]) == length

    def test_of_the_undocumented_edit_all_that_is_open_is_left_to_the_server(self) -> None:
        given = {**CUP, "num_images": 9, "image_size": "banner", "background": "checkered"}
        assert GPT_IMAGE_1_5_EDIT.validate(given) == given


class TestEstimates:
    @pytest.mark.parametrize(
        ("given", "usd"),
        [
            ({}, "0.133"),
            ({"quality": "low"}, "0.009"),
            ({"quality": "low", "image_size": "1024x1536"}, "0.013"),
            ({"quality": "medium", "image_size": "1024x1536"}, "0.051"),
            ({"quality": "medium", "image_size": "1536x1024"}, "0.050"),
            ({"image_size": "1024x1536", "num_images": 4}, "0.800"),
            ({"image_size": "1536x1024"}, "0.199"),
        ],
        ids=str,
    )
    def test_a_picture_is_priced_by_quality_and_size(self, given: dict[str, Any], usd: str) -> None:
        assert GPT_IMAGE_1_5.estimate(given) == Decimal(usd)

    def test_where_runflow_chooses_the_size_the_dearest_is_assumed(self) -> None:
        assert GPT_IMAGE_1_5.estimate({"quality": "medium", "image_size": "auto"}) == Decimal("0.051")

    def test_edit_has_no_price_of_its_own_so_it_is_taken_for_its_sibling_at_its_dearest(self) -> None:
        assert GPT_IMAGE_1_5_EDIT.estimate({}) == Decimal("0.200")
        assert GPT_IMAGE_1_5_EDIT.estimate({"quality": "low", "image_size": "1024x1024"}) == Decimal("0.009")
