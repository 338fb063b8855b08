# SPDX-License-Identifier: Apache-2.0
"""What the contact sheet shows of a task instance: a card for each picture, and for each item that has none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_runflow.boundary import END_XCOM_KEY
from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.landing.manifest import amount_of
from airflow_provider_runflow.landing.sidecar import without_queries
from airflow_provider_runflow.links import BATCH_XCOM_KEY, RUN_XCOM_KEY
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.plugins.airflow_access import DagRunFacts, Instance
from airflow_provider_runflow.plugins.landed import (
    MALFORMED,
    Manifest,
    Row,
    derivatives_of,
    facts_of,
    images_of,
    result_of,
)

#: A task instance that pushed one of these has something to show.
KEYS = (RUN_XCOM_KEY, BATCH_XCOM_KEY, END_XCOM_KEY)
_SINGLE = (
    "Flux11ProOperator",
    "Flux11ProUltraOperator",
    "GptImage15EditOperator",
    "GptImage15Operator",
    "GptImage2EditOperator",
    "GptImage2Operator",
    "RunflowModelOperator",
)
_OTHERS = (
    "GptImage2BatchOperator",
    "GptImage2EditBatchOperator",
    "RunflowModelBatchOperator",
    "RunflowToObjectStorageOperator",
    "RunflowToS3Operator",
)
#: So has one of these operators, even before it pushed anything; a test compares them with the package. Tasks of
#: ``@task.runflow_image`` are of a class that is made of the model's operator.
OPERATORS = frozenset({*_SINGLE, *_OTHERS, *(f"{name}FromFunction" for name in _SINGLE)})
MOVING = frozenset(
    {"scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "awaiting_input"}
)
LANDED, WAITING, BLOCKED, FAILED, NOT_LANDED = "landed", "waiting", "blocked", "failed", "not landed"
CHARACTERS = 4000


@dataclass(frozen=True)
class Sheet:
    """
    The cards of some task instances, and what they add up to.

    :param moving: something may still change.
    :param troubles: what could not be read, for people.
    """

    cards: list[dict[str, Any]]
    cost_usd: str | None
    moving: bool
    troubles: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many cards have which status; one that stands for many items counts as many."""
        counts: dict[str, int] = {}
        for card in self.cards:
            counts[card["status"]] = counts.get(card["status"], 0) + card.get("count", 1)
        return counts


def make_sheet(told: Iterable[tuple[Instance, Manifest | None]]) -> Sheet:
    """
    Lay out what task instances tell of themselves.

    :param told: task instances, each with its manifest if it has one.
    """
    cards: list[dict[str, Any]] = []
    costs: list[Any] = []
    troubles: list[str] = []
    moving = False
    for instance, manifest in told:
        if manifest is not None and manifest.trouble:
            troubles.append(f"{instance.task_id}: {manifest.trouble}")
        try:
            cards += list(_cards(instance, manifest))
            if manifest is not None and manifest.underway:
                costs += [each.row.cost_usd for each in manifest.rows]
            costs.append(amount_of(result_of(instance).get("cost_usd")))
        except MALFORMED:
            # One task's XComs do not take the others' pictures away.
            troubles.append(f"{instance.task_id}: what it pushed is not in the form of this package.")
        moving = moving or instance.state in MOVING
    return Sheet(cards, _total(costs), moving, troubles)


def run_facts(run: DagRunFacts) -> dict[str, Any]:
    """Return what the page tells of a DAG run, in JSON types."""
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": run.state,
        "run_after": _moment(run.run_after),
        "started_at": _moment(run.started_at),
        "ended_at": _moment(run.ended_at),
    }


def _cards(instance: Instance, manifest: Manifest | None) -> Iterator[dict[str, Any]]:
    result = result_of(instance)
    if manifest is not None and manifest.underway:
        yield from _cards_underway(instance, manifest)
    elif manifest is not None and not manifest.trouble:
        yield from _batch_cards(instance, manifest)
    elif "images" in result:
        yield from _single_cards(instance, result)
    # A batch whose manifest cannot be read says that, too; and a task that skipped because its picture was blocked.
    elif manifest is not None or instance.state in MOVING or instance.state == "failed" or _was_blocked(instance):
        yield _without_picture(instance, manifest)


def _single_cards(instance: Instance, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    facts = facts_of(instance)
    images = list(images_of(instance))
    for image in images:
        yield {
            **_task(instance),
            **_about(facts),
            "model": _text(result.get("model")) or _text(facts.get("model")),
            "runflow_run_id": _text(result.get("run_id")),
            "cost_usd": _total([result.get("cost_usd")]),
            "in_run": len(images),
            "duration_ms": _number(result.get("duration_ms")),
            **_image(image),
        }
    if instance.state == "failed" or not images:
        yield _without_picture(instance, None)


def _batch_cards(instance: Instance, manifest: Manifest) -> Iterator[dict[str, Any]]:
    for each in manifest.rows:
        shown = {**_task(instance), **_row(each)}
        for image in each.images:
            yield {**shown, **_image(image)}
        if each.row.outcome is not Outcome.SUCCEEDED:
            status = BLOCKED if each.row.outcome is Outcome.BLOCKED else FAILED
            yield {**shown, "status": status, "index": None}


def _cards_underway(instance: Instance, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Return the cards of a batch that goes on, or died before it could say how it ended."""
    moving = instance.state in MOVING
    for each in manifest.rows:
        shown = {**_task(instance), **_row(each), "outcome": None}
        for image in each.images:
            yield {**shown, **_image(image)}
        if each.row.outcome is not Outcome.SUCCEEDED:
            reason = None if moving else "The task ended before it landed; a retry lands what is paid for $0."
            yield {**shown, "status": WAITING if moving else FAILED, "index": None, "reason": reason}
    items = facts_of(instance).get("items")
    left = (_number(items) or 0) - len(manifest.rows)
    if left > 0 or not manifest.rows:
        yield {**_without_picture(instance, None), "count": max(left, 1)}


def _row(each: Row) -> dict[str, Any]:
    row = each.row
    return {
        "key": row.key,
        "model": row.model,
        "prompt": _text(row.prompt),
        "quality": _text(row.input.get("quality")),
        "asked_size": _text(row.input.get("image_size")),
        "labels": _labels(row.labels),
        "alt_text": row.alt_text,
        "variation": row.variation,
        "runflow_run_id": row.runflow_run_id,
        "cost_usd": None if row.cost_usd is None else f"{row.cost_usd:f}",
        "in_run": len(each.images),
        "reused": row.reused,
        "dropped": row.dropped,
        "outcome": row.outcome.value,
        "reason": _reason(row.reason),
    }


def _without_picture(instance: Instance, manifest: Manifest | None) -> dict[str, Any]:
    """Return the card of what is waited for, or did not come."""
    facts, end = facts_of(instance), instance.xcoms.get(END_XCOM_KEY)
    told: Mapping[str, Any] = end if isinstance(end, Mapping) else {}
    outcome, reason = told.get("outcome"), _reason(told.get("reason"))
    if instance.state in MOVING:
        status = WAITING
    elif outcome == Outcome.BLOCKED.value:
        status = BLOCKED
    elif instance.state == "success" and manifest is None:
        status, reason = NOT_LANDED, "The task did not wait for its pictures, or lands none."
    else:
        status = FAILED
        reason = (manifest.trouble if manifest else None) or reason or "The task failed; its log says why."
    items = facts.get("items")
    return {
        **_task(instance),
        **_about(facts),
        "runflow_run_id": _text(facts.get("run_id")),
        "status": status,
        "index": None,
        "outcome": _text(outcome),
        "reason": reason,
        "count": max(_number(items) or 1, 1) if status == WAITING else 1,
        "progress": _progress(facts),
    }


def _was_blocked(instance: Instance) -> bool:
    end = instance.xcoms.get(END_XCOM_KEY)
    return instance.state == "skipped" and isinstance(end, Mapping) and end.get("outcome") == Outcome.BLOCKED.value


def _progress(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    if _number(facts.get("items")) is None:
        return None
    outcomes = facts.get("outcomes")
    told = outcomes if isinstance(outcomes, Mapping) else {}
    return {
        **{name: _number(facts.get(name)) for name in ("items", "waiting")},
        "outcomes": {str(name): number for name, count in told.items() if (number := _number(count)) is not None},
    }


def _task(instance: Instance) -> dict[str, Any]:
    return {
        "dag_id": instance.dag_id,
        "run_id": instance.run_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "map_label": instance.label,
        "state": instance.state,
        "try_number": instance.try_number,
        "started_at": _moment(instance.started_at),
        "ended_at": _moment(instance.ended_at),
    }


def _about(facts: Mapping[str, Any]) -> dict[str, Any]:
    labels = facts.get("labels")
    return {
        "key": _text(facts.get("item_key")),
        "model": _text(facts.get("model")),
        "prompt": _text(facts.get("prompt")),
        "quality": _text(facts.get("quality")),
        "asked_size": _text(facts.get("image_size")),
        "labels": _labels(labels if isinstance(labels, Mapping) else {}),
        "alt_text": _text(facts.get("alt_text")),
        "variation": _text(facts.get("variation")),
    }


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card tells of its picture; one that stayed at Runflow, or lies elsewhere, cannot be shown."""
    facts = {**_facts(image), "index": _number(image.get("index"))}
    if not facts["uri"]:
        why = "It is not below its manifest's folder." if image.get("elsewhere") else "It stayed at Runflow."
        return {**facts, "status": NOT_LANDED, "reason": why}
    derived = [{"name": _text(each.get("name")), **_facts(each)} for each in derivatives_of(image)]
    return {**facts, "status": LANDED, "derivatives": derived}


def _facts(image: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: _number(image.get(name)) for name in ("width", "height", "size_bytes")},
        **{name: _text(image.get(name)) for name in ("content_type", "sha256")},
        # An address that somebody could open without Airflow's permission goes to no browser.
        "uri": without_queries(_text(image.get("uri"))),
    }


def _reason(text: Any) -> str | None:
    return strip_queries(text)[:1000] if isinstance(text, str) and text else None


def _text(value: Any) -> str | None:
    return value[:CHARACTERS] if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    # Beyond that a browser's numbers are not exact.
    return value if type(value) is int and abs(value) < 2**53 else None


def _labels(labels: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in labels.items()}


def _moment(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec="seconds")


def _total(costs: Iterable[Any]) -> str | None:
    known = [amount for cost in costs if (amount := amount_of(cost)) is not None]
    return f"{sum(known):f}" if known else None
