# SPDX-License-Identifier: Apache-2.0
"""From a batch operator with rendered parameters to its paid runs, and from those to manifest and result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.compat import stats
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    BeforeMoneyError,
    DestinationError,
    JournalError,
    LandingError,
    ReferenceUnreadableError,
    RunflowError,
)
from airflow_provider_runflow.operators.batch_checks import check_labels_as_tags, check_names
from airflow_provider_runflow.operators.batch_report import Report, rows_by_key, write_manifest
from airflow_provider_runflow.operators.paid_batch import ItemRun, PaidBatch
from airflow_provider_runflow.operators.paid_run import PaidRun
from airflow_provider_runflow.operators.parts import TaskParts, make_task_parts
from airflow_provider_runflow.operators.pending import pack_errors, pack_runs, unpack_errors, unpack_runs
from airflow_provider_runflow.operators.progress import ItemLog, Progress
from airflow_provider_runflow.operators.shown import store_conn_id
from airflow_provider_runflow.operators.verdict import usable
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.runs.crew import Slots
from airflow_provider_runflow.runs.identity import Request
from airflow_provider_runflow.runs.items import Item, parse_items
from airflow_provider_runflow.runs.journal import ManyJournal, Record
from airflow_provider_runflow.runs.listing import Lister
from airflow_provider_runflow.runs.rate import SubmissionRate
from airflow_provider_runflow.runs.recall import is_owed
from airflow_provider_runflow.runs.tally import needed
from airflow_provider_runflow.runs.usage import Usage
from airflow_provider_runflow.stores.task_state_log import open_log

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.found import Found
    from airflow_provider_runflow.operators.batch import RunflowBatchOperator
    from airflow_provider_runflow.operators.delivery import LandingPlace

# So many failures are named in the return value and in the error.
FAILURES_TOLD = 5
# What ended so has all the pictures that its run delivered; blocked: if there are any, they were flagged.
_WHOLE = (Outcome.SUCCEEDED, Outcome.PARTIAL, Outcome.BLOCKED)


@dataclass
class BatchTask:
    """
    A batch operator's task: its paid runs, and what is said of them. A context manager.

    :param items: of the list, and those that an earlier try bought and the list has lost.
    """

    operator: RunflowBatchOperator
    parts: TaskParts
    place: LandingPlace
    items: Sequence[Item]
    batch: PaidBatch
    try_number: int
    report: Report | None = None
    failure: RunflowError | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> BatchTask:
        self.place.client = self._open.enter_context(self.place.open_client())
        return self

    def __exit__(self, *error: object) -> None:
        self.place.client = None
        self._open.close()

    @property
    def bought(self) -> str | None:
        """Name a run of this task, for messages; ``None`` when it has none."""
        return _named([run.paid.run_id for run in self.batch.runs if run.paid.run_id])

    def submit(self) -> None:
        """Find or buy the run of each item."""
        # A bucket that is not there comes first, and is nothing that an item can mend.
        self.place.store.check()
        self._look_around()
        for run in self.batch.runs:
            for record in run.paid.engine.journal.read(run.paid.engine.slot)[:1]:
                self.parts.budget.count_record(record)
        self.operator.log.info("%s", self.estimate())
        if self.operator.check_balance:
            self._check_balance()
        self.batch.submit()

    def _check_balance(self) -> None:
        """Submit nothing if the balance does not cover it; what is paid still lands."""
        from airflow_provider_runflow.operators.balance import check_balance

        to_buy = [run.paid for run in self.batch.runs if not (run.item.dropped or run.paid.is_known)]
        try:
            check_balance(self.operator.hook, list(map(self._price_of, to_buy)), self.operator.log)
        except BeforeMoneyError as error:
            self.batch.brake.stop(error)

    @staticmethod
    def _price_of(paid: PaidRun) -> Decimal | None:
        return paid.engine.budget.price_of(paid.request)

    def rejoin(self, pending: Mapping[str, Any] | None) -> None:
        """Find again what was submitted, or found, before the task deferred."""
        if not self.parts.journal.remembers:
            self._look_around()
        self.batch.rejoin(unpack_errors(pending), unpack_runs(pending))

    def _look_around(self) -> None:
        """Read what earlier batches left at the destination."""
        self.place.look_around()
        known = rows_by_key(self.place, self.parts.task.facts(), self.operator.log)
        for run in self.batch.runs:
            if run.paid.delivery is not None:
                run.paid.delivery.remembered = _remembered(known.get(run.item.key, ()), run)

    def pending(self) -> dict[str, Any] | None:
        """
        What resuming needs that nothing else tells: why items were not submitted, and without a journal the runs.

        :return: ``None`` when all that is too much, so that the task may not defer.
        """
        errors = {run.item.key: run.error for run in self.batch.runs if run.error is not None}
        told: dict[str, Any] = {"errors": pack_errors(errors)} if errors else {}
        if not self.parts.journal.remembers:
            told["runs"] = pack_runs(self.batch.bought)
            if told["runs"] is None and not self.batch.is_listed:
                return None
        return told

    def estimate(self) -> str:
        """Say how many items there are, and about what they would cost if all were bought."""
        prices = (self._price_of(run.paid) for run in self.batch.runs)
        known = [price for price in prices if price is not None]
        most = f"at most about ${sum(known):f}" if known else "at a price that nothing here knows"
        return f"{len(self.items)} items, {most} if all are bought; what has been paid before costs nothing."

    def facts(self) -> dict[str, Any]:
        """What people may look at while the batch goes on: small, whatever its size."""
        outcomes = Counter(run.outcome.value for run in self.batch.runs if not run.is_waiting)
        return {
            "client_ref": self.batch.client_ref,
            "model": self.operator.model,
            "destination": self.place.store.uri(""),
            "conn_id": store_conn_id(self.operator),
            "items": len(self.items),
            "waiting": len(self.batch.waiting),
            "outcomes": dict(outcomes),
        }

    def kill(self, *, cancel: bool) -> None:
        """Begin nothing more; say what becomes of the runs, and try to cancel them when asked to."""
        self.batch.brake.stop(BeforeMoneyError("The task was killed before this item was submitted."))
        waiting, log = self.batch.waiting, self.operator.log
        unsure = sum(run.paid.engine.sent and run.paid.run_id is None for run in self.batch.runs)
        if unsure:
            log.warning("Killed while submitting %d items. A retry looks for their runs before it pays.", unsure)
        if cancel:
            self.operator.hook.cancel_runs([str(run.paid.run_id) for run in waiting], "Airflow task killed")
        elif waiting:
            log.warning("Killed. %d Runflow runs go on and bill; a retry attaches to them for $0.", len(waiting))

    def finish(self) -> dict[str, Any]:
        """
        Write the manifest, and return the result; :attr:`failure` is what keeps it from being written.

        :raises BeforeMoneyError: nothing was bought at all; it says why.
        """
        self._take_over()
        if self.batch.brake.error is not None and not any(map(_may_be_paid, self.batch.runs)):
            raise self.batch.brake.error
        self.report, uri = Report.of(self), None
        try:
            uri = write_manifest(self.place, self.report, self.operator.log)
        except DestinationError as error:
            self.failure = LandingError(
                f"{self.report.told()} The manifest could not be written: {str(error).rstrip('.')}. A retry writes it "
                "for $0."
            )
        Progress.count(self.batch.runs, stats())
        self.operator.log.info("%s %s", self.report.told(), uri or "")
        return self.report.result(uri)

    def _take_over(self) -> None:
        """
        Take what another worker of this task has landed of the items that failed here.

        One and the same try may run on two workers. The one that was cut off from Runflow must not replace the manifest
        of the other by one that knows less; that of a later try is never replaced.
        """
        try:
            landed = self.batch.landed_elsewhere()
            if landed:
                self._look_around()
                self.batch.take_over(landed)
        except RunflowError as error:
            self.operator.log.warning("What another worker of this task has landed is not known: %s", error)

    @property
    def usage(self) -> Usage:
        """What the task paid, over all its attempts."""
        return Usage(self.operator.model, tuple(run.paid.spent for run in self.batch.runs if run.paid.spent))

    @property
    def landed(self) -> tuple[list[Mapping[str, Any]], list[str]]:
        """What landed to be used, and the keys of the items that it is of."""
        runs = [run for run in self.batch.runs if run.result and run.outcome is not Outcome.BLOCKED]
        return [image for run in runs for image in usable(run.result or {})], [run.item.key for run in runs]

    @property
    def counted(self) -> list[ItemRun]:
        """The items that success is judged by: those asked for, without the blocked ones that are to be skipped."""
        skipped = Outcome.BLOCKED if self.operator.on_blocked == "skip" else None
        return [
            run for run in self.batch.runs if not run.item.dropped and (run.error is None or run.outcome != skipped)
        ]

    @property
    def missing(self) -> tuple[str, bool] | None:
        """What to fail with and whether a retry helps; ``None`` when enough items succeeded."""
        runs = self.counted
        enough = needed(self.operator.min_success, len(runs), at_most=True)
        succeeded = sum(run.error is None for run in runs)
        if succeeded >= enough:
            return None
        failed = [run for run in self.batch.runs if run.error is not None]
        again = [run for run in failed if run.error is not None and run.error.retry != "never"]
        first = "; ".join(f"{run.item.key}: {str(run.error)[:200]}" for run in failed[:FAILURES_TOLD])
        then = (
            f"A retry of the task tries {len(again)} of them again and pays only for those"
            if again
            else "A retry would change nothing, so it is not tried; correct these items, then clear the task"
        )
        report = self.report.told() if self.report else ""
        text = f"{succeeded} of {len(runs)} items succeeded, {enough} are needed. {report} {then}. First: {first}"
        return text, bool(again)


def make_batch_task(operator: RunflowBatchOperator, context: Any) -> BatchTask:
    """
    Put a batch task's parts together. Nothing is submitted, and nothing looked up at Runflow.

    :raises InvalidRequestError: a parameter of the task or of an item breaks a rule.
    :raises JournalError: what earlier attempts recorded cannot be read.
    """
    from airflow_provider_runflow.operators.batch_source import load_requests

    operator.check_task(rendered=True)
    items = parse_items(load_requests(operator), operator.single.input_fields)
    needed(operator.min_success, len(items))
    journal = open_log(context)
    journal.load()
    parts = make_task_parts(operator, context, journal, literal=operator.requests_are_literal)
    requests = _requests(operator, items, journal)
    dropped = _dropped(journal, {item.key for item in items})
    wanted = [(item, request.model, request.input) for item, request in zip(items, requests, strict=True)]
    check_names(parts.pattern, wanted, task_id=parts.task.task_id, map_index=parts.task.map_index)
    if operator.tag_objects:
        check_labels_as_tags(items)
    for record in dropped:
        items.append(_item_of(record))
        requests.append(record.request)
    return _assemble(operator, parts, journal, items, requests, context["ti"].try_number)


def _requests(operator: RunflowBatchOperator, items: Sequence[Item], journal: ManyJournal) -> list[Request]:
    def fallback(item: Item, error: ReferenceUnreadableError) -> Mapping[str, Any]:
        # A file that is gone by now must not keep paid pictures from landing.
        record = next(iter(journal.read(item.key)), None)
        if record is None or not record.is_bought:
            raise error
        operator.log.warning("Item %r: %s Going on with the request that is on record.", item.key, error)
        known[item.key] = record.request
        return record.input

    known: dict[str, Request] = {}
    inputs = operator.inputs_of(items, rendered=True, unreadable=fallback)
    return [
        known.get(item.key) or Request(operator.model_of(item), wire, item.variation)
        for item, wire in zip(items, inputs, strict=True)
    ]


def _assemble(
    operator: RunflowBatchOperator,
    parts: TaskParts,
    journal: ManyJournal,
    items: Sequence[Item],
    requests: Sequence[Request],
    try_number: int,
) -> BatchTask:
    hook, place = operator.hook, parts.place
    slots = Slots(operator.max_in_flight)
    # What waits (for a list that lags, for the pause that a 429 asks for) keeps no other item waiting.
    hook.use_clock(slots.clock(hook.clock))
    if place is None:
        raise RuntimeError("check_task lets no batch without a destination through")
    place.open_stores()
    lister, began = Lister(hook.get_conn(), hook.clock), hook.clock.now()

    def check(request: Request) -> None:
        operator.check_request(request)
        batch.before_submit()

    runs: list[ItemRun] = []
    for item, request in zip(items, requests, strict=True):
        scope = parts.scope(item.key)
        tags, log = item.labels if operator.tag_objects else {}, ItemLog(operator.log, item.key)
        delivery = parts.delivery(scope, labels=item.labels, alt_text=item.alt_text, tags=tags, log=log)
        paid = parts.paid_run(
            request,
            scope,
            delivery,
            check=check,
            log=log,
            upload=operator.upload,
            slot=item.key,
            about={"labels": dict(item.labels), "alt_text": item.alt_text},
            lister=lister,
            began=began,
        )
        runs.append(ItemRun(item, paid))
    batch = PaidBatch(
        runs,
        client_ref=parts.scope(None).client_ref,
        journal=journal,
        hook=hook,
        lister=lister,
        rate=SubmissionRate(operator.requests_per_minute, hook.clock),
        slots=slots,
        poll_interval=operator.poll_interval,
        log=operator.log,
    )
    batch.tell = Progress(batch, hook.clock, operator.log).tell
    return BatchTask(operator, parts, place, items, batch, try_number)


def recorded_run(context: Any) -> str | None:
    """Name a run of this go that the journal knows, if it can be read; for messages."""
    journal, go = open_log(context), context["ti"].max_tries
    try:
        first = [record for slot in journal.slots() for record in journal.read(slot)[:1]]
    except JournalError:
        return None
    return _named([record.run_id for record in first if record.state == "submitted" and record.go == go])


def _named(run_ids: Sequence[str | None]) -> str | None:
    more = f" (and {len(run_ids) - 1} more)" if len(run_ids) > 1 else ""
    return f"{run_ids[0]}{more}" if run_ids else None


def _may_be_paid(run: ItemRun) -> bool:
    return bool(run.result or run.paid.run_id or isinstance(run.error, AfterMoneyError))


def _dropped(journal: ManyJournal, keys: set[str]) -> list[Record]:
    """What was bought, or may have been, for items that the list has lost since: it is paid, so it lands."""
    records = [record for slot in journal.slots() if slot not in keys for record in journal.read(slot)[:1]]
    return [record for record in records if is_owed(record)]


def _item_of(record: Record) -> Item:
    return Item(record.item_key, {}, record.labels or {}, record.alt_text, record.variation, dropped=True)


def _remembered(rows: Sequence[Any], run: ItemRun) -> Mapping[str, Found]:
    from airflow_provider_runflow.landing.found import Found

    scope = run.paid.scope
    return {
        row.fingerprint: Found(
            list(row.images), row.runflow_run_id, None if row.cost_usd is None else f"{row.cost_usd:f}"
        )
        for row in rows
        if row.client_ref == scope.client_ref and row.fingerprint and row.runflow_run_id and row.outcome in _WHOLE
        if row.images
    }
