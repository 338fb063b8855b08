# SPDX-License-Identifier: Apache-2.0
"""An input against what Runflow says of a model."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.client.catalogue import InputField
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models.schema import check_declared

DECLARED = [
    InputField(name="prompt", is_required=True),
    InputField(name="aspect_ratio", is_required=True, default_value="1:1"),
    InputField(name="seed"),
]


@pytest.mark.parametrize("given", [{"prompt": "a cat"}, {"prompt": "a cat", "seed": None, "aspect_ratio": 7}], ids=str)
def test_names_are_checked_and_values_are_the_servers_affair(given: dict[str, Any]) -> None:
    check_declared("acme/sketch", given, DECLARED)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_declared("acme/sketch", {"promt": "a cat", "steps": 4, "prompt": None}, DECLARED)
    assert str(caught.value) == (
        "acme/sketch: promt: no such parameter. Did you mean prompt? steps: no such parameter. It takes prompt, "
        "aspect_ratio, seed. prompt is required. So says Runflow (check_schema)."
    )


def test_a_model_of_which_runflow_tells_nothing_cannot_be_checked() -> None:
    check_declared("acme/sketch", {"anything": 1}, [])
