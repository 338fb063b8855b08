# SPDX-License-Identifier: Apache-2.0
"""One task's paid run, step by step: the same steps in sync and in deferrable mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    LandingError,
    RunflowError,
    RunTimeoutError,
    RunUnreachableError,
    SubmissionUncertainError,
)
from airflow_provider_runflow.operators.delivery import Delivery
from airflow_provider_runflow.operators.verdict import judge
from airflow_provider_runflow.runs.engine import SAFE_RETRY, RunEngine, Standing
from airflow_provider_runflow.runs.identity import Request, Scope
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.runs.outcome import billed, cancellation_of, failure_of, money, not_kept
from airflow_provider_runflow.runs.result import make_result, not_landed
from airflow_provider_runflow.runs.usage import Spent
from airflow_provider_runflow.runs.waiting import READ_GRACE, timeout_of

if TYPE_CHECKING:
    from airflow_provider_runflow.hooks.runflow import RunflowHook
    from airflow_provider_runflow.landing.job import Landed


@dataclass
class PaidRun:
    """
    The work of one operator instance.

    Steps return the operator's result, or ``None`` when the run is not finished. :attr:`failure` holds the error to
    raise after the result has been shown: what is paid is named even when the task fails.

    :param request: as rendered now.
    :param delivery: where pictures land; ``None`` leaves them at Runflow.
    :param wait_seconds: how long a run may take, from its submission.

    :attr:`reused`: what was found had been bought by another task. :attr:`spent`: what the run cost, once it has ended.
    """

    request: Request
    scope: Scope
    engine: RunEngine
    hook: RunflowHook
    delivery: Delivery | None
    wait_seconds: float
    poll_interval: float
    log: Log
    failure: RunflowError | None = field(default=None, init=False)
    standing: Standing | None = field(default=None, init=False)
    ended: bool = field(default=False, init=False)
    reused: bool = field(default=False, init=False)
    spent: Spent | None = field(default=None, init=False)
    _unmade: list[str] = field(default_factory=list, init=False)

    @property
    def bought(self) -> Standing:
        """Where the run stands; only once there is one."""
        if self.standing is None:
            raise RuntimeError("the run is not known yet")
        return self.standing

    @property
    def run_id(self) -> str | None:
        """Runflow's id of the run, once it is known."""
        return self.standing.record.run_id if self.standing else None

    @property
    def deadline(self) -> datetime:
        """When the wait ends: counted from submission, or from now when that time is already over."""
        now, allowed = self.hook.clock.now(), timedelta(seconds=self.wait_seconds)
        due = (self.bought.record.submitted_at or now) + allowed
        return due if due > now else now + allowed

    @property
    def is_known(self) -> bool:
        """Whether a journal or a manifest tells that the request was bought, or may have been."""
        told = self.delivery.remembered if self.delivery else {}
        records = self.engine.journal.read(self.engine.slot)[:1]
        return self.request.fingerprint in told or any(not record.is_refused for record in records)

    def pending(self) -> dict[str, Any]:
        """What resuming needs, without a journal and without rendering again: the record, as JSON."""
        return self.bought.record.to_json()

    def take_up(self, record: Record) -> None:
        """Go on with a run that is on record."""
        self.standing = Standing(record, None, attached=True)

    def start(self) -> dict[str, Any] | None:
        """
        Find the request's pictures or its run, or submit it.

        :return: the result, when everything has landed before.
        """
        record = self.engine.recall(self.request)
        landed = self._landed_before(record)
        if landed is not None:
            return landed
        self.standing = self.engine.resolve(self.request, record)
        return self._landed_elsewhere()

    def find_landed(self) -> dict[str, Any] | None:
        """Find the request's pictures alone, after another worker has landed them; what failed here is void then."""
        failed, self.failure, self.spent = (self.failure, self.spent), None, None
        self._unmade.clear()
        landed = self._landed_before(self.engine.recall(self.request))
        if landed is None:
            self.failure, self.spent = failed
        return landed

    def without_waiting(self) -> dict[str, Any]:
        """Return the facts of the run as submitted."""
        record = self.bought.record
        run = self.bought.run or Run(id=str(record.run_id), status_code="queued")
        self._hand_over(record)
        return make_result(record, run, [])

    def look_once(self) -> dict[str, Any] | None:
        """Look at the run once more before waiting; land it if it has ended."""
        run = self.bought.run
        if not self.bought.attached:
            try:
                run = self.hook.get_run(str(self.run_id))
            except ApiError as error:
                self.log.info("Runflow run %s cannot be read yet (%s); waiting for it.", self.run_id, error)
        return self._end(run) if run is not None and run.is_terminal else None

    def wait_and_land(self) -> dict[str, Any]:
        """Poll on the worker until the run ends, then land it."""
        deadline = self.deadline
        self.log.info("Waiting for Runflow run %s until %s.", self.run_id, deadline.isoformat(timespec="seconds"))
        run = self.hook.wait_until(str(self.run_id), deadline=deadline, poll_interval=self.poll_interval)
        return self._end(run)

    def resume(self, event: Mapping[str, Any] | None) -> dict[str, Any]:
        """
        Land what the trigger waited for.

        :param event: the trigger's; only whether it says ``finished`` matters, the run is read afresh.
        """
        if self.standing is None:
            raise RunUnreachableError(
                f"The run that this task waited for is to be found neither in the journal nor at Runflow (client_ref "
                f"{self.scope.client_ref}). It is billed if it succeeds. Clear the task once Runflow lists it."
            )
        told = event or {}
        finished = told.get("status") == "finished"
        if not finished:
            said = (self.run_id, told.get("status"), told.get("reason"))
            self.log.warning("The wait for Runflow run %s ended: %s (%s).", *said)
        until = self.hook.clock.now() + (READ_GRACE if finished else timedelta(0))
        try:
            run = self.hook.wait_until(str(self.run_id), deadline=until, poll_interval=self.poll_interval)
        except RunTimeoutError as error:
            if not finished:
                raise
            raise LandingError(
                f"Runflow run {self.run_id} has ended ({told.get('run_status')}), but could not be read for a minute: "
                f"{error.__cause__ or error}. It is paid if it succeeded, and a retry of the task lands it for $0."
            ) from error
        return self._end(run)

    def rescue(self, error: Exception) -> dict[str, Any]:
        """
        Land the run, if it has ended, after Airflow ended the deferral itself. Submits nothing.

        :raises RunTimeoutError: it goes on.
        """
        landed = self.attach()
        if landed is not None:
            return landed
        if self.standing is None or self.standing.run is None:
            raise SubmissionUncertainError(
                f"Airflow ended the deferral ({error}), and the run that the task waited for is to be found neither in "
                f"the journal nor at Runflow (client_ref {self.scope.client_ref}). It is billed if it succeeds. "
                f"{SAFE_RETRY}"
            ) from error
        if self.standing.run.is_terminal:
            return self._end(self.standing.run)
        raise timeout_of(self.standing.run.id, self.standing.run) from error

    def attach(self) -> dict[str, Any] | None:
        """
        Find what an earlier stretch of the task bought, by journal and look-up; submit nothing.

        :return: the result, when everything has landed; else :attr:`standing` tells of the run, if there is one.
        """
        record = self.engine.recall(self.request)
        landed = self._landed_before(record)
        if landed is None:
            self.standing = self.engine.resolve(self.request, record, may_submit=False)
            landed = self._landed_elsewhere()
        return landed

    def rejoin(self) -> dict[str, Any] | None:
        """Go on with what an earlier stretch of the task submitted, as :meth:`attach` does, reading as little."""
        record = self.engine.recall(self.request)
        if record is not None and record.state == "submitted":
            self.take_up(record)
            return None
        return self.attach()

    def _landed_before(self, record: Record | None) -> dict[str, Any] | None:
        if record is not None and record.state == "landed" and record.result is not None:
            if self.delivery is None or self.delivery.still_there(record.result):
                self.reused = record.submitted_at is None
                self._say_reused(record.run_id)
                self.engine.remember(record)  # of this go now, if the task was cleared
                return self._judged(self._completed(record.result, record), record)
            where = ", ".join(str(image["uri"]) for image in record.result["images"])
            self.log.warning(
                "What landed (%s) is not all there, or not under the destination of now. Landing Runflow run %s again "
                "for $0.",
                where,
                record.run_id,
            )
            return None
        if self.delivery is None or (record is not None and record.run_id is not None):
            return None
        return self._found_at_destination(self.delivery, record.request if record else self.request, self.scope)

    def _landed_elsewhere(self) -> dict[str, Any] | None:
        """Find what an item landed before the mapped list shifted; Runflow may not have those pictures any more."""
        scope = self.engine.scope
        if self.delivery is None or self.standing is None or scope.item_key == self.scope.item_key:
            return None
        return self._found_at_destination(self.delivery, self.standing.record.request, scope)

    def _found_at_destination(self, delivery: Delivery, request: Request, scope: Scope) -> dict[str, Any] | None:
        found = delivery.find(request, scope)
        if found is None:
            return None
        images = [image.as_dict() for image in found.images]
        status = "succeeded" if len(images) >= request.num_images else "partial_succeeded"
        run = Run(id=found.runflow_run_id, status_code=status, cost=found.cost_usd)
        landed = self.engine.landed_record(request, run.id)
        result = make_result(landed, run, images)
        self.reused = True
        self._record_landed(landed, result)
        self._say_reused(run.id)
        return self._judged(self._completed(result, landed), landed)

    def _completed(self, result: Mapping[str, Any], record: Record) -> dict[str, Any]:
        """Make of what landed before what is not there of the task's derivatives, for $0."""
        if self.delivery is None or not self.delivery.derivatives:
            return _masters(result)
        try:
            images = self.delivery.complete(record, result)
        except LandingError as error:
            self.failure = error
            images = getattr(error, "landed", [])
        return {**result, "images": self._told(images)}

    def _told(self, images: Sequence[Landed]) -> list[dict[str, Any]]:
        self._unmade += [why for image in images for why in image.unmade]
        return [image.as_dict() for image in images]

    def _hand_over(self, record: Record) -> None:
        self.engine.remember(replace(record, handed_over=True))

    def _record_landed(self, record: Record, result: Mapping[str, Any]) -> None:
        # A record must stay small; sidecars tell which derivatives there are.
        self.engine.remember(record.moved("landed", self.hook.clock.now(), result=_masters(result)))

    def _say_reused(self, run_id: str | None) -> None:
        self.log.info("Landed before by Runflow run %s: same pictures, $0. Raise `variation` for another take.", run_id)

    def _end(self, run: Run) -> dict[str, Any]:
        record, self.ended = self.bought.record, True
        self._count(run)
        if run.status_code == "failed":
            raise failure_of(run)
        if run.status_code == "cancelled":
            raise cancellation_of(run)
        if not run.output_urls:
            raise LandingError(
                f"Runflow run {run.id} is {run.status_code} but lists no pictures ({money(run)}). A retry of the task "
                "reads it again for $0; another `variation` buys a new picture."
            )
        if self.delivery is None:
            self._hand_over(record)
            self.log.warning("%s", not_kept(run))
            return self._judged(make_result(record, run, not_landed(run)), record)
        try:
            images = self._told(self.delivery.land(record, run))
        except LandingError as error:
            self.failure = error
            landed = [image.as_dict() for image in getattr(error, "landed", [])]
            return make_result(record, run, landed)
        result = make_result(record, run, images)
        told = (run.id, len(images), record.request.num_images, money(run))
        self.log.info("Runflow run %s: landed %d of %d, %s.", *told)
        self._record_landed(record, result)
        return self._judged(result, record)

    def _count(self, run: Run) -> None:
        request, cost = self.bought.record.request, billed(run)
        self.engine.budget.count(run.id, request, cost)
        self.spent = Spent(cost, self.engine.budget.price_of(request), self.reused, len(run.output_urls))
        metrics = self.engine.metrics
        metrics.incr("runflow.runs.completed" if run.is_delivered else "runflow.runs.failed")
        if run.duration_ms is not None:
            metrics.timing("runflow.runs.duration", run.duration_ms / 1000)
        if run.cost is not None:
            metrics.gauge("runflow.runs.cost_usd", float(run.cost))

    def _judged(self, result: dict[str, Any], record: Record) -> dict[str, Any]:
        if self.spent is None:  # landed before
            cost, price = result["cost_usd"], self.engine.budget.price_of(record.request)
            self.spent = Spent(None if cost is None else Decimal(cost), price, self.reused, len(result["images"]))
        if self.failure is None:
            kept = self.delivery is not None
            self.failure = judge(record.request, result, unmade=self._unmade, kept=kept)
        return result


def _masters(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without derivatives."""
    images = [{name: value for name, value in image.items() if name != "derivatives"} for image in result["images"]]
    return {**result, "images": images}
