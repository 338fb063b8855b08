# SPDX-License-Identifier: Apache-2.0
"""What a request will probably cost, before anything is submitted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from airflow_provider_runflow.models import get_model


def estimate_cost(model: str, **input: Any) -> Decimal:
    """
    Estimate the price of one run; free, and without network.

    An estimate: prices are those of the product pages (API reference, section 15), and what a page leaves open is
    taken at its dearest. The ``cost_usd`` of a run is the truth.

    >>> estimate_cost("openai/gpt-image-2", quality="low", num_images=4)
    Decimal('0.036')

    :param model: id of a model of the catalogue.
    :param input: the model's parameters by name, as far as they are known; a prompt is not needed.
    :return: USD for all pictures of the run together.
    :raises InvalidRequestError: the catalogue does not know the model, or a parameter breaks a rule.
    """
    entry = get_model(model)
    entry.validate(input, skip={name for name in entry.required if input.get(name) is None})
    return entry.estimate(input)
