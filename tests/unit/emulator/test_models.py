# SPDX-License-Identifier: Apache-2.0
"""The catalogue over the API: read off its entries, so that a new one needs nothing here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.emulator.catalogue import CATALOGUE, GPT_IMAGE_2
from tests.unit.emulator.api import MODEL, Api, error, refused_fields


def card(api: Api, slug: str = MODEL) -> dict[str, Any]:
    response = api.http.get(f"/v1/models/{slug}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


class TestModels:
    def test_every_model_of_the_catalogue_is_listed_and_read_by_its_slug(self, api: Api) -> None:
        listed = api.http.get("/v1/models").json()["items"]
        assert [item["slug"] for item in listed] == list(CATALOGUE)
        for item in listed:
            assert card(api, item["slug"]) == item

    def test_a_model_has_the_fields_of_the_reference(self, api: Api) -> None:
        assert card(api).keys() == {
            "id", "slug", "name", "category_code", "status_code", "availability_status", "version", "pricing_note",
            "inputs", "outputs",
        }  # fmt: skip

    def test_its_id_is_that_of_its_runs(self, api: Api) -> None:
        assert card(api)["id"] == api.finished()["model_id"]

    @pytest.mark.parametrize("slug", CATALOGUE)
    def test_the_inputs_are_those_that_a_run_is_judged_by(self, api: Api, slug: str) -> None:
        inputs = {item["name"]: item for item in card(api, slug)["inputs"]}
        assert inputs.keys() == CATALOGUE[slug].inputs.keys()
        for name, field in CATALOGUE[slug].inputs.items():
            assert (inputs[name]["is_required"], inputs[name]["default_value"]) == (field.required, field.default)
            assert inputs[name]["variable_type_code"]

    def test_limits_stand_in_the_validators_attributes(self, api: Api) -> None:
        inputs = {item["name"]: item["validator_attrs"] for item in card(api)["inputs"]}
        assert inputs["quality"] == {"options": ["low", "medium", "high"]}
        assert inputs["num_images"] == {"low": 1, "high": 4}
        assert inputs["image_size"]["pixels"] == [655_360, 8_294_400]

    def test_clients_find_one_by_its_slug(self, api: Api) -> None:
        found = api.http.get("/v1/models", params={"q": f"slug.eq:'{MODEL}'"}).json()["items"]
        assert [item["slug"] for item in found] == [MODEL]
        assert api.http.get("/v1/models", params={"q": "slug.EQ:'no/such'"}).json()["items"] == []
        assert refused_fields(api.http.get("/v1/models", params={"q": "name:x"})) == {"query.q": "value_error"}

    def test_an_unknown_model_is_404(self, api: Api) -> None:
        assert error(api.http.get("/v1/models/openai/gpt-image-9")) == (404, "MODEL_NOT_FOUND")

    def test_reading_the_path_of_runs_is_still_the_wrong_method(self, api: Api) -> None:
        assert error(api.http.get(f"/v1/models/{MODEL}/runs")) == (405, "METHOD_NOT_ALLOWED")

    def test_nobody_reads_it_without_a_key(self, api: Api) -> None:
        assert error(api.client(None).get("/v1/models")) == (401, "UNAUTHORIZED")


class TestPrices:
    def rules(self, api: Api, model_id: str = GPT_IMAGE_2.id) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = api.http.get(f"/v1/models/{model_id}/pricing").json()["items"]
        return items

    def test_are_those_that_a_run_is_billed_by(self, api: Api) -> None:
        prices = {rule["match_value"]: rule["price"] for rule in self.rules(api)}
        assert prices == {"low": "0.009", "medium": "0.034", "high": "0.133"}
        for quality, price in prices.items():
            assert Decimal(api.finished(quality=quality)["cost"]) == Decimal(price)

    def test_a_rule_names_the_input_that_it_hangs_on(self, api: Api) -> None:
        quality = next(item for item in card(api)["inputs"] if item["name"] == "quality")
        assert {rule["model_input_id"] for rule in self.rules(api)} == {quality["id"]}

    @pytest.mark.parametrize("slug", CATALOGUE)
    def test_every_price_of_every_model_is_a_decimal_string_in_usd(self, api: Api, slug: str) -> None:
        rules = self.rules(api, CATALOGUE[slug].id)
        assert rules
        assert all(Decimal(rule["price"]) > 0 and rule["currency_code"] == "USD" for rule in rules)

    def test_a_slug_in_the_place_of_the_uuid_is_404(self, api: Api) -> None:
        assert error(api.http.get("/v1/models/gpt-image-2/pricing")) == (404, "MODEL_NOT_FOUND")


class TestPages:
    def page(self, api: Api, **query: Any) -> httpx.Response:
        return api.http.get(f"/v1/models/{GPT_IMAGE_2.id}/pricing", params=query)

    def test_a_list_comes_in_pages_forth_and_back(self, api: Api) -> None:
        first = self.page(api, limit=2).json()
        last = self.page(api, limit=2, pq=first["next"]).json()
        assert [len(first["items"]), len(last["items"])] == [2, 1]
        assert (first["previous"], last["next"]) == (None, None)
        assert self.page(api, limit=2, pq=last["previous"]).json()["items"] == first["items"]

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"pq": "nonsense"}, {"pq": "W10="}, {"pq": "é"}])
    def test_a_wrong_limit_or_cursor_is_422(self, api: Api, query: dict[str, Any]) -> None:
        assert self.page(api, **query).status_code == 422
