# SPDX-License-Identifier: Apache-2.0
"""What the API sends, as typed models: lenient on reading, since a paid run must never be lost to a null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ACTIVE = frozenset({"queued", "dispatching", "running"})
DELIVERED = frozenset({"succeeded", "partial_succeeded"})
TERMINAL = DELIVERED | {"failed", "cancelled"}


def _status(value: Any) -> Any:
    return "cancelled" if value == "canceled" else value


def _money(value: Any) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _mapping(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _without_null(data: Any, *pairs: tuple[str, str]) -> Any:
    # Of two names for one field the first wins, unless it is null: an id or a cursor must not be lost to that.
    nulls = {name for name, _ in pairs if isinstance(data, Mapping) and data.get(name) is None}
    return {name: value for name, value in data.items() if name not in nulls} if nulls else data


Text = Annotated[str | None, BeforeValidator(_text)]
Mapped = Annotated[dict[str, Any] | None, BeforeValidator(_mapping)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class Run(BaseModel):
    """
    One execution of a model (runflow-api reference, "Run object").

    Practically every field is nullable there, so only ``id`` and ``status_code`` are required here. Both spellings of
    cancelled are read as ``cancelled``. ``cost`` is USD and stays ``None`` until Runflow knows it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    id: str = Field(validation_alias=AliasChoices("id", "run_id"), min_length=1)
    status_code: Annotated[str, BeforeValidator(_status)]
    client_ref: Text = None
    metadata: Mapped = None
    # As Runflow shows it; references in it may be signed anew at every read.
    input: Mapped = Field(default=None, repr=False)
    # Its URLs are secrets while they live.
    output: Mapped = Field(default=None, repr=False)
    cost: Annotated[Decimal | None, BeforeValidator(_money)] = None
    duration_ms: Annotated[int | None, BeforeValidator(lambda v: v if isinstance(v, int) else None)] = None
    failure_code: Text = None
    failure_message: Text = None
    failure_stage_code: Text = Field(default=None, validation_alias=AliasChoices("failure_stage_code", "failure_stage"))
    request_id: Text = None
    created_at: Moment = None
    started_at: Moment = None
    completed_at: Moment = None

    @model_validator(mode="before")
    @classmethod
    def _either_name(cls, data: Any) -> Any:
        return _without_null(data, ("id", "run_id"), ("failure_stage_code", "failure_stage"))

    @property
    def is_terminal(self) -> bool:
        """Whether the status can change no more; an unknown status counts as one that can."""
        return self.status_code in TERMINAL

    @property
    def is_delivered(self) -> bool:
        """Whether there are pictures to fetch."""
        return self.status_code in DELIVERED

    @property
    def output_urls(self) -> list[str]:
        """Presigned URLs of the outputs in order, whichever of the known shapes they came in."""
        return output_urls(self.output)


class Page(BaseModel):
    """One page of ``GET /v1/runs``; ``next`` is the cursor of the following one, or ``None``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    items: list[Run]
    next: Text = Field(default=None, validation_alias=AliasChoices("next", "next_pq"))

    @model_validator(mode="before")
    @classmethod
    def _either_name(cls, data: Any) -> Any:
        return _without_null(data, ("next", "next_pq"))


def output_urls(output: Mapping[str, Any] | None) -> list[str]:
    """
    Collect output URLs from any shape that Runflow's own clients read (reference, 6.1 and 6.2).

    :param output: the run's ``output`` object, or ``None``.
    :return: URLs in the order in which the API lists them.
    """
    if not output:
        return []
    for key in ("outputs", "image_urls", "images"):
        found = _urls(output.get(key))
        if found:
            return found
    for key in ("image", "url", "output_url", "image_url"):
        # A list under such a name is one of a ComfyUI workflow's outputs, and there may be others beside it.
        found = [] if isinstance(output.get(key), list) else _urls(output.get(key))
        if found:
            return found
    return [url for value in output.values() if isinstance(value, list) for url in _urls(value)]


def _urls(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith(("https://", "http://")) else []
    if isinstance(value, Mapping):
        return _urls(value.get("url"))
    if isinstance(value, list):
        return [url for item in value for url in _urls(item)]
    return []
