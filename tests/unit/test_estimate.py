# SPDX-License-Identifier: Apache-2.0
"""What a request will probably cost, from the part of it that decides the price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.brief import expand_brief
from airflow_provider_runflow.estimate import estimate_cost
from airflow_provider_runflow.exceptions import InvalidRequestError


@pytest.mark.parametrize(
    ("model", "given", "usd"),
    [
        ("openai/gpt-image-2", {}, "0.133"),
        ("openai/gpt-image-2", {"quality": "low", "num_images": 4}, "0.036"),
        ("openai/gpt-image-2", {"prompt": "a cat", "quality": None, "num_images": "3"}, "0.399"),
        ("openai/gpt-image-2/edit", {"quality": "medium"}, "0.034"),
        ("openai/gpt-image-1.5", {"image_size": {"width": 1024, "height": 1536}}, "0.200"),
        ("openai/gpt-image-1.5/edit", {"quality": "low"}, "0.013"),
        ("black-forest-labs/flux-1-1-pro", {"width": 1440}, "0.04"),
        ("black-forest-labs/flux-1-1-pro-ultra", {"num_images": 2}, "0.12"),
    ],
)
def test_every_model_is_estimated_without_a_prompt(model: str, given: dict[str, Any], usd: str) -> None:
    cost = estimate_cost(model, **given)
    assert isinstance(cost, Decimal)
    assert cost == Decimal(usd)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("acme/sketch", {}, "model='acme/sketch': not in the catalogue"),
        ("openai/gpt-image-2", {"quality": "best"}, "quality='best': must be 'low', 'medium' or 'high'"),
        ("openai/gpt-image-2", {"qualty": "low"}, r"Did you mean quality\?"),
        ("openai/gpt-image-2", {"prompt": " "}, "must not be empty"),
        ("openai/gpt-image-1.5", {"num_images": 40}, "num_images=40: must be at most 4"),
    ],
)
def test_what_could_not_be_bought_has_no_price(model: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        estimate_cost(model, **given)


def test_the_items_of_a_batch_are_estimated_together() -> None:
    items = [
        {"key": "a", "prompt": "a cat", "labels": {"locale": "de-DE"}},
        {"key": "b", "prompt": "a dog", "quality": "high", "variation": 2},
        {"key": "c", "model": "black-forest-labs/flux-1-1-pro-ultra", "input": {"num_images": 2}, "quality": None},
    ]
    assert estimate_cost(items[:2], quality="low") == Decimal("0.142")
    assert estimate_cost(items[2:]) == Decimal("0.12")
    assert estimate_cost([]) == 0


def test_an_edit_is_estimated_as_its_item_is_written() -> None:
    items = [{"key": "cup", "prompt": "on marble", "references": ["s3://shots/cup.png"], "mask": None}]
    assert estimate_cost(items, model="openai/gpt-image-2/edit", quality="medium") == Decimal("0.034")


def test_a_brief_is_estimated_before_it_is_bought() -> None:
    brief = {"prompt": "{product}", "quality": "low", "axes": {"product": ["kettle", "cup"]}}
    assert estimate_cost(expand_brief(brief)) == Decimal("0.018")
