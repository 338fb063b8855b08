# SPDX-License-Identifier: Apache-2.0
"""From a batch operator with rendered parameters to its paid runs, and from those to manifest and result."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.compat import stats
from airflow_provider_runflow.exceptions import BeforeMoneyError, DestinationError, LandingError, RunflowError
from airflow_provider_runflow.landing import names
from airflow_provider_runflow.operators.batch_report import Report, rows_by_key, write_manifest
from airflow_provider_runflow.operators.paid_batch import ItemRun, PaidBatch
from airflow_provider_runflow.operators.parts import TaskParts, make_task_parts
from airflow_provider_runflow.operators.progress import ItemLog, Progress
from airflow_provider_runflow.operators.shown import store_conn_id
from airflow_provider_runflow.runs.identity import Request
from airflow_provider_runflow.runs.items import Item, parse_items, raise_all
from airflow_provider_runflow.runs.journal import ManyJournal, Record
from airflow_provider_runflow.runs.listing import Lister
from airflow_provider_runflow.runs.rate import SubmissionRate
from airflow_provider_runflow.runs.recall import is_owed
from airflow_provider_runflow.runs.tally import needed
from airflow_provider_runflow.stores.task_state_log import open_log

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.found import Found
    from airflow_provider_runflow.operators.batch import RunflowBatchOperator
    from airflow_provider_runflow.operators.delivery import LandingPlace

# What a deferral carries of the items that were not submitted.
MAX_PENDING_BYTES = 40_000
MAX_REASON = 400
SHORT_REASON = 60
# So many failures are named in the return value and in the error.
FAILURES_TOLD = 5


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
    report: Report | None = None
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
        ids = [run.paid.run_id for run in self.batch.runs if run.paid.run_id]
        return None if not ids else ids[0] if len(ids) == 1 else f"{ids[0]} (and {len(ids) - 1} more)"

    def submit(self) -> None:
        """Find or buy the run of each item."""
        # A bucket that is not there comes first, and is nothing that an item can mend.
        self.place.store.check()
        self.place.look_around()
        known = rows_by_key(self.place, self.operator.log)
        for run in self.batch.runs:
            if run.paid.delivery is not None:
                run.paid.delivery.remembered = _remembered(known.get(run.item.key, ()), run)
        self.operator.log.info("%s", self.estimate())
        self.batch.submit()

    def rejoin(self, pending: Mapping[str, Any] | None) -> None:
        """Find again what was submitted before the task deferred."""
        self.batch.rejoin(unpack_errors(pending))

    def pending(self) -> dict[str, Any]:
        """What resuming needs that no journal tells: why items were not submitted."""
        return pack_errors({run.item.key: run.error for run in self.batch.runs if run.error is not None})

    def estimate(self) -> str:
        """Say how many items there are, and about what they would cost if all were bought."""
        from airflow_provider_runflow.models import find_model

        prices = []
        for run in self.batch.runs:
            model = find_model(run.paid.request.model)
            prices.append(model.estimate(run.paid.request.input) if model else None)
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
        self.batch.halted = BeforeMoneyError("The task was killed before this item was submitted.")
        waiting = self.batch.waiting
        log = self.operator.log
        if cancel:
            self.operator.hook.cancel_runs([str(run.paid.run_id) for run in waiting], "Airflow task killed")
        elif waiting:
            log.warning("Killed. %d Runflow runs go on and bill; a retry attaches to them for $0.", len(waiting))

    def finish(self) -> dict[str, Any]:
        """
        Write the manifest, and return the result.

        :raises RunflowError: nothing was bought at all; it says why.
        :raises LandingError: the manifest could not be written.
        """
        halted = self.batch.halted
        if halted is not None and not any(run.result or run.paid.run_id for run in self.batch.runs):
            raise halted
        self.report = Report.of(self)
        try:
            uri = write_manifest(self.place, self.report, self.operator.log)
        except DestinationError as error:
            raise LandingError(
                f"{self.report.told()} The manifest could not be written: {error}. A retry writes it for $0."
            ) from error
        Progress.count(self.batch.runs, stats())
        self.operator.log.info("%s %s", self.report.told(), uri)
        return self.report.result(uri)

    @property
    def missing(self) -> tuple[str, bool] | None:
        """What to fail with and whether a retry helps; ``None`` when enough items succeeded."""
        runs = [run for run in self.batch.runs if not run.item.dropped]
        enough = needed(self.operator.min_success, len(runs))
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
    inputs = operator.inputs_of(items, rendered=True)
    requests = [
        Request(operator.model_of(item), wire, item.variation) for item, wire in zip(items, inputs, strict=True)
    ]
    journal = open_log(context)
    journal.load()
    parts = make_task_parts(operator, context, journal, literal=operator.requests_are_literal)
    dropped = _dropped(journal, {item.key for item in items}, parts.task.go)
    for record in dropped:
        items.append(_item_of(record))
        requests.append(record.request)
    return _assemble(operator, parts, journal, items, requests)


def _assemble(
    operator: RunflowBatchOperator,
    parts: TaskParts,
    journal: ManyJournal,
    items: Sequence[Item],
    requests: Sequence[Request],
) -> BatchTask:
    hook, place = operator.hook, parts.place
    if place is None:
        raise RuntimeError("check_task lets no batch without a destination through")
    lister, rate = Lister(hook.get_conn(), hook.clock), SubmissionRate(operator.requests_per_minute, hook.clock)
    began = hook.clock.now()

    def check(request: Request) -> None:
        operator.check_request(request)
        rate.wait()

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
    _check_names(parts.pattern, runs)
    batch = PaidBatch(
        runs,
        client_ref=parts.scope(None).client_ref,
        hook=hook,
        lister=lister,
        rate=rate,
        threads=operator.max_in_flight,
        poll_interval=operator.poll_interval,
        log=operator.log,
    )
    batch.tell = Progress(batch, hook.clock, operator.log).tell
    return BatchTask(operator, parts, place, items, batch)


def _dropped(journal: ManyJournal, keys: set[str], go: int) -> list[Record]:
    """What this go bought, or may have, for items that the list has lost since: it is paid, so it lands."""
    records = [record for slot in journal.slots() if slot not in keys for record in journal.read(slot)[:1]]
    return [record for record in records if record.go == go and is_owed(record)]


def _item_of(record: Record) -> Item:
    return Item(record.item_key, {}, record.labels or {}, record.alt_text, record.variation, dropped=True)


def _check_names(pattern: str, runs: Sequence[ItemRun]) -> None:
    """Find before anything is paid that two items would land under one name, or that a name cannot be made."""
    wrong: list[str] = []
    owners: dict[str, str] = {}
    unique = names.names_request(pattern) or not names.predictable(pattern)
    for run in runs:
        if run.paid.delivery is None:
            continue
        try:
            names.check_pattern(pattern, num_images=run.paid.request.num_images, labels=run.item.labels)
            job = run.paid.delivery.job(run.paid.request)
            mine = [job.name(index, job.likely_exts[0]) for index in range(job.num_images)]
        except exceptions.InvalidRequestError as error:
            wrong.append(f"Item {run.item.key!r}: {error}.")
            continue
        for name in () if unique else mine:
            owner = owners.setdefault(name, run.item.key)
            if owner != run.item.key:
                wrong.append(
                    f"filename_pattern {pattern!r} gives items {owner!r} and {run.item.key!r} the same name {name!r}; "
                    "put {key}, {request} or a label that differs in it."
                )
    raise_all(wrong)


def _remembered(rows: Sequence[Any], run: ItemRun) -> Mapping[str, Found]:
    from airflow_provider_runflow.landing.found import Found

    scope = run.paid.scope
    return {
        row.fingerprint: Found(
            list(row.images), row.runflow_run_id, None if row.cost_usd is None else f"{row.cost_usd:f}"
        )
        for row in rows
        if row.client_ref == scope.client_ref and row.fingerprint and row.runflow_run_id and row.images
    }


def pack_errors(errors: Mapping[str, RunflowError]) -> dict[str, Any]:
    """Write down in small JSON types why items were not submitted."""
    for longest in (MAX_REASON, SHORT_REASON):
        plain = {key: [type(error).__name__, str(error)[:longest]] for key, error in errors.items()}
        packed = base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()
        if len(packed) <= MAX_PENDING_BYTES:
            break
    return {"errors": packed} if errors else {}


def unpack_errors(pending: Mapping[str, Any] | None) -> dict[str, RunflowError]:
    """Read back what :func:`pack_errors` wrote."""
    packed = (pending or {}).get("errors")
    if not packed:
        return {}
    plain = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {key: _error(name, text) for key, (name, text) in plain.items()}


def _error(name: str, text: str) -> RunflowError:
    kind = getattr(exceptions, name, None)
    if isinstance(kind, type) and issubclass(kind, RunflowError):
        return kind(text)
    return BeforeMoneyError(text)
