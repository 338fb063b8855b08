# SPDX-License-Identifier: Apache-2.0
"""What Runflow tells of its models: typed, page after page, and lenient."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError, MalformedResponseError, NotFoundError
from tests.unit.client.fakes import MODEL, Sync, ok, says

MODEL_ID = "5b9a2d0e-0000-4000-8000-000000000001"
INPUT: dict[str, Any] = {
    "id": "i1",
    "name": "quality",
    "variable_type_code": "select",
    "validator_code": "enum",
    "validator_attrs": {"options": ["low", "medium", "high"]},
    "is_required": False,
    "default_value": "high",
    "a_field_of_next_year": 1,
}
CARD: dict[str, Any] = {
    "id": MODEL_ID,
    "slug": MODEL,
    "name": "GPT Image 2",
    "category_code": "image",
    "status_code": "active",
    "availability_status": "available",
    "version": 3,
    "pricing_note": None,
    "inputs": [INPUT],
    "outputs": [{"name": "outputs", "variable_type_code": "image_list"}],
}
RULE: dict[str, Any] = {
    "pricing_model_code": "per_unit",
    "rule_effect_code": "set",
    "model_input_id": "i1",
    "match_value": "low",
    "dimension_code": None,
    "min_value": None,
    "max_value": 10,
    "price": "0.009",
    "currency_code": "USD",
    "unit_code": "image",
    "multiplier_label": None,
}


def page(*items: dict[str, Any], following: str | None = None) -> Any:
    return ok({"items": list(items), "first": None, "next": following, "previous": None})


class TestModels:
    def test_one_is_read_with_its_inputs(self) -> None:
        client = Sync(ok(CARD))
        card = client.client.catalogue.get(MODEL)
        assert client.script.requests[0].url.path == "/v1/models/openai/gpt-image-2"
        assert (card.id, card.slug, card.name, card.version) == (MODEL_ID, MODEL, "GPT Image 2", "3")
        quality = card.input_named("quality")
        assert quality is not None
        assert (quality.is_required, quality.default_value) == (False, "high")
        assert quality.validator_attrs == {"options": ["low", "medium", "high"]}
        assert card.input_named("no_such_input") is None

    def test_a_deeper_id_keeps_its_slashes(self) -> None:
        client = Sync(ok(CARD))
        client.client.catalogue.get("openai/gpt-image-2/edit")
        assert client.script.requests[0].url.path == "/v1/models/openai/gpt-image-2/edit"

    @pytest.mark.parametrize("model", ["", "gpt-image-2", "openai//x", "openai/.."])
    def test_what_is_no_model_id_is_refused_before_anything_is_sent(self, model: str) -> None:
        client = Sync(ok(CARD))
        with pytest.raises(InvalidRequestError, match="must be owner/name"):
            client.client.catalogue.get(model)
        assert client.script.requests == []

    def test_all_are_listed_over_all_pages(self) -> None:
        client = Sync(page(CARD, following="c2"), page({**CARD, "slug": "a/b"}))
        assert [card.slug for card in client.client.catalogue.list(q="slug.eq:'x'")] == [MODEL, "a/b"]
        assert [dict(request.url.params) for request in client.script.requests] == [
            {"q": "slug.eq:'x'"},
            {"q": "slug.eq:'x'", "pq": "c2"},
        ]

    def test_everything_but_id_and_slug_may_be_null(self) -> None:
        card = Sync(ok(dict.fromkeys(CARD) | {"id": MODEL_ID, "slug": MODEL})).client.catalogue.get(MODEL)
        assert (card.inputs, card.outputs, card.name) == ([], [], None)

    def test_everything_of_an_input_but_its_name_may_be_null(self) -> None:
        nulls = dict.fromkeys(INPUT) | {"name": "quality"}
        card = Sync(ok({**CARD, "inputs": [nulls]})).client.catalogue.get(MODEL)
        assert card.inputs[0].is_required is False
        assert card.inputs[0].validator_attrs is None

    def test_an_answer_without_a_slug_is_malformed(self) -> None:
        with pytest.raises(MalformedResponseError):
            Sync(ok({"id": MODEL_ID})).client.catalogue.get(MODEL)

    def test_an_unknown_model_is_not_found(self) -> None:
        with pytest.raises(NotFoundError):
            Sync(says(404)).client.catalogue.get("openai/gpt-image-9")


class TestPrices:
    def test_a_slug_costs_one_more_call_for_the_uuid(self) -> None:
        client = Sync(ok(CARD), page(RULE))
        (rule,) = client.client.catalogue.pricing(MODEL)
        assert [request.url.path for request in client.script.requests] == [
            "/v1/models/openai/gpt-image-2",
            f"/v1/models/{MODEL_ID}/pricing",
        ]
        assert rule.price == Decimal("0.009")
        assert (rule.unit_code, rule.currency_code, rule.match_value, rule.max_value) == ("image", "USD", "low", "10")

    def test_a_uuid_does_not(self) -> None:
        client = Sync(page(RULE, following="c2"), page(RULE))
        assert len(list(client.client.catalogue.pricing(MODEL_ID))) == 2
        assert client.script.requests[1].url.params["pq"] == "c2"

    def test_every_field_may_be_null_and_a_price_is_never_a_float(self) -> None:
        rules = list(Sync(page(dict.fromkeys(RULE), {"price": 0.133})).client.catalogue.pricing(MODEL_ID))
        assert [rule.price for rule in rules] == [None, Decimal("0.133")]

    def test_a_model_that_is_neither_is_refused(self) -> None:
        with pytest.raises(InvalidRequestError, match="model='': must be owner/name or the model's UUID"):
            Sync(page(RULE)).client.catalogue.pricing("")
