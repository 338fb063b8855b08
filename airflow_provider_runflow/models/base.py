# SPDX-License-Identifier: Apache-2.0
"""What every catalogue entry has: a typed input, its errors in plain words, a price estimate."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_runflow.models.sizes import SizeRule

# The one switch that is refused for every model, whatever Runflow says of it (reference, 3.4).
SYNC_MODE_REFUSED = (
    "sync_mode: is not possible here. Runflow keeps its result nowhere, so a picture whose answer gets lost would be "
    "paid and gone; leave it out."
)


def not_blank(prompt: str) -> str:
    """Check what holds for every prompt."""
    if not prompt.strip():
        raise ValueError("must not be empty: the prompt says what the picture shows")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise ValueError("must be text that UTF-8 can carry: it holds half of a surrogate pair, such as a cut emoji")
    return prompt


Prompt = Annotated[str, AfterValidator(not_blank)]


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
    :param output_format: what its pictures are when the input does not say; ``None`` when that is not documented.
    :param sizes: which sizes in pixels it takes: a rule or a list; ``None`` when it takes none.
    """

    id: str
    input: type[ModelInput]
    price: Callable[[Mapping[str, Any]], Decimal]
    output_format: str | None = "png"
    sizes: SizeRule | tuple[str, ...] | None = None

    @property
    def required(self) -> list[str]:
        """Names of the parameters that have no default."""
        return [name for name, field in self.input.model_fields.items() if field.is_required()]

    def default(self, name: str) -> Any:
        """Return what Runflow takes for a parameter that is not sent; ``None`` when that is not known."""
        field = self.input.model_fields.get(name)
        return None if field is None or field.is_required() else field.default

    def validate(
        self, parameters: Mapping[str, Any], *, skip: Collection[str] = (), called: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """
        Check parameters and return the ``input`` object to send.

        :param parameters: by name; those that are ``None`` are not sent.
        :param skip: names whose values are not known yet (templates): they are not looked at, and what is returned
            lacks them.
        :param called: what the caller calls a parameter, where that differs from its name here; for messages.
        :raises InvalidRequestError: naming each parameter, its value and the rule that it breaks.
        """
        given = {name: value for name, value in parameters.items() if value is not None and name not in skip}
        try:
            return self.input.model_validate(given).wire()
        except ValidationError as invalid:
            names = {name: name for name in self.input.model_fields} | dict(called or {})
            wrong = [_sentence(error, names) for error in invalid.errors() if error["loc"][0] not in skip]
        if wrong:
            raise InvalidRequestError(f"{self.id}: " + " ".join(wrong))
        return given  # all that is wrong with it is what it lacks

    def estimate(self, wire_input: Mapping[str, Any]) -> Decimal:
        """Estimated price in USD of one run with this input, which may lack what the price does not depend on."""
        return self.price(wire_input) * int(wire_input.get("num_images") or 1)


def _sentence(error: Any, names: Mapping[str, str]) -> str:
    name = names.get(str(error["loc"][0]), str(error["loc"][0]))
    if error["type"] == "missing":
        return f"{name} is required."
    if error["type"] == "extra_forbidden":
        return SYNC_MODE_REFUSED if name == "sync_mode" else no_such_parameter(name, list(names.values()))
    value = strip_queries(repr(error["input"]))
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    return f"{name}={shown}: {_rule(error)}."


def no_such_parameter(name: str, known: Sequence[str]) -> str:
    """Say that a parameter does not exist, and which one was probably meant."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else f" It takes {', '.join(known)}."
    return f"{name}: no such parameter.{hint}"


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
    if kind in ("string_too_short", "string_too_long"):
        bound = "at least" if kind == "string_too_short" else "at most"
        length = context.get("min_length", context.get("max_length"))
        return f"must have {bound} {length:,} character{'' if length == 1 else 's'}"
    message = str(error["msg"])
    return message[:1].lower() + message[1:]
