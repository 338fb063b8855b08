# SPDX-License-Identifier: Apache-2.0
"""What an attempt continues: whether the journal's record is of the request that it would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.exceptions import OutputsGoneError
from airflow_provider_runflow.runs.identity import Request, Scope, unsigned
from airflow_provider_runflow.runs.journal import Record


def continued(records: Sequence[Record], request: Request, scope: Scope, log: Log) -> Record | None:
    """
    Return the record that this attempt continues, if there is one.

    Within one go the first recorded request wins, even if a template renders otherwise now: it may be paid already.
    After a clear, another request is another picture, and so is the same one in another scope; unless it is paid and
    did not land yet.

    :param records: what the task instance has on record, the one that counts first.
    :param request: as rendered now.
    :param scope: of now.
    """
    for record in records:
        if record.go == scope.task.go and not record.is_refused and not _is_of_an_earlier_go(record, request, scope):
            _warn_of_drift(record, request, scope, log)
            return record
    # A run id, or an intent, tells more than a refusal.
    for record in sorted(records, key=lambda record: record.is_refused):
        if record.fingerprint == request.fingerprint:
            here = record.client_ref == scope.client_ref and (record.item_key == scope.item_key or scope.by_index)
            if here or is_owed(record):
                return replace(record, go=scope.task.go)
        elif is_owed(record):
            log.warning(
                "Before it was cleared, this task bought another request: %s of client_ref %s. It is paid if it "
                "succeeds, and this task does not land it any more.",
                f"Runflow run {record.run_id}" if record.run_id else "a submission of unknown outcome",
                record.client_ref,
            )
    return None


def _is_of_an_earlier_go(record: Record, request: Request, scope: Scope) -> bool:
    """
    Whether a clear lies in between all the same: with fewer `retries` it may leave `max_tries` as it was.

    That something of the DAG run was cleared does not say that this task was, while it retries; but a retry asks for no
    other item.
    """
    ended = record.state == "landed" or record.handed_over
    another = record.item_key != scope.item_key and not scope.by_index
    cleared = scope.task.clears > record.clears and record.fingerprint != request.fingerprint
    return cleared and (ended or another)


def is_owed(record: Record) -> bool:
    """Whether it may be paid, and the task has not brought its pictures yet."""
    return record.state in ("submitted", "intent") and not record.handed_over


def landed_and_gone(record: Record) -> OutputsGoneError:
    """Say of a landed record that neither its objects nor its run are there any more."""
    images = (record.result or {}).get("images") or []
    where = ", ".join(str(image.get("uri")) for image in images) or "nowhere"
    return OutputsGoneError(
        f"Runflow run {record.run_id} was landed before ({where}). These objects are not all there or not under the "
        "destination of now, and Runflow does not know the run any more, so it cannot be landed again. It was paid; a "
        "retry cannot help. Restore the objects, or give another `variation` to buy a new picture."
    )


def _warn_of_drift(record: Record, request: Request, scope: Scope, log: Log) -> None:
    changed = _changed(record.request, request)
    changed += ["item_key"] if record.item_key != scope.item_key and not scope.by_index else []
    if changed:
        log.warning(
            "This attempt renders another request than the first one (%s). The first recorded request is resumed, "
            "since it may be paid already; clear the task to buy the new one.",
            ", ".join(changed),
        )


def _changed(before: Request, now: Request) -> list[str]:
    if before.fingerprint == now.fingerprint:
        return []
    was, is_now = unsigned(before.input), unsigned(now.input)
    changed = [name for name in sorted({*was, *is_now}) if was.get(name) != is_now.get(name)]
    if before.variation != now.variation:
        changed.append("variation")
    return [*changed, "model"] if before.model != now.model else changed
