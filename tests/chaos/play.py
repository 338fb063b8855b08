# SPDX-License-Identifier: Apache-2.0
"""Play one trial: tasks are run, killed, delivered twice, retried and cleared until their pictures are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any, Protocol

from airflow_provider_runflow.exceptions import (
    RunBlockedError,
    RunflowError,
    RunPartialError,
    SubmissionUnknownError,
)
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.chaos.plan import Plan
from tests.chaos.points import Event, Killed, Process
from tests.chaos.world import ChaosWorld
from tests.harness import Attempt, Outcome, in_dag

ATTEMPTS = 60
CALM_AFTER = 6
DAG_ID = "campaign"


class Stuck(Exception):
    """A task did not come to its end although all trouble was over."""


@dataclass(frozen=True)
class Want:
    """
    What somebody wants to see.

    :param name: stands in the prompt, so that the emulator's runs can be told apart.
    :param key: the item key, if it has one.
    :param variation: the take.
    """

    name: str
    key: str | None = None
    variation: str | None = None


@dataclass
class Seat:
    """
    A task instance: what it has gone through.

    :param wanted: what it was last asked for, which is all that its journal holds.
    :param same: whether that is what it is asked for now, or nothing was before.
    """

    index: int
    run_id: str
    started: datetime
    clears: int = 0
    attempt: Attempt | None = None
    goes: int = 0
    done: bool = False
    asked: dict[Want, datetime] = field(default_factory=dict)
    wanted: Want | None = None
    same: bool = True


@dataclass(frozen=True)
class Halt:
    """
    A task that stopped, since nothing could tell whether its request was bought.

    :param at: when that was.
    :param on_record: whether its journal held this very request in this very scope then.
    """

    seat: Seat
    want: Want
    error: SubmissionUnknownError
    at: datetime
    on_record: bool


@dataclass(frozen=True)
class End:
    """How an attempt ended: Airflow's state, or ``killed`` or ``cleared``; and the error, if there was one."""

    state: str
    error: BaseException | None = None

    @property
    def cause(self) -> BaseException | None:
        """The engine's own error, from behind Airflow's."""
        error = self.error
        while error is not None and not isinstance(error, RunflowError):
            error = error.__cause__
        return error


Buy = tuple[Any, ...]


class Operators(Protocol):
    """Whoever takes part: gives the operator for what is wanted."""

    def __call__(self, world: ChaosWorld, seat: Seat, want: Want, try_number: int) -> Any:
        """Make it as the DAG file of that moment would."""


def runflow_operator(world: ChaosWorld, seat: Seat, want: Want, try_number: int) -> Any:
    """The operator of this package."""
    plan = world.plan
    prompt = f"{want.name} try {try_number}" if plan.drift else want.name
    with in_dag(DAG_ID):
        operator = GptImage2Operator(
            task_id=plan.task_id,
            prompt=prompt if plan.literal else "{{ params.shown }}",
            params={} if plan.literal else {"shown": prompt},
            quality="low",
            num_images=plan.num_images,
            destination=str(world.bucket),
            sidecars="beside" if plan.sidecars else None,
            deferrable=plan.deferrable,
            timeout=900,
            poll_interval=30,
            reuse_within=plan.reuse_within,
            variation=want.variation,
            item_key=want.key,
            metadata={"try": try_number} if plan.metadata_drift else None,
            retries=_retries(plan, try_number),
        )
    return operator


def _retries(plan: Plan, try_number: int) -> int:
    """The DAG file's number of retries, which somebody may edit at any time."""
    if not plan.edit_retries or plan.retries >= 30:
        return plan.retries
    return Random(f"retries:{plan.seed}:{try_number}").choice((0, 1, 2, 3, 5))


class Play:
    """One trial, with what was asked for on the way (:attr:`asked`) and how it ended (:attr:`stops`)."""

    def __init__(self, world: ChaosWorld, operators: Operators = runflow_operator) -> None:
        self.world = world
        self.plan: Plan = world.plan
        self.dice = Random(f"play:{self.plan.seed}")
        self.operators = operators
        #: For each name that may stand in a prompt: the distinct requests that it was bought for.
        self.asked: dict[str, set[Buy]] = {}
        self.stops: list[Halt] = []
        self.returned: list[tuple[Want, dict[str, Any]]] = []
        self.items = 0
        self.nested = 0

    # ------------------------------------------------------------------ the story

    def run(self) -> None:
        """All items, then what people do afterwards."""
        plan = self.plan
        indexes = range(plan.mapped) if plan.mapped else (-1,)
        seats = [Seat(index, plan.run_id, self.world.now()) for index in indexes]
        wants = [Want(f"<{n}.0>", f"k{n}" if plan.keyed else None) for n in range(len(seats))]
        self.play(seats, wants)
        for step in plan.finale:
            if self.stops:
                return
            seats, wants = getattr(self, f"_{step}")(seats, wants)
            self.play(seats, wants)

    def play(self, seats: list[Seat], wants: list[Want]) -> None:
        """Bring every item to its end."""
        for seat, want in zip(seats, wants, strict=True):
            self.items += 1
            self.pursue(seat, want)

    def _clear(self, seats: list[Seat], wants: list[Want]) -> Any:
        self._pause_for_people()
        for seat in seats:
            seat.clears += 1
        return seats, wants

    def _edit(self, seats: list[Seat], wants: list[Want]) -> Any:
        return self._clear(seats, [self._edited(want) for want in wants])

    def _edited(self, want: Want) -> Want:
        if self.dice.random() < 0.3:
            return want
        back = "e" in want.name and self.dice.random() < 0.5
        return replace(want, name=want.name.replace("e>", ">") if back else f"{want.name[:-1]}e>")

    def _vary(self, seats: list[Seat], wants: list[Want]) -> Any:
        return self._clear(seats, [replace(want, variation=f"{want.variation or 1}2") for want in wants])

    def _again(self, seats: list[Seat], wants: list[Want]) -> Any:
        self._pause_for_people()
        return [Seat(seat.index, f"{seat.run_id}+", self.world.now()) for seat in seats], wants

    def _shift(self, seats: list[Seat], wants: list[Want]) -> Any:
        n = f"new{len(self.asked)}"
        return self._clear(seats, [Want(f"<{n}.0>", n if self.plan.keyed else None), *wants[:-1]])

    def _pause_for_people(self) -> None:
        self.world.clock.advance(self.plan.jump_hours * 3600 * self.dice.uniform(0.8, 1.2))

    # ------------------------------------------------------------------ one item

    def pursue(self, seat: Seat, want: Want) -> None:
        """Run, retry and clear a task until nothing more can be done."""
        seat.same, seat.wanted = seat.wanted in (None, want), want
        attempt = self._first_attempt(seat, want)
        for number in range(ATTEMPTS):
            if number == CALM_AFTER:
                self.world.calm_down()
            seat.attempt = attempt
            self.note(seat, want)
            end = self._attempt(seat, want, struck=number < CALM_AFTER)
            if self.is_over(seat, want, end):
                return
            attempt = self._next(seat, want, end)
        raise Stuck(f"{want}: {ATTEMPTS} attempts, the last one {end.state}: {end.error}")

    def note(self, seat: Seat, want: Want) -> None:
        """Note that something is asked for."""
        seat.asked.setdefault(want, self.world.now())
        self.asked.setdefault(want.name, set()).add(self._buy(seat, want))

    def _first_attempt(self, seat: Seat, want: Want) -> Attempt:
        if seat.attempt is None:
            task = self.operators(self.world, seat, want, 1)
            facts: dict[str, Any] = {"run_after": seat.started, "clear_number": seat.clears}
            return Attempt(task, seat.run_id, seat.index, 1, int(task.retries or 0), **facts)
        return self._cleared(seat, want)

    def _again_with(self, seat: Seat, want: Want, *, clears: int | None = None) -> Attempt:
        before = seat.attempt
        assert before is not None
        task = self.operators(self.world, seat, want, before.try_number + 1)
        return self.world.airflow.next_try(before, clears=clears, task=task)

    def _buy(self, seat: Seat, want: Want) -> Buy:
        reuse = self.plan.reuse_within
        if reuse == "destination":
            return (want,)
        return (want, seat.run_id) if reuse == "dag_run" else (want, seat.run_id, seat.index, seat.goes)

    def is_over(self, seat: Seat, want: Want, end: End) -> bool:
        assert seat.attempt is not None
        if end.state == "success":
            seat.done = True
            result = self.world.airflow.xcom(seat.attempt.task, run_id=seat.run_id, map_index=seat.index)
            self.returned.append((want, result))
            if self.plan.fences.forgets:
                self.world.airflow.forget(seat.attempt)
        if isinstance(end.cause, SubmissionUnknownError):
            kept = self.world.airflow.states.get(seat.attempt.scope, {})
            in_scope = any(record["client_ref"] in str(end.cause) for record in kept.values())
            self.stops.append(Halt(seat, want, end.cause, self.world.now(), seat.same and in_scope))
        if isinstance(end.cause, RunPartialError):
            seat.done = True
        ended = (SubmissionUnknownError, RunPartialError, RunBlockedError)
        return end.state == "success" or isinstance(end.cause, ended)

    def _next(self, seat: Seat, want: Want, end: End) -> Attempt:
        attempt = seat.attempt
        assert attempt is not None
        may_retry = attempt.try_number <= attempt.max_tries
        if may_retry and end.state in ("up_for_retry", "killed"):
            self.world.clock.advance(self.dice.choice((1, 60, 300)))
            return self._again_with(seat, want)
        self._pause_for_people()
        seat.clears += 1
        return self._cleared(seat, want)

    def _cleared(self, seat: Seat, want: Want) -> Attempt:
        # What is paid and did not land yet outlives the clear, as far as a journal can tell.
        seat.goes += seat.done or not self.plan.fences.journal or self._has_landed(seat)
        seat.done = False
        return self._again_with(seat, want, clears=seat.clears)

    def _has_landed(self, seat: Seat) -> bool:
        assert seat.attempt is not None
        kept = self.world.airflow.states.get(seat.attempt.scope, {})
        return "landed" in [record.get("state") for record in kept.values() if isinstance(record, dict)]

    # ------------------------------------------------------------------ one attempt

    def _attempt(self, seat: Seat, want: Want, *, struck: bool) -> End:
        """One attempt with its deferrals, and whatever strikes it."""
        attempt = seat.attempt
        assert attempt is not None
        airflow = self.world.airflow
        end, outcome = self._stretch(lambda: airflow.start(attempt), seat, want, struck)
        while outcome is not None and outcome.deferred:
            fate = self._fate(struck)
            self.world.clock.advance(self.dice.choice((0, 1, 30)))
            if fate == "cleared":
                return End("cleared")
            if fate == "fired":
                with self.world.points.process(Process(self._death() if struck else {})) as triggerer:
                    resumption = self._survive(lambda fired=outcome: self._fire(fired))
                if triggerer.dead:
                    continue  # another triggerer takes it over
            else:
                resumption = airflow.trigger_failure(outcome, reason=fate)
            end, outcome = self._stretch(lambda r=resumption: airflow.resume(r), seat, want, struck)
        return end

    def _fire(self, outcome: Outcome) -> Any:
        try:
            return self.world.airflow.fire(outcome)
        except Exception as error:  # Airflow fails the task of a trigger that dies by itself
            return self.world.airflow.trigger_failure(outcome, reason="Trigger failure", traceback=[str(error)])

    def _fate(self, struck: bool) -> str:
        if not struck or self.dice.random() < 0.85:
            return "fired"
        may_clear = self.plan.retries < 30
        return self.dice.choice(("Trigger timeout", "Trigger failure", *(["cleared"] if may_clear else [])))

    def _stretch(self, work: Callable[[], Outcome], seat: Seat, want: Want, struck: bool) -> tuple[End, Outcome | None]:
        ends: list[End] = []
        events = self._events(seat, want, ends) if struck else {}
        with self.world.points.process(Process(events)) as worker:
            outcome = self._survive(work)
        if ends:
            return ends[-1], None  # another process has brought the task to its end meanwhile
        if worker.dead or outcome is None:
            return End("killed"), None
        return End(outcome.state, outcome.error), outcome

    def _survive(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Killed:
            return None

    def _death(self) -> dict[int, Event]:
        if self.dice.random() >= self.plan.strike:
            return {}
        return {self.dice.randint(1, 8): self.world.points.kill}

    def _events(self, seat: Seat, want: Want, ends: list[End]) -> dict[int, Event]:
        """What strikes a stretch of work, and at which of its calls."""
        if self.nested or self.dice.random() >= self.plan.strike:
            return {}
        kinds = ["kill", "kill", "kill"]
        # A DAG run whose template renders otherwise wants another picture, and one whose list is another wants others,
        # which nobody lands here: that other task would be retried itself.
        spans = self.plan.reuse_within == "destination" and not self.plan.drift and not self.plan.churn
        # Two workers at the same moment: only the server can tell, by the key of one and the same request.
        if self.plan.fences.key and (self.plan.fences.journal or not self.plan.drift):
            kinds += ["twin", "zombie", *(["overlap"] if spans else [])]
        kind = self.dice.choice(kinds)
        strike: Event = self.world.points.kill
        if kind != "kill":
            other = getattr(self, f"_{kind}")

            def strike(where: str) -> None:
                self.nested += 1
                try:
                    other(seat, want, ends)
                finally:
                    self.nested -= 1

        # Few calls are made after the first hundred, and most within the first dozen.
        return {self.dice.randint(1, self.dice.choice((12, 24, 60, 120))): strike}

    def _twin(self, seat: Seat, want: Want, ends: list[End]) -> None:
        """The task is delivered once more: two workers run the same try."""
        assert seat.attempt is not None
        scope, xcoms = seat.attempt.scope, self.world.airflow.xcoms
        pushed = dict(xcoms.get(scope, {}))
        end = self._attempt(seat, want, struck=False)
        if end.state == "success":
            ends.append(end)
        else:
            # The first worker's word counts: Airflow drops nothing of a try that runs already.
            xcoms[scope] = {**pushed, **xcoms.get(scope, {})}

    def _zombie(self, seat: Seat, want: Want, ends: list[End]) -> None:
        """Airflow takes the worker for dead and starts the next try; the worker goes on."""
        seat.attempt = self._again_with(seat, want)
        ends.append(self._attempt(seat, want, struck=False))

    def _overlap(self, seat: Seat, want: Want, ends: list[End]) -> None:
        """Another DAG run wants the same picture in the same place."""
        other = Seat(seat.index, f"{seat.run_id}|{self.world.points.count}", self.world.now())
        other.attempt = self._first_attempt(other, want)
        self._attempt(other, want, struck=False)
