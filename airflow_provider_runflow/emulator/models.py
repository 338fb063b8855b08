# SPDX-License-Identifier: Apache-2.0
"""The catalogue as the API shows it: models, their inputs, their prices. All is read off the entries."""

from __future__ import annotations

import re
from dataclasses import asdict
from decimal import Decimal
from typing import Any
from uuid import uuid5

from .catalogue import NAMESPACE, Model
from .paging import page
from .state import Call, State
from .wire import ApiError, JsonDict, Response, json_response

# choice: no code of a variable type but `image` and `image_list` is documented
TYPE_CODES = {
    "Text": "text",
    "Whole": "integer",
    "Choice": "select",
    "Flag": "boolean",
    "ImageSize": "image_size",
    "Link": "image",
    "Links": "image_list",
}
OWN_ATTRS = ("required", "default")
SLUG = re.compile(r"slug\.(?:EQ|eq):'([^']*)'")


def list_models(state: State, call: Call) -> Response:
    """Answer `GET /v1/models`."""
    text = call.request.param("q")
    models = list(state.models.values())
    if text:
        found = SLUG.fullmatch(text)
        if found is None:
            raise ApiError.invalid(["query", "q"], "Only slug.eq:'value' is supported", "value_error")
        models = [model for model in models if model.slug == found.group(1)]
    return page(call.request, [_card(model) for model in models])


def get_model(state: State, call: Call, slug: str) -> Response:
    """Answer `GET /v1/models/{owner}/{slug}`."""
    return json_response(200, _card(find_model(state, slug)))


def find_model(state: State, slug: str) -> Model:
    """Find a model by its slug."""
    model = state.models.get(slug)
    if model is None:
        # choice: the reference has no code for an unknown model
        raise ApiError(404, "MODEL_NOT_FOUND", f"Model '{slug}' was not found.")
    return model


def pricing(state: State, call: Call, model_id: str) -> Response:
    """Answer `GET /v1/models/{model_id}/pricing`, where the model is named by its UUID."""
    for model in state.models.values():
        if model.id == model_id:
            return page(call.request, _price_rules(model))
    raise ApiError(404, "MODEL_NOT_FOUND", f"Model '{model_id}' was not found.")


def _card(model: Model) -> JsonDict:
    return {
        "id": model.id,
        "slug": model.slug,
        "name": model.slug.partition("/")[2].replace("/", " ").replace("-", " "),
        "category_code": "image",
        "status_code": "active",
        "availability_status": "available",
        "version": "1",
        "pricing_note": None,
        "inputs": [_input(model, name, field) for name, field in model.inputs.items()],
        "outputs": [{"name": "outputs", "variable_type_code": "image_list"}],
    }


def _input(model: Model, name: str, field: Any) -> JsonDict:
    kind = type(field).__name__
    code = TYPE_CODES.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    return {
        "id": _input_id(model, name),
        "name": name,
        "variable_type_code": code,
        "validator_code": code,
        "validator_attrs": {key: _json(value) for key, value in asdict(field).items() if key not in OWN_ATTRS},
        "is_required": field.required,
        "default_value": field.default,
    }


def _price_rules(model: Model) -> list[JsonDict]:
    # choice: one rule a price; a price that hangs on several inputs names them, and their values, in one string
    single = model.price_by[0] if len(model.price_by) == 1 else None
    return [
        {
            "id": str(uuid5(NAMESPACE, f"price:{model.slug}:{values}")),
            "pricing_model_code": "per_unit",
            "rule_effect_code": "set",
            "model_input_id": None if single is None else _input_id(model, single),
            "match_value": "+".join(values) or None,
            "dimension_code": "+".join(model.price_by) or None,
            "min_value": None,
            "max_value": None,
            "price": str(price),
            "currency_code": "USD",
            "unit_code": "image",
            "multiplier_label": None,
        }
        for values, price in model.prices.items()
    ]


def _input_id(model: Model, name: str) -> str:
    return str(uuid5(NAMESPACE, f"input:{model.slug}:{name}"))


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
