# SPDX-License-Identifier: Apache-2.0
"""
Bring one request to a run that is paid once: recall, look, submit, record.

The order is the point. The intent is on record before anything is sent; the run id is on record before anything else
can fail; and whenever the outcome of a submission is unknown, Runflow is asked before it is paid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.metrics import NO_METRICS, Metrics
from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    BeforeMoneyError,
    ConflictError,
    InvalidRequestError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    RunUnreachableError,
    SubmissionUncertainError,
    SubmissionUnknownError,
)
from airflow_provider_runflow.runs import resolution
from airflow_provider_runflow.runs.budget import NO_BUDGET, Budget
from airflow_provider_runflow.runs.identity import (
    METADATA_KEY,
    OnUnknown,
    Request,
    Scope,
    idempotency_key,
    resigned,
    run_metadata,
    with_assets,
)
from airflow_provider_runflow.runs.journal import Journal, Record
from airflow_provider_runflow.runs.listing import Lister, look_up
from airflow_provider_runflow.runs.lookup import LookUpRefused, RunsApi, may_deliver, read_or_wait, unread
from airflow_provider_runflow.runs.outcome import billed
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR
from airflow_provider_runflow.runs.recall import continued, landed_and_gone
from airflow_provider_runflow.runs.resolution import Candidate, Land, LookAgain, Move, Stop, Submit, Unknown, Wait

MAX_SUBMISSIONS = 3
SAFE_RETRY = "A retry of the task looks for the run before it pays."


@dataclass(frozen=True)
class Standing:
    """
    Where a request stands: its record (with the run id), the run as last read, and how it got there.

    :param run: ``None`` when it was not read in this process.
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
    :param clock: tells the time and waits.
    :param log: where to tell people what happens.
    :param metadata: the user's metadata for the run.
    :param callback_url: sent along; not part of the request.
    :param before_submit: called right before an intent is recorded; whatever it raises costs nothing.
    :param upload: called then with the request and the references that an earlier try of the same submission uploaded;
        returns those to send, by the sha256 that stands for each in the input. Free of charge.
    :param slot: where in the journal the task keeps this request, whatever its item key renders to.
    :param about: labels and alternative text, to be recorded with it.
    :param budget: what the task may cost.
    :param metrics: counts what is submitted.
    :param lister: lists the scope's runs; shared by all items of a task. Default: one of its own.
    :param began: when the task began to look, if that was before this engine was made.
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
    upload: Callable[[Request, Mapping[str, str]], Mapping[str, str]] = lambda request, known: known
    slot: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = NO_BUDGET
    metrics: Metrics = NO_METRICS
    lister: Lister = None  # type: ignore[assignment]  # made in __post_init__
    began: datetime = None  # type: ignore[assignment]
    _sent: bool = field(default=False, init=False)
    _refused: bool = field(default=False, init=False)
    _known: list[Record] = field(default_factory=list, init=False)
    _found: dict[str, Candidate] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.lister = self.lister or Lister(self.api, self.clock)
        self.began = self.began or self.clock.now()

    @property
    def sent(self) -> bool:
        """Whether this process has sent a submission, or is about to."""
        return self._sent

    def recall(self, request: Request) -> Record | None:
        """
        Return the record that this attempt continues, if there is one (see :func:`continued`).

        :raises JournalError: when the journal cannot be read; nothing was sent.
        """
        self._known = self.journal.read(self.slot)
        record = continued(self._known, request, self.scope, self.log)
        adopted = record is not None and record.client_ref != self.scope.client_ref
        before = any(known.go != self.scope.task.go for known in self._known)
        return (
            None
            if record and adopted and before and not may_deliver(self.api, record, self.account, self.clock.now())
            else record
        )

    def resolve(self, request: Request, record: Record | None, *, may_submit: bool = True) -> Standing | None:
        """
        Find the request's run, or submit it.

        :param request: as rendered now; used only when nothing is on record.
        :param record: from :meth:`recall`; not one that has landed for good.
        :param may_submit: ``False`` only looks, and returns ``None`` when there is no run.
        :raises BeforeMoneyError: nothing was submitted, by this attempt or an earlier one.
        :raises AfterMoneyError: a run exists or may exist; the message says what happened to the money.
        """
        if record is not None:
            # Of the same request the one of now: its addresses are signed, those on record are not.
            request = request if request.fingerprint == record.fingerprint else resigned(record.request, request)
            self.scope = replace(self.scope, client_ref=record.client_ref, item_key=record.item_key)
        try:
            return self._resolve(request, record, may_submit)
        except BeforeMoneyError as error:
            if not self._sent and not (record and record.state == "intent"):
                raise
            kind = SubmissionUnknownError if error.retry == "never" else SubmissionUncertainError
            again = "Mend that and clear the task: it" if error.retry == "never" else "A retry of the task"
            raise kind(
                f"{str(error).replace('Nothing was submitted.', '').strip().rstrip('.')}. Before that, the request was "
                f"submitted without a usable answer, so a run may exist and bill (client_ref {self.scope.client_ref}). "
                f"{again} looks for the run before it pays."
            ) from error

    def landed_record(self, request: Request, run_id: str) -> Record:
        """Make the record of a request whose pictures were found at the destination, bought by an earlier task."""
        return self._record("landed", request, 0, run_id=run_id)

    def submitted_record(self, request: Request, ordinal: int, run_id: str, submitted_at: datetime) -> Record:
        """Make the record of a run that this task is known to have bought, where no journal keeps it."""
        return self._record("submitted", request, ordinal, run_id=run_id, submitted_at=submitted_at)

    def remember(self, record: Record) -> None:
        """Record what is known; a failure costs nothing, since the next attempt finds the same again."""
        try:
            self.journal.write(self.slot, record)
        except JournalError as error:
            self.log.warning(
                "%s could not be recorded (%s). Going on: a later attempt looks it up at Runflow.",
                f"Runflow run {record.run_id}" if record.run_id else f"The state {record.state!r}",
                error,
            )

    def _resolve(self, request: Request, record: Record | None, may_submit: bool) -> Standing | None:
        move = self._first_move(request, record)
        submissions = 0
        while True:
            while isinstance(move, LookAgain):
                self._sleep_until(move.until)
                move = self._look(request, record, since=move.until)
            if isinstance(move, Unknown):
                move = self._unknown(move, record, request)
            if isinstance(move, Stop):
                raise move.error
            if isinstance(move, (Wait, Land)):
                return self._attach(move, request, record)
            if not may_submit:
                return None
            if submissions == MAX_SUBMISSIONS:
                raise SubmissionUncertainError(
                    f"{MAX_SUBMISSIONS} submissions got no usable answer, and no run is to be found (client_ref "
                    f"{self.scope.client_ref}). {SAFE_RETRY}"
                )
            submissions += 1
            outcome, record = self._submit(request, move.ordinal, record)
            if isinstance(outcome, Standing):
                return outcome
            move = outcome

    def _first_move(self, request: Request, record: Record | None) -> Move:
        if record and not record.is_refused and record.account != self.account:
            why = f"it was submitted to {record.account}, and the connection now points at {self.account}"
            return Unknown(why, record.ordinal + 1)
        if record and record.run_id and record.is_bought:
            return self._read(record)
        return self._look(request, record)

    def _read(self, record: Record) -> Move:
        run_id = str(record.run_id)
        try:
            run = self.api.get_run(run_id)
            self.budget.count(run.id, record.request, billed(run))
            return resolution.on_run(run, record.ordinal)
        except NotFoundError:
            if record.submitted_at and self.clock.now() - record.submitted_at < NOT_FOUND_FOR:
                return Wait(unread(run_id), record.ordinal)  # too new for this reader, maybe
            if record.state == "landed":
                return Stop(landed_and_gone(record))
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
            return Wait(unread(run_id), record.ordinal)

    def _look(self, request: Request, record: Record | None, *, after: int = 0, since: datetime | None = None) -> Move:
        self._refused, journal = False, self.journal.remembers
        try:
            found, as_of = look_up(
                self.lister, self.scope, request.fingerprint, journal=journal, after=after, since=since
            )
        except LookUpRefused as refused:
            self._refused = True
            self.log.warning(
                "Runflow does not let this key list runs (%s). The journal and the idempotency key are what is left "
                "against paying twice.",
                refused,
            )
            # After a clear an empty journal tells nothing: Airflow may drop what a successful task has on record.
            remembers = journal and self.scope.task.clears == 0
            return resolution.on_refused(record, self.clock.now(), self.scope, remembers=remembers)
        self._found = {each.run.id: each for each in found}
        for each in found:
            self.budget.count(each.run.id, request, billed(each.run))
        a_retry = not journal and not self.scope.task.first_try
        # A submission that somebody else began may have been accepted until right before now.
        a_retry = a_retry or (record is not None and record.state == "intent" and record.at < self.began)
        move = resolution.on_found(found, record, as_of, unsure_since=self.began if a_retry else None)
        if not isinstance(move, Land):
            return move
        # A list row is a projection, without the run's outputs.
        return resolution.on_run(read_or_wait(self.api, move.run.id, self.log), move.ordinal)

    def _attach(self, move: Wait | Land, request: Request, record: Record | None) -> Standing:
        if record is not None and record.run_id == move.run.id:
            known = record if record.state == "submitted" else record.moved("submitted", record.at)
        else:
            submitted_at = move.run.created_at or self.clock.now()
            request = self._as_bought(move.run, request)
            known = self._record("submitted", request, move.ordinal, run_id=move.run.id, submitted_at=submitted_at)
        self.remember(known)
        self.budget.count(move.run.id, known.request, billed(move.run), self.slot)
        if self._sent:
            self.log.info("Found Runflow run %s (%s): the submission got through.", move.run.id, move.run.status_code)
        else:
            when = known.submitted_at.isoformat(timespec="seconds") if known.submitted_at else "earlier"
            told = (move.run.id, move.run.status_code, when)
            self.log.info("Attached to Runflow run %s (%s), submitted %s: this attempt pays $0.", *told)
        return Standing(known, move.run, attached=not self._sent)

    def _as_bought(self, run: Run, request: Request) -> Request:
        """Take over the item key of a run that was found, and its request, should another one have been bought."""
        found = self._found.get(run.id)
        if found is None:
            return request
        if found.item_key != self.scope.item_key:
            self.log.info("It was bought under map index %s: the mapped list has shifted since.", found.item_key)
            self.scope = replace(self.scope, item_key=found.item_key)
        if found.fingerprint == request.fingerprint:
            return request
        self.log.warning(
            "An earlier try rendered another request and bought it. That one is resumed, since it is paid already; "
            "clear the task to buy the new one."
        )
        run = run if run.input else read_or_wait(self.api, run.id, self.log)
        bought = json.loads(strip_queries(json.dumps(run.input))) if run.input else request.input
        return Request(request.model, bought, found.variation, recorded=found.fingerprint)

    def _submit(self, request: Request, ordinal: int, record: Record | None) -> tuple[Move | Standing, Record]:
        self.before_submit(request)
        self.budget.reserve(self.slot, request)
        sent = record.assets if record is not None and record.state != "rejected" else None
        assets = self.upload(request, sent or {})
        faster = self._another_workers(request)
        if faster is not None:
            return self._first_move(request, faster), faster
        intent = replace(self._intent(request, ordinal, record), assets=dict(assets) or None)
        try:
            self.journal.write(self.slot, intent)
        except JournalError as error:
            raise JournalError(f"The intent could not be recorded, so nothing was submitted now: {error}") from error
        self._known = [intent]
        try:
            run = self._post(request, intent)
        except SubmissionUncertainError as uncertain:
            self.log.warning("%s Looking for the run before anything else (%s).", uncertain, self.scope.client_ref)
            # It may have been accepted as late as now: the list's time to catch up begins here.
            intent = replace(intent, at=self.clock.now())
            return self._look(request, intent, after=self.lister.begun), intent
        except ConflictError as conflict:
            self.log.warning("Runflow knows this request's idempotency key with another body (%s).", conflict)
            return self._look_conflict(conflict, request, intent), intent
        except (ApiError, InvalidRequestError) as refused:
            if not intent.unsure:
                # A definite no, so that nobody has to wonder later whether the intent was sent.
                self._sent = False
                self.budget.release(self.slot)
                self.remember(
                    intent.moved("rejected" if resolution.answers_the_key(refused) else "void", self.clock.now())
                )
            raise
        submitted = intent.moved("submitted", self.clock.now(), run_id=run.id, submitted_at=self.clock.now())
        self.remember(submitted)
        self.budget.count(run.id, request, None, self.slot)
        self.metrics.incr("runflow.runs.submitted")
        self.log.info("Submitted Runflow run %s of %s (client_ref %s).", run.id, request.model, self.scope.client_ref)
        return Standing(submitted, run, attached=False), submitted

    def _another_workers(self, request: Request) -> Record | None:
        """Read the journal once more, right before the intent: another worker of this try may have been faster."""
        now = self.journal.read(self.slot)
        if not now or now[:1] == self._known[:1] or now[0].is_refused:
            return None
        self._known = now
        return continued(now, request, self.scope, self.log)

    def _intent(self, request: Request, ordinal: int, record: Record | None) -> Record:
        intent = self._record("intent", request, ordinal)
        if record is not None and record.state == "intent" and record.ordinal == ordinal:
            # The key covers the whole body: what was sent with it once is sent with it again.
            return replace(intent, unsure=True, since=record.since or record.at, metadata=record.metadata)
        mine = self.metadata
        if record is not None and record.metadata is not None:
            mine = {name: value for name, value in record.metadata.items() if name != METADATA_KEY}
        metadata = run_metadata(self.scope, request, ordinal, mine, with_go=not self.journal.remembers)
        return replace(intent, since=intent.at, metadata=metadata)

    def _post(self, request: Request, intent: Record) -> Run:
        self._sent = True
        return self.api.create_run(
            request.model,
            with_assets(request.input, intent.assets or {}),
            client_ref=self.scope.client_ref,
            metadata=intent.metadata,
            callback_url=self.callback_url,
            idempotency_key=idempotency_key(self.scope, request.fingerprint, intent.ordinal),
        )

    def _look_conflict(self, conflict: ConflictError, request: Request, intent: Record) -> Move:
        """A taken key means that a run exists: never submit under another one because it is not listed yet."""
        give_up = intent.at + resolution.SETTLE + timedelta(seconds=1)
        move = self._look(request, intent, after=self.lister.begun)
        while True:
            if isinstance(move, LookAgain) and self.clock.now() < give_up:
                self._sleep_until(move.until)
                move = self._look(request, intent, since=move.until)
                continue
            found_and_failed = isinstance(move, Submit) and move.ordinal > intent.ordinal
            if found_and_failed or isinstance(move, (Wait, Land, Stop)):
                return move
            young = self.clock.now() - (intent.since or intent.at) < resolution.KEY_TRUST
            if young and not self._refused:
                raise SubmissionUncertainError(
                    f"The idempotency key is taken ({conflict}), so a run exists, but Runflow does not list it yet "
                    f"(client_ref {self.scope.client_ref}). {SAFE_RETRY}"
                )
            why = f"the idempotency key is taken ({conflict}), but no run of this request is to be found"
            return Unknown(why, intent.ordinal + 1)

    def _sleep_until(self, until: datetime) -> None:
        seconds = (until - self.clock.now()).total_seconds()
        if seconds > 0:
            self.log.info("Looking again for an earlier submission in %.0f s: lists may lag.", seconds)
            self.clock.sleep(seconds)

    def _unknown(self, move: Unknown, record: Record | None, request: Request) -> Submit:
        where = f"client_ref {self.scope.client_ref}"
        if record and record.run_id:
            where += f", run {record.run_id}"
        if self.on_unknown == "resubmit":
            self.log.warning(
                "Whether the request was bought is unknown: %s (%s). Paying again, as on_unknown='resubmit' says.",
                move.why,
                where,
            )
            self._sent = False
            return Submit(max(move.ordinal, record.ordinal + 1 if record else 0))
        key = idempotency_key(self.scope, request.fingerprint, record.ordinal if record else 0)
        raise SubmissionUnknownError(
            f"Whether this request was bought cannot be known: {move.why}. Nothing more was submitted. Look for it at "
            f"Runflow ({where}, idempotency key {key}). If it is not there, set on_unknown='resubmit' in the DAG, "
            "clear the task, which pays again, and take it out."
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
            clears=self.scope.task.clears,
            model=request.model,
            input=dict(request.input),
            variation=request.variation,
            at=self.clock.now(),
            **self.about,
            **more,
        )
