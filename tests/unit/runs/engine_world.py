# SPDX-License-Identifier: Apache-2.0
"""What the engine's tests are built of: a Runflow of a few lines, a journal in memory, and time that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ConflictError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    SubmissionUncertainError,
)
from airflow_provider_runflow.runs.engine import RunEngine
from airflow_provider_runflow.runs.identity import Request, Scope, TaskIdentity, make_scope
from airflow_provider_runflow.runs.journal import Record

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)
ACCOUNT = "https://api.runflow.io#"
REQUEST = Request("openai/gpt-image-2", {"prompt": "a cat", "quality": "low"})
OTHER = Request("openai/gpt-image-2", {"prompt": "a dog", "quality": "low"})


class StandingClock:
    """Moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class Lines:
    """A log that can be read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, msg: Any, /, *args: Any) -> None:
        self.lines.append(str(msg) % args if args else str(msg))

    warning = error = info

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass
class MemoryJournal:
    """Keeps one record a slot; can be told to refuse."""

    records: dict[str, Record] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    remembers: bool = True
    refuse_write: Callable[[Record], bool] = lambda record: False
    refuse_read: bool = False

    def read(self, slot: str) -> list[Record]:
        if self.refuse_read:
            raise JournalError("the store does not answer")
        return [self.records[slot]] if slot in self.records else []

    def write(self, slot: str, record: Record) -> None:
        if self.refuse_write(record):
            raise JournalError("the store refused")
        record.to_json()
        self.records[slot] = record
        self.history.append(record)


def run(status: str = "queued", run_id: str = "run-1", **facts: Any) -> Run:
    return Run(id=run_id, status_code=status, **facts)


@dataclass
class Runflow:
    """Creates a run per POST unless its key is known; faults are functions that a test sets."""

    clock: StandingClock
    runs: list[Run] = field(default_factory=list)
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    posts: list[dict[str, Any]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    idempotent: bool = True
    lag: float = 0.0
    list_metadata: bool = True
    on_post: Callable[[dict[str, Any], Callable[[], Run]], Run] = lambda body, accept: accept()
    on_list: Callable[[], None] = lambda: None
    on_read: Callable[[str], None] = lambda run_id: None
    created: dict[str, datetime] = field(default_factory=dict)

    @property
    def paid(self) -> int:
        """Runs that cost money unless they fail."""
        return sum(1 for each in self.runs if each.status_code != "failed")

    def create_run(self, model: str, input: Mapping[str, Any], **facts: Any) -> Run:
        body = {"model": model, "input": dict(input), **facts}
        self.posts.append(body)
        return self.on_post(body, lambda: self._accept(body))

    def _accept(self, body: dict[str, Any]) -> Run:
        key = body["idempotency_key"]
        sent = {name: value for name, value in body.items() if name != "idempotency_key"}
        if self.idempotent and key in self.keys:
            run_id, before = self.keys[key]
            if before != sent:
                raise ConflictError("Idempotency-Key was used with another body", status=409, code="CONFLICT")
            return self._find(run_id)
        made = run(
            run_id=f"run-{len(self.runs) + 1}",
            client_ref=body["client_ref"],
            metadata=body["metadata"],
            created_at=self.clock.now().isoformat(),
        )
        self.runs.append(made)
        self.created[made.id] = self.clock.now()
        self.keys[key] = (made.id, sent)
        return made

    def get_run(self, run_id: str) -> Run:
        self.reads.append(run_id)
        self.on_read(run_id)
        return self._find(run_id)

    def _find(self, run_id: str) -> Run:
        for each in self.runs:
            if each.id == run_id:
                return each
        raise NotFoundError("no such run", status=404, code="RUN_NOT_FOUND")

    def find_runs(self, client_ref: str, *, fields: Sequence[str] | None = None) -> Iterator[Run]:
        self.lists.append(client_ref)
        self.on_list()
        for each in self.runs:
            if each.client_ref == client_ref and self.clock.now() >= self.created[each.id] + timedelta(
                seconds=self.lag
            ):
                row = each.model_copy(update={"output": None, "duration_ms": None})
                yield row if self.list_metadata else row.model_copy(update={"metadata": None})

    def set_status(self, status: str, run_id: str | None = None, **facts: Any) -> None:
        """Let a run (default: the newest) go on."""
        index = next(i for i, each in enumerate(self.runs) if each.id == (run_id or self.runs[-1].id))
        self.runs[index] = self.runs[index].model_copy(update={"status_code": status, **facts})

    # Faults

    def lose_reply(self, times: int = 1) -> None:
        """Accept the next submissions, but let their answers be lost."""
        self._fault(times, accepted=True)

    def lose_request(self, times: int = 1) -> None:
        """Let the next submissions be lost on the way, so that their outcome is as unknown."""
        self._fault(times, accepted=False)

    def _fault(self, times: int, *, accepted: bool) -> None:
        left = [times]

        def on_post(body: dict[str, Any], accept: Callable[[], Run]) -> Run:
            if left[0] == 0:
                return accept()
            left[0] -= 1
            if accepted:
                accept()
            raise SubmissionUncertainError("The request was sent but got no usable answer: time-out.")

        self.on_post = on_post

    def refuse_post(self, error: Exception) -> None:
        def on_post(body: dict[str, Any], accept: Callable[[], Run]) -> Run:
            raise error

        self.on_post = on_post

    def refuse_list(self) -> None:
        def on_list() -> None:
            raise PermissionDeniedError("no scope runs:read", status=403, code="PERMISSION_DENIED")

        self.on_list = on_list

    def heal(self) -> None:
        self.on_post = lambda body, accept: accept()
        self.on_list = lambda: None
        self.on_read = lambda run_id: None


@dataclass
class World:
    """Everything around one request; each :meth:`attempt` is a new process."""

    clock: StandingClock = field(default_factory=StandingClock)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    log: Lines = field(default_factory=Lines)
    api: Runflow = None  # type: ignore[assignment]
    checks: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = self.api or Runflow(self.clock)

    def engine(self, **changes: Any) -> RunEngine:
        facts: dict[str, Any] = {
            "api": self.api,
            "account": ACCOUNT,
            "journal": self.journal,
            "scope": scope(),
            "on_unknown": "fail",
            "clock": self.clock,
            "log": self.log,
            "before_submit": self.checks.append,
        }
        return RunEngine(**{**facts, **changes})

    def attempt(self, request: Request = REQUEST, **changes: Any) -> Any:
        """One try of the task, as far as the engine goes."""
        engine = self.engine(**changes)
        return engine.resolve(request, engine.recall(request))


def scope(go: int = 0, first_try: bool = True, **changes: Any) -> Scope:
    facts = {
        name: changes.pop(name) for name in ("map_index", "clears", "literal", "began", "since") if name in changes
    }
    task = TaskIdentity("campaign", "hero", "manual__1", go=go, first_try=first_try, **facts)
    return make_scope(changes.pop("reuse_within", "dag_run"), namespace="test", task=task, **changes)


def record(state: Any = "submitted", request: Request = REQUEST, **changes: Any) -> Record:
    facts: dict[str, Any] = {
        "state": state,
        "account": ACCOUNT,
        "client_ref": scope().client_ref,
        "item_key": "",
        "fingerprint": request.fingerprint,
        "ordinal": 0,
        "go": 0,
        "model": request.model,
        "input": dict(request.input),
        "variation": request.variation,
        "at": NOON,
    }
    return Record(**{**facts, **changes})


CENTS = Decimal("0.009")
