# SPDX-License-Identifier: Apache-2.0
"""A run: a timeline fixed when it is created, and what can be read off it at any moment.

Nothing happens to a run over time. Its status, output and bill are functions of its timeline and of `now`,
which is why a virtual clock, a fast one and a real one give the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from random import Random

from .catalogue import Model
from .config import EmulatorConfig
from .faults import Fault
from .pictures import PictureSpec
from .wire import JsonDict

TERMINAL = ("succeeded", "partial_succeeded", "failed", "cancelled")

# choice: no failure codes are documented
FAILURES = {
    "failed": ("PROVIDER_ERROR", "The provider returned an error.", "execution"),
    "blocked": (
        "CONTENT_POLICY_VIOLATION",
        "The prompt was rejected by the content policy of the provider.",
        "execution",
    ),
}
QUEUED_SHARE = 0.06
DISPATCHING_SHARE = 0.04
BLOCKED_SHARE = 0.2  # a refused prompt comes back early
JITTER_SECONDS = 2.0


@dataclass(frozen=True)
class Timeline:
    """When the run moves on; a stuck one never ends."""

    created_at: datetime
    dispatching_at: datetime
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Outcome:
    """How the run ends, decided when it is created."""

    kind: str = "succeeded"
    images: int = 0
    code: str | None = None
    message: str | None = None
    stage: str | None = None


@dataclass
class Run:
    """One run. Only a cancellation ever changes it, and never once it is terminal."""

    id: str
    number: int
    org_id: str
    model: Model
    input: JsonDict
    timeline: Timeline
    outcome: Outcome
    config: EmulatorConfig
    request_id: str
    created_by: str
    client_ref: str | None = None
    metadata: JsonDict | None = None
    callback_url: str | None = None
    idempotency_key: str | None = None
    cancelled_at: datetime | None = None

    @property
    def sort_key(self) -> tuple[datetime, int]:
        """Order runs by creation, also within one instant."""
        return self.timeline.created_at, self.number

    @property
    def prompt(self) -> str:
        """Give the prompt, for fault rules and pictures."""
        return str(self.input.get("prompt") or "")

    def status(self, now: datetime) -> str:
        """Give the status, `cancelled` in the spelling of this code."""
        line = self.timeline
        if self.cancelled_at is not None and now >= self.cancelled_at:
            return "cancelled"
        if line.ended_at is not None and now >= line.ended_at:
            return self._ending()
        if now >= line.started_at:
            return "running"
        return "dispatching" if now >= line.dispatching_at else "queued"

    def _ending(self) -> str:
        if self.outcome.kind in FAILURES:
            return "failed"
        return "partial_succeeded" if self.outcome.kind == "partial" else "succeeded"

    def completed_at(self, now: datetime) -> datetime | None:
        """Give the moment it became terminal, when that has come."""
        status = self.status(now)
        if status not in TERMINAL:
            return None
        return self.cancelled_at if status == "cancelled" else self.timeline.ended_at

    def delivered(self, now: datetime) -> int:
        """Count the pictures that can be fetched."""
        return self.outcome.images if self.status(now) in ("succeeded", "partial_succeeded") else 0

    @property
    def billable(self) -> Decimal:
        """Give what this run costs in the end, if its job comes to an end."""
        if self.timeline.ended_at is None:
            return Decimal(0)
        if self.cancelled_at is not None and self.cancelled_at < self.timeline.dispatching_at:
            return Decimal(0)  # choice: cancelled before the provider had the job, so there is no job to bill
        return self.model.price(self.input) * self.outcome.images

    def billed_at(self, now: datetime) -> datetime | None:
        """Give the moment of the debit, once it has come. Billing follows the job, cancelled or not."""
        ended = self.timeline.ended_at
        return ended if ended is not None and now >= ended and self.billable else None

    def cancel(self, now: datetime) -> bool:
        """Cancel the run unless it is terminal; tell whether that changed anything."""
        if self.status(now) in TERMINAL:
            return False
        self.cancelled_at = now
        return True

    def picture(self, index: int) -> PictureSpec:
        """Describe one of its pictures."""
        config = self.config
        width, height = config.picture_size or self.model.pixels(self.input)
        return PictureSpec(
            seed=config.seed,
            run_id=self.id,
            number=self.number,
            index=index,
            total=self.model.images(self.input),
            width=width,
            height=height,
            format=self.format,
            prompt=self.prompt,
            model=self.model.slug,
            quality=self.model.quality(self.input),
        )

    @property
    def format(self) -> str:
        """Give the file format of its pictures."""
        return self.config.force_format or self.model.output_format(self.input)

    def to_dict(self, now: datetime, urls: Sequence[str], config: EmulatorConfig) -> JsonDict:
        """Give the full run object of the API. `urls` are signed, and empty unless pictures are there."""
        status = self.status(now)
        completed = self.completed_at(now)
        started = self.timeline.started_at
        began = started if now >= started and (completed is None or completed >= started) else None
        failure = self.outcome if status == "failed" else Outcome()
        return {
            "id": self.id,
            "flow_id": None,
            "model_id": self.model.id,
            "comfyui_workflow_id": None,
            "target_type": "model",
            "target_version": None,
            "org_id": self.org_id,
            "status_code": config.cancelled_spelling if status == "cancelled" else status,
            "source_code": "api",  # choice: only "playground" is visible in the reference
            "input": self.input,
            "output": self._output(urls, config) if urls else None,
            "context": None,
            "duration_ms": _milliseconds(began, completed),
            "cost": None if completed is None else money(self.billable),
            "cost_breakdown": None,
            "nodes_total": None,
            "nodes_completed": None,
            "resolved_template_id": None,
            "batch_id": None,
            "client_ref": self.client_ref,
            "jurisdiction_code": None,
            "flow_version_id": None,
            "request_id": self.request_id,
            "created_by": self.created_by,
            "created_at": stamp(self.timeline.created_at),
            "started_at": stamp(began),
            "completed_at": stamp(completed),
            "callback_url": self.callback_url,
            "metadata": self.metadata,
            "has_logs": True,
            "has_node_runs": False,
            "links": {},
            "failure_code": failure.code,
            "failure_message": failure.message,
            "failure_stage_code": failure.stage,
            "node_runs": [],
        }

    def _output(self, urls: Sequence[str], config: EmulatorConfig) -> JsonDict:
        if config.output_shape == "image_urls":
            return {"image_urls": list(urls)}
        return {
            "outputs": [{"url": url, "type": "image"} for url in urls],
            "seed": None,
            "timing": None,
            "nsfw_detected": True if self.outcome.kind == "nsfw" else None,
        }


def timeline(
    model: Model, given: JsonDict, config: EmulatorConfig, number: int, fault: Fault | None, now: datetime
) -> Timeline:
    """Fix when a new run moves on."""
    low, high = model.seconds_range
    usual = model.seconds_by_quality.get(model.quality(given), high)
    dice = Random(f"{config.seed}:duration:{number}")  # repeatable
    total = min(high, max(low, usual + dice.uniform(-JITTER_SECONDS, JITTER_SECONDS)))
    if fault is not None and fault.seconds is not None:
        total = fault.seconds
    elif fault is not None and fault.outcome == "blocked":
        total *= BLOCKED_SHARE
    waiting = config.queue_seconds

    def at(seconds: float) -> datetime:
        return now + timedelta(seconds=seconds / config.time_scale)

    stuck = fault is not None and fault.outcome == "stuck"
    return Timeline(
        created_at=now,
        dispatching_at=at(waiting + QUEUED_SHARE * total),
        started_at=at(waiting + (QUEUED_SHARE + DISPATCHING_SHARE) * total),
        ended_at=None if stuck else at(waiting + total),
    )


def outcome(images: int, fault: Fault | None) -> Outcome:
    """Decide how a new run ends."""
    kind = "succeeded" if fault is None or fault.outcome is None else fault.outcome
    if fault is not None and kind in FAILURES:
        code, message, stage = FAILURES[kind]
        return Outcome(kind, 0, fault.code or code, fault.message or message, fault.stage or stage)
    if fault is not None and kind == "partial":
        wanted = images - 1 if fault.images is None else fault.images
        return Outcome(kind, max(0, min(images, wanted)))
    return Outcome(kind, images)


def cancellation(line: Timeline, fault: Fault | None) -> datetime | None:
    """Give the moment when somebody else cancels the run: half-way, with the provider at work."""
    if fault is None or fault.outcome != "cancelled" or line.ended_at is None:
        return None
    return line.started_at + (line.ended_at - line.started_at) / 2


def stamp(moment: datetime | None) -> str | None:
    """Write a time as the API does."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def money(amount: Decimal) -> str:
    """Write USD as the API does: a decimal string."""
    return f"{amount:.6f}" if amount else "0"


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
