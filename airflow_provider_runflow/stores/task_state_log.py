# SPDX-License-Identifier: Apache-2.0
"""
The journal of a task with many requests, on Airflow 3.3's task state store: a log in segments, written in groups.

Every worker appends to segments of its own, so that two that run the same task never overwrite each other; a directory
names the writers. Whoever writes while another write is under way joins the next one: sixteen threads that record
an intent each cost one call, not sixteen.
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_runflow.compat import never_expire, task_state_store
from airflow_provider_runflow.exceptions import JournalError
from airflow_provider_runflow.runs.journal import ManyJournal, NoJournal, Record, newer_of, newest_first

SCHEMA_VERSION = 1
_READABLE = range(1, SCHEMA_VERSION + 1)
DIRECTORY = "runflow.log"
# Airflow warns at 65,536 bytes a value, and MySQL's TEXT ends there.
MAX_SEGMENT_BYTES = 56_000


@dataclass(frozen=True)
class _Segment:
    """
    A piece of the log, which grows: what is in it was compressed once, whatever is added.

    :param number: of the pieces of one writer.
    """

    number: int = 0
    _packed: bytes = b""
    _compressor: Any = field(default_factory=zlib.compressobj)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not self._packed

    @property
    def value(self) -> str:
        """What is stored."""
        return base64.b64encode(self._packed + self._compressor.copy().flush()).decode()

    def extended(self, lines: Sequence[str]) -> _Segment:
        """Return it with more lines."""
        compressor = self._compressor.copy()
        more = compressor.compress("".join(f"{line}\n" for line in lines).encode())
        return _Segment(self.number, self._packed + more + compressor.flush(zlib.Z_SYNC_FLUSH), compressor)


@dataclass
class _Entry:
    """One record on its way into the log."""

    slot: str
    record: Record
    line: str
    done: bool = False
    error: JournalError | None = None


@dataclass
class TaskStateLog:
    """
    Records of many slots; safe to share between threads.

    :param store: ``context["task_state_store"]``; scoped to DAG run, task and map index, shared by all tries.
    :param writer: names this process's segments.
    :raises JournalError: from every method, when the store does not answer or what it holds is damaged.
    """

    store: Any
    writer: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    remembers: bool = field(default=True, init=False)
    _known: dict[str, dict[str, Record]] = field(default_factory=dict, init=False)
    _loaded: bool = field(default=False, init=False)
    _registered: bool = field(default=False, init=False)
    _segment: _Segment = field(default_factory=_Segment, init=False)
    _queue: list[_Entry] = field(default_factory=list, init=False)
    _writing: bool = field(default=False, init=False)
    _turn: threading.Condition = field(default_factory=threading.Condition, init=False)

    def load(self, *, again: bool = False) -> None:
        """Read what earlier attempts recorded, once; or what other workers have recorded by now."""
        if self._loaded and not again:
            return
        for writer in self._writers():
            for slot, record in self._records_of(writer):
                self._apply(slot, record)
        self._loaded = True

    def slots(self) -> list[str]:
        """Return the names of all slots that hold something, in the order in which they were first written."""
        self.load()
        return list(self._known)

    def read(self, slot: str) -> list[Record]:
        """Return a slot's records, the one that counts first."""
        self.load()
        known = self._known.get(slot, {})
        return newest_first(known.get("run"), known.get("intent"))

    def write(self, slot: str, record: Record) -> None:
        """Append a record; returns once it is durable."""
        entry = _Entry(slot, record, json.dumps([slot, record.to_json()]))
        with self._turn:
            self._queue.append(entry)
            self._turn.wait_for(lambda: entry.done or not self._writing)
            # Whoever comes first writes for all that wait by now.
            group, self._queue = ([], self._queue) if entry.done else (self._queue, [])
            self._writing = self._writing or bool(group)
        if group:
            try:
                self._flush(group)
            finally:
                with self._turn:
                    self._writing = False
                    self._turn.notify_all()
        if entry.error is not None:
            raise entry.error

    def _flush(self, group: list[_Entry]) -> None:
        error: JournalError | None = JournalError("Recording was interrupted")
        try:
            self._register()
            self._append(group)
            error = None
        except JournalError as refused:
            error = refused
        finally:
            # Whatever happens, nobody may take his record for durable that is not.
            for entry in group:
                entry.done, entry.error = True, error
                if error is None:
                    self._apply(entry.slot, entry.record)

    def _append(self, group: Sequence[_Entry]) -> None:
        lines = [entry.line for entry in group]
        longer = self._segment.extended(lines)
        if len(longer.value) > MAX_SEGMENT_BYTES and not self._segment.is_empty:
            self._segment = _Segment(self._segment.number + 1)
            longer = self._segment.extended(lines)
        value = longer.value
        if len(value) > MAX_SEGMENT_BYTES and len(group) > 1:
            half = len(group) // 2
            self._append(group[:half])
            self._append(group[half:])
            return
        key = f"{DIRECTORY}.{self.writer}.{longer.number}"
        self._set(key, {"schema_version": SCHEMA_VERSION, "records": value})
        self._segment = longer

    def _register(self) -> None:
        # Looked up at each write: another worker that began at the same moment may have overwritten the directory.
        try:
            writers = self._writers()
        except JournalError:
            if not self._registered:
                raise
            return  # it was there a moment ago
        if self.writer not in writers:
            self._set(DIRECTORY, {"schema_version": SCHEMA_VERSION, "writers": [*writers, self.writer]})
        self._registered = True

    def _writers(self) -> list[str]:
        directory = self._get(DIRECTORY)
        return [] if directory is None else [str(writer) for writer in directory.get("writers", [])]

    def _records_of(self, writer: str) -> Iterator[tuple[str, Record]]:
        number = 0
        while (segment := self._get(f"{DIRECTORY}.{writer}.{number}")) is not None:
            try:
                lines = [(str(slot), data) for slot, data in map(json.loads, _unpacked(segment["records"]))]
            except (TypeError, ValueError, KeyError, zlib.error) as error:
                raise JournalError(
                    f"The journal cannot be read ({type(error).__name__}: {error}). Nothing was submitted."
                ) from error
            for slot, data in lines:
                yield slot, Record.from_json(data)
            number += 1

    def _apply(self, slot: str, record: Record) -> None:
        kinds = self._known.setdefault(slot, {})
        kind = "run" if record.is_bought else "intent"
        kinds[kind] = newer_of(kinds.get(kind), record)

    def _get(self, key: str) -> dict[str, Any] | None:
        try:
            value = self.store.get(key)
        except Exception as error:
            raise JournalError(
                f"Airflow's task state store could not be read ({said(error)}). Nothing was submitted."
            ) from error
        if value is not None and (not isinstance(value, dict) or value.get("schema_version") not in _READABLE):
            raise JournalError(
                f"The journal under {key!r} was written by a newer airflow-provider-runflow, or is damaged. Nothing "
                "was submitted. Upgrade the package on this worker."
            )
        return value

    def _set(self, key: str, value: dict[str, Any]) -> None:
        try:
            self.store.set(key, value, retention=never_expire())
        except Exception as error:
            raise JournalError(f"Airflow's task state store refused to write ({said(error)})") from error


def open_log(context: Any) -> ManyJournal:
    """Return the journal that this Airflow offers to a task with many requests."""
    store = task_state_store(context)
    return NoJournal() if store is None else TaskStateLog(store)


def said(error: Exception) -> str:
    """Tell an error of the store in a few words."""
    return f"{type(error).__name__}: {error}"[:300]


def _unpacked(value: str) -> list[str]:
    return zlib.decompress(base64.b64decode(value)).decode().rstrip("\n").split("\n")
