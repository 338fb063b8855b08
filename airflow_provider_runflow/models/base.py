# SPDX-License-Identifier: Apache-2.0
"""What every catalogue entry has: a typed input, its errors in plain words, a price estimate."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from airflow_provider_runflow.exceptions import InvalidRequestError


def _not_blank(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("must not be empty: the prompt says what the picture shows")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise ValueError("must be text that UTF-8 can carry: it holds half of a surrogate pair, such as a cut emoji")
    return prompt


Prompt = Annotated[str, AfterValidator(_not_blank)]


class ModelInput(BaseModel):
    """Base of the typed inputs: unknown parameters are errors, unset ones are not sent (and so not hashed)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def wire(self) -> dict[str, Any]:
        """The ``input`` object to send: only what was given."""
        return self.model_dump(mode="json", exclude_none=True, exclude_unset=True)


@dataclass(frozen=True)
class ImageModel:
    """
    One model of the catalogue.

    :param id: model id as in the API's path.
    :param input: typed input with the limits that the API reference knows; what it leaves open stays open.
    :param price: from a wire input to the estimated price of one picture in USD; the run's ``cost`` is the truth.
    """

    id: str
    input: type[ModelInput]
    price: Callable[[Mapping[str, Any]], Decimal]

    def validate(self, parameters: Mapping[str, Any], *, skip: Collection[str] = ()) -> dict[str, Any]:
        """
        Check parameters and return the ``input`` object to send.

        :param parameters: by name; those that are ``None`` are not sent.
        :param skip: names whose values are not known yet (templates); their errors are left for later, and
            an empty dict is returned when there were some.
        :raises InvalidRequestError: naming each parameter, its value and the rule that it breaks.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            return self.input.model_validate(given).wire()
        except ValidationError as invalid:
            known = list(self.input.model_fields)
            wrong = [_sentence(error, known) for error in invalid.errors() if error["loc"][0] not in skip]
        if wrong:
            raise InvalidRequestError(f"{self.id}: " + " ".join(wrong))
        return {}

    def estimate(self, wire_input: Mapping[str, Any]) -> Decimal:
        """Estimated price in USD of one run with this input."""
        return self.price(wire_input) * int(wire_input.get("num_images", 1))


def _sentence(error: Any, known: list[str]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name} is required."
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" It takes {', '.join(known)}."
        return f"{name}: no such parameter.{hint}"
    value = repr(error["input"])
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    return f"{name}={shown}: {_rule(error)}."


def _rule(error: Any) -> str:
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        expected = str(context["expected"])
        near = difflib.get_close_matches(str(error["input"]).lower(), re.findall("'([^']*)'", expected), n=1)
        return f"must be {expected}" + (f" (did you mean {near[0]!r}?)" if near else "")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = "at least" if kind == "greater_than_equal" else "at most"
        return f"must be {bound} {context.get('ge', context.get('le'))}"
    message = str(error["msg"])
    return message[:1].lower() + message[1:]
