# SPDX-License-Identifier: Apache-2.0
"""GPT Image 2 and its Edit: what they take, what they say about what they do not take, and about what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models.gpt_image_2 import GPT_IMAGE_2, GPT_IMAGE_2_EDIT, PRESETS

CAT = {"prompt": "a cat"}


class TestWhatIsSent:
    def test_only_what_was_given(self) -> None:
        assert GPT_IMAGE_2.validate(CAT) == {"prompt": "a cat"}

    def test_a_default_that_was_given_is_sent_so_that_it_cannot_change_under_the_user(self) -> None:
        given = {"prompt": "a cat", "quality": "high", "num_images": 1, "output_format": "png"}
        assert GPT_IMAGE_2.validate(given) == given

    def test_what_is_none_counts_as_not_given(self) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "image_size": None, "quality": None}) == CAT

    def test_a_prompt_is_sent_letter_by_letter(self) -> None:
        prompt = "  Großes Café ☕\n\t日本語 🦊 {{ not a template }} "
        assert GPT_IMAGE_2.validate({"prompt": prompt}) == {"prompt": prompt}

    @pytest.mark.parametrize("length", [1, 32_000, 1_000_000])
    def test_the_length_of_a_prompt_is_the_servers_affair(self, length: int) -> None:
        assert len(GPT_IMAGE_2.validate({"prompt": "a" * length})["prompt"]) == length

    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_preset_stays_a_preset(self, preset: str) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "image_size": preset})["image_size"] == preset

    def test_pixels_become_an_object(self) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "image_size": "1088x1360"})["image_size"] == {"width": 1088, "height": 1360}

    @pytest.mark.parametrize("number", [4, "4", 4.0])
    def test_a_rendered_number_is_sent_as_a_number(self, number: Any) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "num_images": number})["num_images"] == 4

    @pytest.mark.parametrize("number", [5, 10])
    def test_between_4_and_10_pictures_the_server_decides_since_the_sources_disagree(self, number: int) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "num_images": number})["num_images"] == number


class TestWrongParameters:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "prompt is required."),
            ({"prompt": None}, "prompt is required."),
            ({"prompt": ""}, "prompt='': must not be empty: the prompt says what the picture shows."),
            ({"prompt": " \n"}, "prompt=' \\n': must not be empty: the prompt says what the picture shows."),
            ({"prompt": 7}, "prompt=7: input should be a valid string."),
            (
                {"prompt": "a cat \ud83d"},
                "prompt='a cat \\ud83d': must be text that UTF-8 can carry: it holds half of a surrogate pair, such as "
                "a cut emoji.",
            ),
            ({**CAT, "quality": "ultra"}, "quality='ultra': must be 'low', 'medium' or 'high'."),
            ({**CAT, "quality": "hi"}, "quality='hi': must be 'low', 'medium' or 'high' (did you mean 'high'?)."),
            ({**CAT, "quality": "HIGH"}, "quality='HIGH': must be 'low', 'medium' or 'high' (did you mean 'high'?)."),
            ({**CAT, "quality": "or"}, "quality='or': must be 'low', 'medium' or 'high'."),
            ({**CAT, "quality": 3}, "quality=3: must be 'low', 'medium' or 'high'."),
            ({**CAT, "quality": ""}, "quality='': must be 'low', 'medium' or 'high'."),
            (
                {**CAT, "output_format": "jpg"},
                "output_format='jpg': must be 'png', 'jpeg' or 'webp' (did you mean 'jpeg'?).",
            ),
            ({**CAT, "num_images": 0}, "num_images=0: must be at least 1."),
            ({**CAT, "num_images": 11}, "num_images=11: must be at most 10."),
            (
                {**CAT, "num_images": 1.5},
                "num_images=1.5: input should be a valid integer, got a number with a fractional part.",
            ),
            (
                {**CAT, "num_images": "many"},
                "num_images='many': input should be a valid integer, unable to parse string as an integer.",
            ),
            (
                {**CAT, "image_size": "1080x1350"},
                "image_size='1080x1350': both edges must be multiples of 16; the nearest legal size is 1088x1360 (the "
                "same aspect ratio).",
            ),
            (
                {**CAT, "image_size": {"width": 512, "height": 512}},
                "image_size={'width': 512, 'height': 512}: width x height must be 655,360 to 8,294,400 pixels; the "
                "nearest legal size is 816x816 (the same aspect ratio).",
            ),
            (
                {**CAT, "image_size": "4096x2304"},
                "image_size='4096x2304': an edge may have at most 3840 pixels; the nearest legal size is 3840x2160 "
                "(the same aspect ratio).",
            ),
            (
                {**CAT, "image_size": "2048x512"},
                "image_size='2048x512': the aspect ratio may be at most 3:1; the nearest legal size is 1776x592.",
            ),
            ({**CAT, "image_size": "0x0"}, "image_size='0x0': both edges must be more than 0 pixels."),
            (
                {**CAT, "image_size": "instagram"},
                "image_size='instagram': must be a preset (square_hd, square, portrait_4_3, portrait_16_9, "
                "landscape_4_3, landscape_16_9, auto) or WIDTHxHEIGHT in pixels, such as '1088x1360'.",
            ),
            (
                {**CAT, "sync_mode": True},
                "sync_mode: is not possible here. Runflow keeps its result nowhere, so a picture whose answer gets "
                "lost would be paid and gone; leave it out.",
            ),
            ({**CAT, "imagesize": "auto"}, "imagesize: no such parameter. Did you mean image_size?"),
            ({**CAT, "promt": "a dog"}, "promt: no such parameter. Did you mean prompt?"),
            (
                {**CAT, "seed": 7},
                "seed: no such parameter. It takes prompt, quality, num_images, image_size, output_format.",
            ),
        ],
        ids=lambda value: repr(value)[:60],
    )
    def test_the_message_names_parameter_value_and_rule(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            GPT_IMAGE_2.validate(given)
        assert str(caught.value) == f"openai/gpt-image-2: {message}"

    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            GPT_IMAGE_2.validate({"quality": "best", "num_images": 0, "sise": 1})
        text = str(caught.value)
        assert all(part in text for part in ("prompt is required.", "quality='best'", "num_images=0", "sise: no such"))

    @pytest.mark.parametrize(
        "size",
        [
            {"width": 10**400, "height": 1},
            {"width": "9" * 5000, "height": "1"},
            1024,
            [1024, 1024],
            "99999999x1",
            b"1x1",
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_the_oddest_sizes_are_ordinary_errors(self, size: Any) -> None:
        with pytest.raises(InvalidRequestError, match=r"image_size=.*must be a preset"):
            GPT_IMAGE_2.validate({**CAT, "image_size": size})

    def test_a_long_value_is_cut_in_the_message(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            GPT_IMAGE_2.validate({**CAT, "quality": "x" * 10_000})
        assert len(str(caught.value)) < 250

    def test_it_is_a_value_error_too_as_airflow_shows_those_when_it_parses_a_dag(self) -> None:
        with pytest.raises(ValueError, match="prompt is required"):
            GPT_IMAGE_2.validate({})


class TestTemplatesAtParseTime:
    def test_what_is_skipped_is_not_judged_and_nothing_is_promised_about_the_rest(self) -> None:
        given = {"prompt": "{{ params.prompt }}", "num_images": "{{ params.count }}"}
        assert GPT_IMAGE_2.validate(given, skip={"prompt", "num_images"}) == {}

    def test_a_literal_beside_a_template_is_still_judged(self) -> None:
        with pytest.raises(InvalidRequestError, match="quality='best'") as caught:
            GPT_IMAGE_2.validate({**CAT, "num_images": "{{ n }}", "quality": "best"}, skip={"num_images"})
        assert "num_images" not in str(caught.value)

    def test_a_size_within_a_template_is_left_for_later(self) -> None:
        size = {"width": "{{ w }}", "height": 1360}
        assert GPT_IMAGE_2.validate({**CAT, "image_size": size}, skip={"image_size"}) == CAT

    @pytest.mark.parametrize(
        "size", ["{{ {'width': 1088, 'height': 1360} }}", "{{ ['a'] }}", "{% if x %}auto{% endif %}"]
    )
    def test_a_template_is_never_read_as_a_value(self, size: str) -> None:
        given = {**CAT, "num_images": 4, "image_size": size}
        assert GPT_IMAGE_2.validate(given, skip={"image_size"}) == {**CAT, "num_images": 4}

    def test_what_is_known_beside_a_template_is_returned(self) -> None:
        assert GPT_IMAGE_2.validate({**CAT, "num_images": 4}, skip={"prompt"}) == {"num_images": 4}


class TestEstimates:
    @pytest.mark.parametrize(
        ("wire_input", "usd"),
        [
            ({"prompt": "a", "quality": "low"}, "0.009"),
            ({"prompt": "a", "quality": "medium"}, "0.034"),
            ({"prompt": "a", "quality": "high"}, "0.133"),
            ({"prompt": "a"}, "0.133"),
            ({"prompt": "a", "quality": "medium", "num_images": 4}, "0.136"),
            ({"prompt": "a", "num_images": 10}, "1.330"),
        ],
        ids=str,
    )
    def test_money_is_exact_and_counts_every_picture(self, wire_input: dict[str, Any], usd: str) -> None:
        estimate = GPT_IMAGE_2.estimate(wire_input)
        assert isinstance(estimate, Decimal)
        assert estimate == Decimal(usd)

    def test_what_was_validated_can_be_estimated(self) -> None:
        assert GPT_IMAGE_2.estimate(GPT_IMAGE_2.validate({**CAT, "num_images": "3"})) == Decimal("0.399")


class TestEdit:
    CUP = {"prompt": "on a marble table", "image_urls": ["https://shop.example/cup.jpg"]}

    def test_it_sends_the_pictures_to_work_from_and_what_else_was_given(self) -> None:
        given = {**self.CUP, "mask_url": "runflow://assets/0190", "image_size": "1088x1360"}
        sent = {**given, "image_size": {"width": 1088, "height": 1360}}
        assert GPT_IMAGE_2_EDIT.validate(given) == sent

    def test_without_a_picture_there_is_nothing_to_edit(self) -> None:
        with pytest.raises(InvalidRequestError, match="image_urls is required"):
            GPT_IMAGE_2_EDIT.validate(CAT)

    def test_it_costs_what_its_sibling_costs(self) -> None:
        assert GPT_IMAGE_2_EDIT.estimate({**self.CUP, "quality": "medium", "num_images": 2}) == Decimal("0.068")
