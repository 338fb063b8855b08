# SPDX-License-Identifier: Apache-2.0
"""What the API sends, as typed models: lenient on reading, since a paid run must never be lost to a null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_provider_runflow.client.redact import strip_queries

ACTIVE = frozenset({"queued", "dispatching", "running"})
DELIVERED = frozenset({"succeeded", "partial_succeeded"})
TERMINAL = DELIVERED | {"failed", "cancelled"}


def same_status(value: Any) -> Any:
    """Give both spellings of cancelled as one."""
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
Money = Annotated[Decimal | None, BeforeValidator(_money)]
Count = Annotated[int | None, BeforeValidator(lambda value: value if isinstance(value, int) else None)]
# People read these texts in logs, so what a server quotes in them must not hand out a presigned URL.
PublicText = Annotated[str | None, BeforeValidator(lambda value: None if value is None else strip_queries(str(value)))]


class Run(BaseModel):
    """
    One execution of a model (runflow-api reference, "Run object").

    Practically every field is nullable there, so only ``id`` and ``status_code`` are required here. Both spellings of
    cancelled are read as ``cancelled``. ``cost`` is USD and stays ``None`` until Runflow knows it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    id: str = Field(validation_alias=AliasChoices("id", "run_id"), min_length=1)
    status_code: Annotated[str, BeforeValidator(same_status)]
    client_ref: Text = None
    metadata: Mapped = None
    # As Runflow shows it; references in it may be signed anew at every read.
    input: Mapped = Field(default=None, repr=False)
    # Its URLs are secrets while they live.
    output: Mapped = Field(default=None, repr=False)
    cost: Money = None
    duration_ms: Count = None
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

    @property
    def flagged(self) -> list[bool]:
        """
        Of each output, whether it is flagged as not safe for work (``nsfw_detected``; reference, 6.1).

        One flag counts for all outputs, since nothing says which of them it means; of a list each for its own.
        """
        told, count = (self.output or {}).get("nsfw_detected"), len(self.output_urls)
        flags = told if isinstance(told, list) else [told] * count
        return [index < len(flags) and flags[index] is True for index in range(count)]


Item = TypeVar("Item", bound=BaseModel)


class Listing(BaseModel, Generic[Item]):
    """One page of a list; ``next`` is the cursor of the following one, or ``None``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    items: list[Item]
    next: Text = Field(default=None, validation_alias=AliasChoices("next", "next_pq"))

    @model_validator(mode="before")
    @classmethod
    def _either_name(cls, data: Any) -> Any:
        return _without_null(data, ("next", "next_pq"))


class Page(Listing[Run]):
    """One page of ``GET /v1/runs``."""


class Row(NamedTuple):
    """What polling needs of a run; ``created_at`` and ``client_ref`` are ``None`` where they were not asked for."""

    id: str
    status_code: str
    created_at: datetime | None = None
    client_ref: str | None = None


class Rows(NamedTuple):
    """One page of ``GET /v1/runs``, read for polling."""

    items: list[Row]
    next: str | None


def read_row(data: Any) -> Row | None:
    """
    Read a run's id, status and age, and nothing else.

    The triggerer reads thousands of them a round: a :class:`Run` each would cost twenty times as much.

    :return: ``None`` when it lacks the id or the status.
    """
    if not isinstance(data, dict):
        return None
    run_id, status = data.get("id") or data.get("run_id"), data.get("status_code")
    if not isinstance(run_id, str) or not run_id or not isinstance(status, str):
        return None
    return Row(run_id, same_status(status), _moment(data.get("created_at")), _text(data.get("client_ref")))


def read_rows(data: Any) -> Rows | None:
    """
    Read one page of a list of runs as :func:`read_row` does; what lacks id or status is left out.

    :return: ``None`` when this is no such page, or none of its runs can be read.
    """
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list):
        return None
    rows = [row for row in map(read_row, items) if row is not None]
    if items and not rows:
        return None
    return Rows(rows, _text(data.get("next") or data.get("next_pq")))


class RunLog(BaseModel):
    """One line of ``GET /v1/runs/{id}/logs`` (reference, 8.2)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Text = None
    level_code: Text = None
    message: PublicText = None
    timestamp: Moment = None
    meta: Mapped = Field(default=None, repr=False)


class Balance(BaseModel):
    """
    What the organisation can spend, in USD (reference, 14).

    Three sources show three shapes: ``balance`` or ``balance_usd`` as a decimal string, ``balance_cents``, and either
    within ``items``. All are read.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    balance: Decimal
    low_balance_threshold: Money = None
    updated_at: Moment = None

    @model_validator(mode="before")
    @classmethod
    def _any_shape(cls, data: Any) -> Any:
        rows = data.get("items") if isinstance(data, Mapping) else None
        row = rows[0] if isinstance(rows, list) and rows else data
        if not isinstance(row, Mapping):
            return row
        cents = _money(row.get("balance_cents"))
        amounts = (_money(row.get("balance")), _money(row.get("balance_usd")), None if cents is None else cents / 100)
        return {**row, "balance": next((amount for amount in amounts if amount is not None), None)}


class Statuses(BaseModel):
    """
    Every status that a run can have (``GET /v1/runs/statuses``).

    The shape of the answer is not documented: a list, or an object that holds one, of strings or of objects.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    codes: list[str] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _any_shape(cls, data: Any) -> Any:
        rows = next((value for value in data.values() if isinstance(value, list)), None) if _is(data) else data
        if not isinstance(rows, list):
            return data
        names = [_named(row) if _is(row) else row for row in rows]
        return {"codes": list(dict.fromkeys(same_status(name) for name in names if isinstance(name, str) and name))}


def _is(data: Any) -> bool:
    return isinstance(data, Mapping)


def _named(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in ("status_code", "code", "value", "slug", "name", "id") if row.get(name)), None)


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
