# SPDX-License-Identifier: Apache-2.0
"""An input against what Runflow itself says of a model (``GET /v1/models/…``; API reference, section 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models.base import no_such_parameter


class Declared(Protocol):
    """One parameter as Runflow declares it."""

    @property
    def name(self) -> str:
        """As it stands in the input."""

    @property
    def is_required(self) -> bool:
        """Whether it has to be given."""

    @property
    def default_value(self) -> Any:
        """What Runflow takes when it is not given."""


def check_declared(model_id: str, wire_input: Mapping[str, Any], declared: Sequence[Declared]) -> None:
    """
    Check the names in an input. Types and limits are Runflow's to judge: how it writes them is not documented.

    :param declared: the model's parameters; without any nothing can be checked.
    :raises InvalidRequestError: naming every parameter that does not exist, and every required one that is missing.
    """
    if not declared:
        return
    names = [each.name for each in declared]
    wrong = [no_such_parameter(name, names) for name in wire_input if name not in names]
    wrong += [
        f"{each.name} is required."
        for each in declared
        if each.is_required and each.default_value is None and wire_input.get(each.name) is None
    ]
    if wrong:
        raise InvalidRequestError(f"{model_id}: {' '.join(wrong)} So says Runflow (check_schema).")
