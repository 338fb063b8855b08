# SPDX-License-Identifier: Apache-2.0
"""What a batch says when it ends: a row per item, the totals, and a small return value."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.landing import manifest
from airflow_provider_runflow.landing.manifest import ManifestRow
from airflow_provider_runflow.landing.sidecar import image_of
from airflow_provider_runflow.operators.paid_batch import ItemRun, total
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.runs.tally import needed
from airflow_provider_runflow.runs.tally import told as counted

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.batch_parts import BatchTask
    from airflow_provider_runflow.operators.delivery import LandingPlace

SCHEMA_VERSION = 1
FAILURES_TOLD = 5
VANISHED_TOLD = 1000
# Whose a manifest is.
_OWNER = ("dag_id", "task_id", "map_index")
_IS_MANIFEST = re.compile(rf"{manifest.STEM}(-[0-9a-f]{{8}})?\.jsonl")


@dataclass
class Report:
    """
    The end of a batch.

    :param rows: one an item, in the order of the list.
    :param enough: how many items had to succeed.
    :param airflow: which task instance this was.
    :param try_number: which try of it.
    :param vanished: keys of items that an earlier run of the task landed here and this one did not ask for.
    """

    rows: Sequence[ManifestRow]
    enough: int
    model: str
    client_ref: str
    airflow: Mapping[str, Any]
    try_number: int
    created_at: datetime
    vanished: Sequence[str] = field(default_factory=list)

    @classmethod
    def of(cls, task: BatchTask) -> Report:
        """Sum up a task whose items have all ended."""
        batch, operator = task.batch, task.operator
        asked = len(task.counted)
        return cls(
            rows=[_row(run) for run in batch.runs],
            enough=needed(operator.min_success, asked, at_most=True),
            model=operator.model,
            client_ref=batch.client_ref,
            airflow=task.parts.task.facts(),
            try_number=task.try_number,
            created_at=operator.hook.clock.now(),
        )

    @property
    def succeeded(self) -> int:
        """How many items have all their pictures."""
        return sum(row.outcome is Outcome.SUCCEEDED and not row.dropped for row in self.rows)

    @property
    def status(self) -> str:
        """``succeeded``, ``partial`` (enough of them) or ``failed``."""
        if all(row.outcome is Outcome.SUCCEEDED for row in self.rows):
            return "succeeded"
        return "partial" if self.succeeded >= self.enough else "failed"

    @property
    def cost_usd(self) -> str | None:
        """What this task instance paid, over all its attempts."""
        return total(row.cost_usd for row in self.rows if not row.reused)

    @property
    def counts(self) -> dict[str, int]:
        """How many items ended how."""
        outcomes = Counter(row.outcome.value for row in self.rows)
        return {
            "items": len(self.rows),
            "reused": sum(row.reused for row in self.rows),
            "dropped": sum(row.dropped for row in self.rows),
            "vanished": len(self.vanished),
            "images": sum(len(row.images) for row in self.rows),
            **{name: outcomes[name] for name in sorted(outcomes)},
        }

    def told(self) -> str:
        """Say in one sentence how it went."""
        outcomes = counted(row.outcome.value for row in self.rows)
        reused = self.counts["reused"]
        free = f" ({reused} of them paid before)" if reused else ""
        return f"{len(self.rows)} items: {outcomes}{free}; ${self.cost_usd or '0'}."

    def summary(self, rows_uri: str) -> dict[str, Any]:
        """Return ``manifest.json``."""
        reused = total(row.cost_usd for row in self.rows if row.reused)
        return {
            "schema_version": manifest.SCHEMA_VERSION,
            "status": self.status,
            "model": self.model,
            "client_ref": self.client_ref,
            "airflow": {**self.airflow, "try_number": self.try_number},
            "created_at": self.created_at.astimezone(timezone.utc).isoformat(timespec="seconds"),
            "counts": self.counts,
            "min_success": self.enough,
            "cost_usd": self.cost_usd,
            "reused_cost_usd": reused,
            "rows": rows_uri,
            "vanished": list(self.vanished)[:VANISHED_TOLD],
        }

    def result(self, rows_uri: str | None) -> dict[str, Any]:
        """Return what the operator returns: small, whatever the number of items."""
        failed = [row for row in self.rows if row.outcome is not Outcome.SUCCEEDED]
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "model": self.model,
            "counts": self.counts,
            "succeeded": self.succeeded,
            "failed": len(failed),
            "cost_usd": self.cost_usd,
            "client_ref": self.client_ref,
            "manifest_uri": rows_uri,
            "failures": [
                {"key": row.key, "outcome": row.outcome.value, "reason": (row.reason or "")[:200], "code": row.code}
                for row in failed[:FAILURES_TOLD]
            ],
        }


def write_manifest(place: LandingPlace, report: Report, log: Log) -> str:
    """
    Write rows and totals beside the pictures, and return the address of the rows.

    The rows are written twice. Under the name of this DAG run, which is the address that is returned: no later DAG run
    changes what this one says that it made. And under a name that stays, for whoever wants the latest.

    Another task's manifest of that name is left alone, and so is that of a later try of the same task: Airflow may
    have taken this worker for dead, and started another.

    :raises DestinationError: the store refuses.
    """
    stem, before = _stem(place, report, log)
    rows, own = f"{stem}.jsonl", manifest.name_of_run(report.airflow)
    if before is not None and _is_outrun(before, report):
        log.warning("A later try of this task has written its manifest already; %s is left as it is.", own)
        return place.store.uri(own)
    report.vanished = _vanished(place, rows, report, log)
    manifest.write_rows(place.store, own, report.rows)
    manifest.write_rows(place.store, rows, report.rows)
    place.store.put_json(f"{stem}.json", report.summary(place.store.uri(rows)))
    return place.store.uri(own)


def _stem(place: LandingPlace, report: Report, log: Log) -> tuple[str, Mapping[str, Any] | None]:
    """
    Say what a task's manifest is called: its own name unless it is the only one here.

    :return: also the totals that an earlier try or DAG run of this task left under that name.
    """
    own = own_stem(report.airflow)
    if report.airflow.get("map_index", -1) < 0:  # of a mapped task several write at the same time
        before = place.store.read_json(manifest.SUMMARY)
        if before is None or _is_ours(before, report):
            return manifest.STEM, before
        owner = before.get("airflow") or {}
        told = (owner.get("dag_id"), owner.get("task_id"), own)
        log.warning("The manifest here is that of task %s.%s, so this one is called %s.jsonl.", *told)
    return own, place.store.read_json(f"{own}.json")


def own_stem(airflow: Mapping[str, Any]) -> str:
    """Return what the manifest of one task is called where several tasks land."""
    mark = hashlib.sha256(repr([airflow.get(name) for name in _OWNER]).encode()).hexdigest()[:8]
    return f"{manifest.STEM}-{mark}"


def rows_by_key(place: LandingPlace, airflow: Mapping[str, Any], log: Log) -> dict[str, list[ManifestRow]]:
    """Read what earlier batches landed here, by item key; a manifest that cannot be read counts as none."""
    known: dict[str, list[ManifestRow]] = {}
    store = place.known_store
    # Where there are too many names to list them, at least those of this task.
    there = place.seen_names or (manifest.ROWS, f"{own_stem(airflow)}.jsonl")
    for name in filter(_IS_MANIFEST.fullmatch, sorted(there)):
        try:
            rows = manifest.read_rows(store, name) or []
        except ValueError as error:
            log.warning("%s cannot be read (%s); sidecars tell what has landed.", place.store.uri(name), error)
            continue
        for row in rows:
            known.setdefault(row.key, []).append(row)
    return known


def _vanished(place: LandingPlace, rows: str, report: Report, log: Log) -> list[str]:
    try:
        before = manifest.read_rows(place.store, rows) or []
    except ValueError:
        return []
    now = {row.key for row in report.rows}
    gone = [row.key for row in before if row.key not in now and row.images]
    if gone:
        log.warning(
            "%d items that landed here before are not asked for any more (%s%s). Their pictures are left alone.",
            len(gone),
            ", ".join(gone[:FAILURES_TOLD]),
            ", …" if len(gone) > FAILURES_TOLD else "",
        )
    return gone


def _is_outrun(before: Mapping[str, Any], report: Report) -> bool:
    if not _is_ours(before, report) or before["airflow"].get("run_id") != report.airflow.get("run_id"):
        return False
    written = before["airflow"].get("try_number")
    return isinstance(written, int) and written > report.try_number


def _is_ours(summary: Mapping[str, Any], report: Report) -> bool:
    told = summary.get("airflow")
    if not isinstance(told, Mapping):
        return False
    return all(told.get(name) == report.airflow.get(name) for name in _OWNER)


def _row(run: ItemRun) -> ManifestRow:
    paid, result = run.paid, run.result or {}
    records = paid.engine.journal.read(paid.engine.slot) if paid.standing is None else []
    record = paid.standing.record if paid.standing else next(iter(records), None)
    request = record.request if record is not None and record.is_bought else paid.request
    prompt = request.input.get("prompt")
    cost = result.get("cost_usd")
    if cost is None and paid.spent is not None and paid.spent.cost:
        cost = paid.spent.cost  # billed, although there are no pictures: cancelled, or failed and billed all the same
    return ManifestRow(
        key=run.item.key,
        outcome=run.outcome,
        reason=strip_queries(str(run.error)) if run.error else None,
        code=run.error.code if run.error else None,
        model=request.model,
        prompt=prompt if isinstance(prompt, str) else None,
        input=request.input,
        labels=run.item.labels,
        alt_text=run.item.alt_text,
        variation=request.variation,
        runflow_run_id=result.get("run_id") or paid.run_id,
        cost_usd=None if cost is None else Decimal(cost),
        reused=paid.reused,
        dropped=run.item.dropped,
        client_ref=paid.engine.scope.client_ref,
        fingerprint=request.fingerprint,
        images=tuple(filter(None, (image_of({"image": each}, "") for each in result.get("images", ())))),
    )
