# SPDX-License-Identifier: Apache-2.0
"""What a batch has on record while it goes on: its journal, read as the manifest that it is going to write."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_runflow.exceptions import JournalError
from airflow_provider_runflow.landing.manifest import ManifestRow, amount_of
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.plugins.airflow_access import Instance
from airflow_provider_runflow.plugins.landed import MALFORMED, Manifest, Row, below, facts_of
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.stores.task_state_log import TaskStateLog


def manifest_underway(instance: Instance) -> Manifest | None:
    """
    Return what a batch that wrote no manifest yet has bought and landed; ``None`` when nothing is on record.

    Airflow before 3.3 keeps no record.
    """
    if not instance.kept:
        return None
    try:
        folder = str(facts_of(instance).get("destination") or "")
        rows = tuple(_rows(TaskStateLog(instance.kept), folder))
    except (JournalError, *MALFORMED):
        return None  # of a newer package, maybe; the task itself will say so
    return Manifest(rows, sum(len(str(value)) for value in instance.kept.values()), underway=True)


def _rows(log: TaskStateLog, folder: str) -> Iterator[Row]:
    for slot in log.slots():
        record = log.read(slot)[0]
        landed = record.state == "landed"
        images = (record.result or {}).get("images") if landed else None
        shown = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
        yield Row(_row(slot, record), tuple(below(folder, image) for image in shown) if folder else ())


def _row(key: str, record: Record) -> ManifestRow:
    result, prompt = record.result or {}, record.input.get("prompt")
    return ManifestRow(
        key=key,
        outcome=Outcome.SUCCEEDED if record.state == "landed" else Outcome.UNKNOWN,
        model=record.model,
        prompt=prompt if isinstance(prompt, str) else None,
        input=record.input,
        labels=record.labels or {},
        alt_text=record.alt_text,
        variation=record.variation,
        runflow_run_id=record.run_id,
        cost_usd=amount_of(result.get("cost_usd")),
        client_ref=record.client_ref,
        fingerprint=record.fingerprint,
    )
