# SPDX-License-Identifier: Apache-2.0
"""What a request will probably cost, before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_runflow.models import get_model

# What an item has beside the parameters of its model.
ITEM_FIELDS = ("key", "labels", "alt_text", "variation")


DEFAULT_MODEL = "openai/gpt-image-2"


def estimate_cost(requests: str | Sequence[Mapping[str, Any]], *, model: str = DEFAULT_MODEL, **input: Any) -> Decimal:
    """
    Estimate the price of one run, or of all items of a batch; free, and without network: for a check in one's own CI.

    An estimate: prices are those of the product pages (API reference, section 15), and what a page leaves open is
    taken at its dearest. The ``cost_usd`` of a run is the truth.

    >>> estimate_cost("openai/gpt-image-2", quality="low", num_images=4)
    Decimal('0.036')
    >>> estimate_cost([{"key": "a"}, {"key": "b", "quality": "high"}], quality="low")
    Decimal('0.142')

    :param requests: id of a model of the catalogue; or the items of a batch, as its ``requests`` has them
        (:func:`~airflow_provider_runflow.brief.expand_brief` makes them of a brief).
    :param model: of the items that name none.
    :param input: the model's parameters by name, as far as they are known, for all items that have none of their own; a
        prompt is not needed.
    :return: USD for all pictures together.
    :raises InvalidRequestError: the catalogue does not know a model, or a parameter breaks a rule.
    """
    if isinstance(requests, str):
        return _estimate(requests, input)
    return sum((_estimate(*_item(each, model, input)) for each in requests), Decimal(0))


def _item(item: Mapping[str, Any], model: str, shared: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    own = {name: value for name, value in item.items() if name not in (*ITEM_FIELDS, "model", "input")}
    given = {**shared, **own, **(item.get("input") or {})}
    # References cost nothing by themselves, and what they are called on the wire is the operators' business.
    priced = {name: value for name, value in given.items() if name not in ("references", "mask")}
    return str(item.get("model") or model), priced


def _estimate(model: str, wire_input: Mapping[str, Any]) -> Decimal:
    entry = get_model(model)
    entry.validate(wire_input, skip={name for name in entry.required if wire_input.get(name) is None})
    return entry.estimate(wire_input)
