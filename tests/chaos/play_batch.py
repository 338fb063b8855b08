# SPDX-License-Identifier: Apache-2.0
"""Play one trial of a batch task: its items come and go between tries, and each is paid once all the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from airflow_provider_runflow.exceptions import BatchEndedError, SubmissionUnknownError
from airflow_provider_runflow.landing.manifest import ManifestRow, parse_rows
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.stores.task_state_log import TaskStateLog
from tests.chaos.play import ATTEMPTS, CALM_AFTER, DAG_ID, End, Halt, Play, Seat, Stuck, Want, _retries
from tests.chaos.world import ChaosWorld
from tests.harness import in_dag

Wants = tuple[Want, ...]


def batch_operator(world: ChaosWorld, seat: Seat, wants: Wants, try_number: int) -> Any:
    """The batch operator of this package, without threads: trials replay."""
    plan = world.plan
    with in_dag(DAG_ID):
        return GptImage2BatchOperator(
            task_id=plan.task_id,
            requests=[_request(plan, want, try_number) for want in wants],
            render_items=not plan.literal,
            quality="low",
            num_images=plan.num_images,
            destination=str(world.bucket),
            sidecars="beside" if plan.sidecars else None,
            deferrable=plan.deferrable,
            timeout=900,
            poll_interval=30,
            reuse_within=plan.reuse_within,
            metadata={"try": try_number} if plan.metadata_drift else None,
            retries=_retries(plan, try_number),
            max_in_flight=1,
        )


def _request(plan: Any, want: Want, try_number: int) -> dict[str, Any]:
    prompt = f"{want.name} try {try_number}" if plan.drift else want.name
    item = {"key": want.key, "labels": {"name": want.key}, "variation": want.variation}
    return {**item, "prompt": prompt if plan.literal else f"{{{{ {prompt!r} }}}}"}


class BatchPlay(Play):
    """One trial of one batch task."""

    def __init__(self, world: ChaosWorld) -> None:
        super().__init__(world, batch_operator)  # type: ignore[arg-type]
        self.born = 0

    def run(self) -> None:
        """The batch, then what people do afterwards."""
        seat = Seat(-1, self.plan.run_id, self.world.now())
        wants = tuple(self._new() for _ in range(self.plan.batch))
        self.play_batch(seat, wants)
        for step in self.plan.finale:
            if self.stops:
                return
            (seat,), told = getattr(self, f"_{step}")([seat], list(self.wants))
            self.play_batch(seat, tuple(told))

    def play_batch(self, seat: Seat, wants: Wants) -> None:
        """Bring the batch to its end; :attr:`wants` is then what it asked for last."""
        self.items += len(wants)
        self.wants = wants
        attempt = self._first_attempt(seat, wants)  # type: ignore[arg-type]
        for number in range(ATTEMPTS):
            if number == CALM_AFTER:
                self.world.calm_down()
            seat.attempt = attempt
            for want in self.wants:
                self.note(seat, want)
            end = self._attempt(seat, self.wants, struck=number < CALM_AFTER)  # type: ignore[arg-type]
            if self.is_over(seat, self.wants, end):  # type: ignore[arg-type]
                return
            if self.plan.churn and number < CALM_AFTER:
                self.wants = self._churned(self.wants)
            attempt = self._next(seat, self.wants, end)  # type: ignore[arg-type]
        raise Stuck(f"{len(wants)} items: {ATTEMPTS} attempts, the last one {end.state}: {end.error}")

    def is_over(self, seat: Seat, wants: Wants, end: End) -> bool:  # type: ignore[override]
        """Whether nothing more can be done; takes down what became of each item."""
        assert seat.attempt is not None
        ended = end.state == "success" or isinstance(end.cause, BatchEndedError)
        if not ended:
            return False
        seat.done = True
        rows = {row.key: row for row in self._rows()}
        for want in wants:
            self._take_down(seat, want, rows[str(want.key)])
        if self.plan.fences.forgets and end.state == "success":
            self.world.airflow.forget(seat.attempt)
        return True

    def _take_down(self, seat: Seat, want: Want, row: ManifestRow) -> None:
        if row.outcome is Outcome.SUCCEEDED:
            images = [image.as_dict() for image in row.images]
            self.returned.append((want, {"run_id": row.runflow_run_id, "images": images}))
        elif row.outcome is Outcome.UNKNOWN:
            error = SubmissionUnknownError(str(row.reason))
            self.stops.append(Halt(seat, want, error, self.world.now(), self._on_record(seat, want, error)))

    def _on_record(self, seat: Seat, want: Want, error: Exception) -> bool:
        assert seat.attempt is not None
        log = TaskStateLog(self.world.airflow.states.get(seat.attempt.scope, {}))
        return any(
            record.client_ref in str(error)
            and str(record.input.get("prompt", "")).startswith(want.name)
            and record.variation == want.variation
            for record in log.read(str(want.key))
        )

    def _rows(self) -> list[ManifestRow]:
        newest = max(
            self.world.bucket.glob("manifest*.json"), key=lambda path: json.loads(path.read_text())["created_at"]
        )
        return list(parse_rows(newest.with_suffix(".jsonl").read_text()))

    def _new(self) -> Want:
        self.born += 1
        return Want(f"<{self.born}.0>", f"k{self.born}")

    def _churned(self, wants: Wants) -> Wants:
        """What somebody makes of the list between two tries."""
        kept = tuple(want for want in wants if self.dice.random() > 0.15) or wants[:1]
        more = tuple(self._new() for _ in range(self.dice.choice((0, 0, 1, 2))))
        return (*more, *kept) if self.dice.random() < 0.5 else (*kept, *more)

    def _shift(self, seats: list[Seat], wants: list[Want]) -> Any:
        return self._clear(seats, [self._new(), *wants[:-1]])

    def _edited(self, want: Want) -> Want:
        edited = super()._edited(want)
        return replace(edited, key=want.key)
