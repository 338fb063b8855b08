# SPDX-License-Identifier: Apache-2.0
"""
Bring one request to a run that is paid once: recall, look, submit, record.

The order is the point. The intent is on record before anything is sent; the run id is on record before anything else
can fail; and whenever the outcome of a submission is unknown, Runflow is asked before it is paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConflictError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    RequestRejectedError,
    RunUnreachableError,
    SubmissionUncertainError,
    SubmissionUnknownError,
)
from airflow_provider_runflow.runs import resolution
from airflow_provider_runflow.runs.identity import (
    OnUnknown,
    Request,
    Scope,
    idempotency_key,
    run_metadata,
)
from airflow_provider_runflow.runs.journal import Journal, Record
from airflow_provider_runflow.runs.resolution import (
    Candidate,
    Land,
    LookAgain,
    Move,
    Stop,
    Submit,
    Unknown,
    Wait,
)

LIST_FIELDS = (
    "id",
    "status_code",
    "client_ref",
    "metadata",
    "created_at",
    "cost",
    "failure_code",
    "failure_message",
)
MAX_SUBMISSIONS = 3
SAFE_RETRY = "A retry of the task looks for the run before it pays."


class RunsApi(Protocol):
    """What the engine needs of the client."""

    def create_run(
        self,
        model: str,
        input: Mapping[str, Any],
        *,
        client_ref: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Submit."""

    def get_run(self, run_id: str) -> Run:
        """Read one."""

    def find_runs(self, client_ref: str, *, fields: Sequence[str] | None = None) -> Iterator[Run]:
        """Find all of a scope."""


@dataclass(frozen=True)
class Standing:
    """
    Where a request stands: its record (with the run id), the run as last read, and how it got there.

    :param attached: the run was bought by an earlier attempt, so this one pays nothing.
    """

    record: Record
    run: Run | None
    attached: bool


@dataclass
class RunEngine:
    """
    Resolve one request of one scope.

    :param api: client of the account.
    :param account: base URL and organisation, as recorded.
    :param journal: what earlier attempts recorded.
    :param scope: within which the request is paid once.
    :param on_unknown: ``fail`` stops when it cannot be known whether the request was bought; ``resubmit`` pays again.
    :param metadata: the user's metadata for the run.
    :param callback_url: sent along; not part of the request.
    :param before_submit: called right before an intent is recorded; whatever it raises costs nothing.
    :param clock: tells the time and waits.
    :param log: where to tell people what happens.
    """

    api: RunsApi
    account: str
    journal: Journal
    scope: Scope
    on_unknown: OnUnknown
    clock: Clock
    log: Log
    metadata: Mapping[str, Any] | None = None
    callback_url: str | None = None
    before_submit: Callable[[Request], None] = lambda request: None
    _maybe_sent: bool = field(default=False, init=False)

    def recall(self, request: Request) -> Record | None:
        """
        Return the record that this attempt continues, if there is one.

        Within one go the first recorded request wins, even if a template renders otherwise now: it may be paid already.
        After a clear, another request is another picture.

        :raises JournalError: when the journal cannot be read; nothing was sent.
        """
        record = self.journal.read(self.scope.item_key)
        if record is None or record.item_key != self.scope.item_key:
            return None
        if record.go != self.scope.task.go or record.state == "rejected":
            same = record.fingerprint == request.fingerprint and record.client_ref == self.scope.client_ref
            return record if same else None
        if record.fingerprint != request.fingerprint:
            changed = _changed(record.request, request)
            self.log.warning(
                "This attempt renders another request than the first one (%s). The first recorded request is resumed, "
                "since it may be paid already; clear the task to buy the new one.",
                ", ".join(changed),
            )
        return record

    def resolve(self, request: Request, record: Record | None, *, may_submit: bool = True) -> Standing | None:
        """
        Find the request's run, or submit it.

        :param request: as rendered now; used only when nothing is on record.
        :param record: from :meth:`recall`; not one that has landed for good.
        :param may_submit: ``False`` only looks, and returns ``None`` when there is no run.
        :raises BeforeMoneyError: nothing was submitted.
        :raises AfterMoneyError: a run exists or may exist; the message says what happened to the money.
        """
        if record is not None:
            request = record.request
            self.scope = replace(self.scope, client_ref=record.client_ref)
        move = self._first_move(request, record)
        submissions = 0
        while True:
            while isinstance(move, LookAgain):
                self.log.info("Looking again for an earlier submission in %.0f s: lists may lag.", move.seconds)
                self.clock.sleep(move.seconds)
                move = self._look(request, record)
            if isinstance(move, Unknown):
                move = self._unknown(move, record, request)
            if isinstance(move, Stop):
                raise move.error
            if isinstance(move, (Wait, Land)):
                return self._attach(move, request, record)
            if not may_submit:
                return None
            if submissions == MAX_SUBMISSIONS:
                break
            submissions += 1
            outcome, record = self._submit(request, move.ordinal)
            if isinstance(outcome, Standing):
                return outcome
            move = outcome
        raise SubmissionUncertainError(
            f"{MAX_SUBMISSIONS} submissions got no usable answer, and no run is to be found "
            f"(client_ref {self.scope.client_ref}). {SAFE_RETRY}"
        )

    def landed_record(self, request: Request, run_id: str) -> Record:
        """Make the record of a request whose pictures were found at the destination, bought by an earlier task."""
        return self._record("landed", request, 0, run_id=run_id)

    def record_landed(self, record: Record, result: Mapping[str, Any]) -> None:
        """Record what landed; a failure costs nothing, since the next attempt would land the same run again."""
        self._remember(record.moved("landed", self.clock.now(), result=result))

    def _first_move(self, request: Request, record: Record | None) -> Move:
        if record and record.state != "rejected" and record.account != self.account:
            why = f"it was submitted to {record.account}, and the connection now points at {self.account}"
            return Unknown(why, record.ordinal + 1)
        if record and record.run_id and record.state in ("submitted", "landed"):
            return self._read(record)
        return self._look(request, record)

    def _read(self, record: Record) -> Move:
        run_id = str(record.run_id)
        try:
            return resolution.on_run(self.api.get_run(run_id), record.ordinal)
        except NotFoundError:
            why = f"Runflow does not know the recorded run {run_id} (another account, or no longer kept)"
            return Unknown(why, record.ordinal + 1)
        except (AuthenticationError, PermissionDeniedError) as error:
            raise RunUnreachableError(
                f"Runflow run {run_id} cannot be read: {error}. It was submitted before and is paid if it succeeds. "
                "Correct the connection and clear the task: it attaches to this run for $0."
            ) from error
        except ApiError as error:
            # It exists, and waiting copes with an API that is down.
            self.log.warning("Runflow run %s cannot be read now (%s); waiting for it.", run_id, error)
            return Wait(_unread(run_id), record.ordinal)

    def _look(self, request: Request, record: Record | None) -> Move:
        now = self.clock.now()
        client_ref = record.client_ref if record else self.scope.client_ref
        try:
            rows = list(self.api.find_runs(client_ref, fields=LIST_FIELDS))
        except (PermissionDeniedError, NotFoundError, RequestRejectedError) as refused:
            self.log.warning(
                "Runflow does not let this key list runs (%s). The journal and the idempotency key are what is left "
                "against paying twice.",
                refused,
            )
            self._maybe_sent = self._maybe_sent or bool(record and record.state == "intent")
            return resolution.on_refused(
                record,
                now,
                journal_remembers=self.journal.remembers,
                first_try=self.scope.task.first_try,
            )
        found = self._candidates(rows, request)
        move = resolution.on_found(found, record, now)
        if isinstance(move, Submit):
            self._maybe_sent = False
        return self._whole(move) if isinstance(move, Land) else move

    def _whole(self, move: Land) -> Move:
        """Read a run that a list row says has delivered: rows are projections, without its outputs."""
        try:
            return resolution.on_run(self.api.get_run(move.run.id), move.ordinal)
        except ApiError as error:
            self.log.warning("Runflow run %s cannot be read now (%s); waiting for it.", move.run.id, error)
            return Wait(_unread(move.run.id), move.ordinal)

    def _candidates(self, rows: list[Run], request: Request) -> list[Candidate]:
        # Should list rows turn out to carry no metadata, each run of the scope is read once.
        full = [run if run.metadata is not None else self.api.get_run(run.id) for run in rows]
        return resolution.candidates(full, item_key=self.scope.item_key, fingerprint=request.fingerprint)

    def _attach(self, move: Wait | Land, request: Request, record: Record | None) -> Standing:
        if record is not None and record.run_id == move.run.id:
            attached = record if record.state == "submitted" else record.moved("submitted", record.at)
        else:
            submitted_at = move.run.created_at or self.clock.now()
            attached = self._record("submitted", request, move.ordinal, run_id=move.run.id, submitted_at=submitted_at)
        if attached is not record:
            self._remember(attached)
        self.log.info(
            "Attached to Runflow run %s (%s), submitted %s: this attempt pays $0.",
            move.run.id,
            move.run.status_code,
            attached.submitted_at.isoformat(timespec="seconds") if attached.submitted_at else "earlier",
        )
        return Standing(attached, move.run, attached=True)

    def _submit(self, request: Request, ordinal: int) -> tuple[Move | Standing, Record]:
        self.before_submit(request)
        key = idempotency_key(self.scope, request.fingerprint, ordinal)
        intent = self._record("intent", request, ordinal)
        try:
            self.journal.write(intent)
        except JournalError as error:
            raise JournalError(f"The intent could not be recorded, so nothing was submitted: {error}") from error
        try:
            run = self.api.create_run(
                request.model,
                request.input,
                client_ref=self.scope.client_ref,
                metadata=run_metadata(self.scope, request.fingerprint, ordinal, self.metadata),
                callback_url=self.callback_url,
                idempotency_key=key,
            )
        except SubmissionUncertainError as uncertain:
            self._maybe_sent = True
            self.log.warning(
                "%s Looking for the run before anything else is sent (client_ref %s).",
                uncertain,
                self.scope.client_ref,
            )
            return self._look_after(uncertain, request, intent), intent
        except ConflictError as conflict:
            self._maybe_sent = True
            self.log.warning("Runflow knows this request's idempotency key with another body (%s).", conflict)
            return self._look_conflict(conflict, request, intent), intent
        except ApiError:
            self._reject(intent)
            raise
        submitted = intent.moved("submitted", self.clock.now(), run_id=run.id, submitted_at=self.clock.now())
        self._remember(submitted)
        self.log.info("Submitted Runflow run %s of %s (client_ref %s).", run.id, request.model, self.scope.client_ref)
        return Standing(submitted, run, attached=False), submitted

    def _look_after(self, uncertain: SubmissionUncertainError, request: Request, intent: Record) -> Move:
        try:
            return self._look(request, intent)
        except ApiError as error:
            raise SubmissionUncertainError(
                f"{uncertain} It cannot be looked up either ({error}). {SAFE_RETRY}", uncertain.cause
            ) from error

    def _look_conflict(self, conflict: ConflictError, request: Request, intent: Record) -> Move:
        """A taken key means that a run exists: never submit under another one because it is not listed yet."""
        give_up = intent.at + resolution.SETTLE + timedelta(seconds=1)
        while True:
            move = self._look_after(SubmissionUncertainError(str(conflict), conflict), request, intent)
            if isinstance(move, LookAgain) and self.clock.now() < give_up:
                self.clock.sleep(move.seconds)
                continue
            if isinstance(move, (Wait, Land, Stop)):
                return move
            why = f"the idempotency key is taken ({conflict}), but no run of this request is to be found"
            return Unknown(why, intent.ordinal + 1)

    def _reject(self, intent: Record) -> None:
        """
        Record a definite no, so that nobody has to wonder later whether the intent was sent.

        Not when an earlier submission of the same intent may have got through.
        """
        if not self._maybe_sent:
            self._remember(intent.moved("rejected", self.clock.now()))

    def _unknown(self, move: Unknown, record: Record | None, request: Request) -> Submit:
        where = f"client_ref {record.client_ref if record else self.scope.client_ref}"
        run = f", run {record.run_id}" if record and record.run_id else ""
        key = idempotency_key(self.scope, request.fingerprint, record.ordinal if record else 0)
        if self.on_unknown == "resubmit":
            ordinal = max(move.ordinal, record.ordinal + 1 if record else 0)
            self.log.warning(
                "Whether the request was bought is unknown: %s (%s%s). Paying again, as on_unknown='resubmit' says.",
                move.why,
                where,
                run,
            )
            self._maybe_sent = False
            return Submit(ordinal)
        raise SubmissionUnknownError(
            f"Whether this request was bought cannot be known: {move.why}. Nothing more was submitted. Look for it at "
            f"Runflow ({where}{run}, idempotency key {key}). If it is not there, clear the task with "
            "on_unknown='resubmit', which pays again."
        )

    def _record(self, state: Any, request: Request, ordinal: int, **more: Any) -> Record:
        return Record(
            state=state,
            account=self.account,
            client_ref=self.scope.client_ref,
            item_key=self.scope.item_key,
            fingerprint=request.fingerprint,
            ordinal=ordinal,
            go=self.scope.task.go,
            model=request.model,
            input=dict(request.input),
            variation=request.variation,
            at=self.clock.now(),
            **more,
        )

    def _remember(self, record: Record) -> None:
        try:
            self.journal.write(record)
        except JournalError as error:
            self.log.warning(
                "%s could not be recorded (%s). Going on: the look-up at Runflow finds the run again.",
                f"Runflow run {record.run_id}" if record.run_id else f"The state {record.state!r}",
                error,
            )


def _unread(run_id: str) -> Run:
    return Run(id=run_id, status_code="queued")


def _changed(before: Request, now: Request) -> list[str]:
    names = sorted({*before.input, *now.input})
    changed = [name for name in names if before.input.get(name) != now.input.get(name)]
    if before.variation != now.variation:
        changed.append("variation")
    return [*changed, "model"] if before.model != now.model else changed
