# SPDX-License-Identifier: Apache-2.0
"""
What Runflow itself says of its models: inputs, availability, prices (API reference, 14).

``models/`` holds what this package knows of a few models without asking; this asks. The lists of codes are not
documented, so codes stay plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.paging import every_item
from airflow_provider_runflow.client.protocol import Call
from airflow_provider_runflow.client.session import Session
from airflow_provider_runflow.client.wire import Listing, Mapped, Money, Text


def _rows(value: Any) -> Any:
    return [] if value is None else value


class InputField(BaseModel):
    """
    One declared input of a model.

    ``variable_type_code`` says what it is, ``validator_code`` and ``validator_attrs`` its limits.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    id: Text = None
    variable_type_code: Text = None
    validator_code: Text = None
    validator_attrs: Mapped = None
    is_required: Annotated[bool, BeforeValidator(bool)] = False
    default_value: Any = None


class OutputField(BaseModel):
    """One declared output of a model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Text = None
    variable_type_code: Text = None


class ModelCard(BaseModel):
    """One model as ``GET /v1/models`` shows it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(min_length=1)
    slug: str = Field(min_length=1)
    name: Text = None
    category_code: Text = None
    status_code: Text = None
    availability_status: Text = None
    version: Text = None
    pricing_note: Text = None
    inputs: Annotated[list[InputField], BeforeValidator(_rows)] = []
    outputs: Annotated[list[OutputField], BeforeValidator(_rows)] = []

    def input_named(self, name: str) -> InputField | None:
        """Return a declared input, or ``None``."""
        return next((field for field in self.inputs if field.name == name), None)


class PriceRule(BaseModel):
    """
    One rule of ``GET /v1/models/{id}/pricing``: what an input with a value costs, in which unit.

    A rule is no quote: how rules combine is not documented, and a run's ``cost`` is the truth.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    price: Money = None
    currency_code: Text = None
    unit_code: Text = None
    pricing_model_code: Text = None
    rule_effect_code: Text = None
    model_input_id: Text = None
    match_value: Text = None
    dimension_code: Text = None
    min_value: Text = None
    max_value: Text = None
    multiplier_label: Text = None


class Catalogue:
    """
    Read models and prices; free of charge.

    :param session: sends the calls.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, q: str | None = None) -> Iterator[ModelCard]:
        """
        Yield the models that the account may use (``GET /v1/models``), page after page.

        :param q: filter, such as ``slug.eq:'openai/gpt-image-2'``.
        """
        return self._every("/v1/models", Listing[ModelCard], q=q)

    def get(self, model: str) -> ModelCard:
        """
        Read one model with its inputs (``GET /v1/models/{owner}/{slug}``).

        :param model: such as ``openai/gpt-image-2``.
        :raises NotFoundError: no such model for this account.
        """
        return self._session.call(Call("GET", protocol.model_path(model), ModelCard))

    def pricing(self, model: str) -> Iterator[PriceRule]:
        """
        Yield the price rules of a model (``GET /v1/models/{id}/pricing``), page after page.

        :param model: its UUID, or its slug: then one more call finds the UUID.
        """
        model_id = self.get(model).id if "/" in model else model
        named = protocol.segment("model", model_id, "must be owner/name or the model's UUID")
        return self._every(f"/v1/models/{named}/pricing", Listing[PriceRule])

    def _every(self, path: str, answer: Any, q: str | None = None) -> Iterator[Any]:
        def read(cursor: str | None) -> Listing[Any]:
            params: Mapping[str, str] = protocol.list_params(q=q, cursor=cursor)
            page: Listing[Any] = self._session.call(Call("GET", path, answer, params=params))
            return page

        return every_item(read)
