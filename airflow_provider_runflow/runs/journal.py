# SPDX-License-Identifier: Apache-2.0
"""
What is on record about a request: the intent before anything is sent, the run id after, the result at the end.

A journal may answer "nothing" to a stale task instance, so reading it is never the fence. Writing the intent is: when
that fails, nothing is sent.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError
from airflow_provider_runflow.runs.identity import FINGERPRINT_VERSION, Request, unsigned

SCHEMA_VERSION = 1
# Airflow warns at 65,536 bytes a value (``[state_store] max_value_storage_bytes``), and MySQL's TEXT ends there.
MAX_RECORD_BYTES = 60_000
# What an intent leaves free for the run id and the result that its record will hold later.
MAX_INTENT_BYTES = 40_000
COMPRESS_ABOVE_BYTES = 16_000

State = Literal["intent", "submitted", "void", "rejected", "landed"]


@dataclass(frozen=True)
class Record:
    """
    One request's standing.

    :param state: ``intent`` (about to be sent, or sent with no usable answer), ``submitted`` (the run id is known),
        ``void`` (it had no effect: no connection, wrong credentials, 429), ``rejected`` (Runflow refused it under its
        key) or ``landed`` (``result`` says what is where).
    :param account: base URL and organisation it was sent to.
    :param at: when the state was entered; for an intent: when it was last about to be sent.
    :param submitted_at: when the run was submitted; deadlines count from here.
    :param result: the operator's return value, once landed.
    :param unsure: of an intent: an earlier submission under the same ordinal may have got through.
    :param since: of an intent: when its ordinal was first about to be sent; the age of its idempotency key.
    :param clears: how often tasks of its DAG run had been cleared.
    :param assets: what was uploaded for it: the references sent, by the sha256 that stands for each in the input.
    :param handed_over: of a submitted run: the task returned it without landing it, as it was told to.
    :param labels: the item's labels, for names and sidecars.
    :param alt_text: alternative text for its pictures.
    :param metadata: the run's whole metadata as first sent: another body would void the idempotency key. (The
        callback URL is not kept: it may hold a secret.)
    """

    state: State
    account: str
    client_ref: str
    item_key: str
    fingerprint: str
    ordinal: int
    go: int
    model: str
    input: Mapping[str, Any]
    variation: str | None
    at: datetime
    run_id: str | None = None
    submitted_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    unsure: bool = False
    since: datetime | None = None
    clears: int = 0
    assets: Mapping[str, str] | None = None
    handed_over: bool = False
    labels: Mapping[str, str] | None = None
    alt_text: str | None = None
    metadata: Mapping[str, Any] | None = None
    fingerprint_version: int = FINGERPRINT_VERSION

    @property
    def is_bought(self) -> bool:
        """Whether it holds the id of a run."""
        return self.state in ("submitted", "landed")

    @property
    def is_refused(self) -> bool:
        """Whether it says that its submission bought nothing."""
        return self.state in ("void", "rejected")

    @property
    def request(self) -> Request:
        """The request as it was first recorded."""
        return Request(self.model, self.input, self.variation, recorded=self.fingerprint)

    def moved(self, state: State, at: datetime, **changes: Any) -> Record:
        """Return a copy in another state."""
        return replace(self, state=state, at=at, **changes)

    def to_json(self) -> dict[str, Any]:
        """
        Make the JSON object that a journal keeps; long inputs are compressed, and addresses have lost their queries.

        :raises InvalidRequestError: an intent is too long, with room for what comes later; found before it is sent.
        :raises JournalError: a later state is too long after all.
        """
        data = {"schema_version": SCHEMA_VERSION, **vars(self), "input": unsigned(self.input)}
        for name in ("at", "submitted_at", "since"):
            data[name] = data[name].isoformat() if data[name] else None
        text = json.dumps(data["input"])
        if len(text) > COMPRESS_ABOVE_BYTES:
            data["input"] = {"zlib": base64.b64encode(zlib.compress(text.encode())).decode()}
            data["input_compressed"] = True
        size = len(json.dumps(data))
        if self.state == "intent" and size > MAX_INTENT_BYTES:
            raise InvalidRequestError(
                f"The request takes {size:,} bytes on record; at most {MAX_INTENT_BYTES:,} can be kept. "
                "Shorten the prompt or the metadata. Nothing was submitted."
            )
        if size > MAX_RECORD_BYTES:
            raise JournalError(f"a record of {size:,} bytes; at most {MAX_RECORD_BYTES:,} can be kept")
        return data

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """
        Read a record back.

        :raises JournalError: when it is damaged, or written by a newer version of this package.
        """
        try:
            values = dict(data)
            version = values.pop("schema_version")
            if version > SCHEMA_VERSION:
                raise JournalError(
                    f"The journal was written by a newer airflow-provider-runflow (schema {version}, this one reads "
                    f"up to {SCHEMA_VERSION}). Nothing was submitted. Upgrade the package on this worker."
                )
            if values.pop("input_compressed", False):
                values["input"] = json.loads(zlib.decompress(base64.b64decode(values["input"]["zlib"])))
            for name in ("at", "submitted_at", "since"):
                values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
            # What a newer package of the same schema adds does not stop this one, during a redeploy.
            return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})
        except (TypeError, ValueError, KeyError, AttributeError, zlib.error) as error:
            raise JournalError(
                f"The journal's record cannot be read ({type(error).__name__}: {error}). Nothing was submitted."
            ) from error


def newest_first(bought: Record | None, sent: Record | None) -> list[Record]:
    """
    Order the two records that a journal keeps apart; of one and the same request only the later submission counts.

    :param bought: the latest one with a run id.
    :param sent: the latest intent, or what refused it. Two workers may run the same task for a while: what one of them
        sends, or fails to send, never hides the run id that the other has on record.
    """
    if bought is None or sent is None:
        return [record for record in (bought, sent) if record is not None]
    if all(getattr(bought, name) == getattr(sent, name) for name in ("client_ref", "item_key", "fingerprint")):
        # Workers' clocks differ, ordinals do not.
        return [sent if sent.ordinal > bought.ordinal else bought]
    return [bought, sent] if bought.at >= sent.at else [sent, bought]


def newer_of(known: Record | None, written: Record) -> Record:
    """
    Choose between two records of one kind; ``written`` was found later, maybe by another worker with another clock.

    Of one and the same request the later submission counts, else the later moment.
    """
    if known is None:
        return written
    same = all(getattr(known, name) == getattr(written, name) for name in ("client_ref", "item_key", "fingerprint"))
    older = (written.ordinal, written.at) < (known.ordinal, known.at) if same else written.at < known.at
    return known if older else written


class Journal(Protocol):
    """Durable memory across the attempts of one task instance."""

    @property
    def remembers(self) -> bool:
        """Whether "nothing on record" means that nothing was recorded by an earlier attempt."""

    def read(self, slot: str) -> list[Record]:
        """Return a slot's records, the one that counts first; raises :class:`JournalError` when it cannot be read."""

    def write(self, slot: str, record: Record) -> None:
        """Replace a slot's record; raises :class:`JournalError` unless it is durable."""


class ManyJournal(Journal, Protocol):
    """The journal of a task with many requests."""

    def load(self, *, again: bool = False) -> None:
        """Read everything, once or ``again``; raises :class:`JournalError` when that is not possible."""

    def slots(self) -> list[str]:
        """Return the slots that hold something."""


class NoJournal:
    """Airflow before 3.3 has no task state store: the look-up at Runflow is the only memory."""

    remembers = False

    def load(self, *, again: bool = False) -> None:
        """Find nothing."""

    def slots(self) -> list[str]:
        """Know no slots."""
        return []

    def read(self, slot: str) -> list[Record]:
        """Know nothing."""
        return []

    def write(self, slot: str, record: Record) -> None:
        """Keep nothing; the size rule still holds, so that a DAG behaves alike on every version."""
        record.to_json()
