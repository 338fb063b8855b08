# SPDX-License-Identifier: Apache-2.0
"""What a trial came to: by the emulator's ledger and the files in the bucket, not by what the code under test says."""

from __future__ import annotations

import functools
import gc
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import timedelta

from airflow.sdk.configuration import conf

from tests.chaos.plan import NO_FENCE, Plan, make_plan
from tests.chaos.play import Halt, Operators, Play, Stuck, runflow_operator
from tests.chaos.play_batch import BatchPlay
from tests.chaos.points import Hang
from tests.chaos.world import SECRETS, ChaosWorld

# The promise, not what the code under test makes of it: a key that is younger is a fence.
KEY_IS_A_FENCE = timedelta(hours=1)


@dataclass
class Verdict:
    """
    Counts of one trial, or of many.

    :param requests: distinct requests in their scope that were bought.
    :param billed: runs that the emulator billed.
    :param double_paid: bills beyond one a request.
    :param lost: billed pictures that are not in the bucket, although nothing stopped the task.
    :param stopped_unknown: tasks that stopped, since nothing could tell whether their request was bought.
    :param stopped_unknown_with_a_fence: those of them in which something could have told.
    :param problems: in words: all of the above that should be 0, hangs, leaks, wrong pictures.
    """

    trials: int = 0
    items: int = 0
    requests: int = 0
    billed: int = 0
    double_paid: int = 0
    lost: int = 0
    stopped_unknown: int = 0
    stopped_unknown_with_a_fence: int = 0
    struck: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def counts(self) -> dict[str, int]:
        """The numbers alone."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "problems"}


def try_seeds(seeds: Iterable[int]) -> Verdict:
    """Play the trials of some seeds: one process's share."""
    total = Verdict()
    for seed in seeds:
        total.add(try_seed(seed))
    return total


def keep_modules() -> None:
    """Begin a process that does nothing but play trials."""
    # The collector would walk all of Airflow again and again: a tenth of the time.
    gc.freeze()
    gc.disable()
    # Airflow looks for every option in five places, twenty times a task; none changes while trials are played.
    conf.get = functools.cache(conf.get)


def try_chunk(seeds: Iterable[int]) -> Verdict:
    """Play some trials in such a process."""
    verdict = try_seeds(seeds)
    gc.collect()
    return verdict


def try_seed(seed: int) -> Verdict:
    """Play the trial of a seed."""
    return try_plan(make_plan(seed))


def try_plan(plan: Plan, operators: Operators = runflow_operator) -> Verdict:
    """Play a plan and judge what came of it."""
    with ChaosWorld(plan) as world:
        play = BatchPlay(world) if plan.batch and operators is runflow_operator else Play(world, operators)
        problems = []
        try:
            play.run()
        except (Stuck, Hang) as error:
            problems.append(f"hang: {error}")
        world.clock.advance(8 * 86400)  # whatever still ran is billed by now
        verdict = _judge(world, play, problems)
    verdict.problems = [f"seed {plan.seed}: {problem} | {plan}" for problem in verdict.problems]
    return verdict


def _judge(world: ChaosWorld, play: Play, problems: list[str]) -> Verdict:
    bills = world.emulator.ledger(world.now())["billed"]
    runs = {run.id: run for run in world.emulator.runs}
    billed = Counter(_name(str(runs[bill["run_id"]].input["prompt"])) for bill in bills)
    over = {name: billed[name] - len(play.asked.get(name, ())) for name in billed}
    hung = bool(problems)
    double_paid = sum(extra for extra in over.values() if extra > 0)
    if double_paid:
        problems.append(f"paid twice: {over}, struck {world.points.struck}")
    # A task that stopped says where to look; every other paid picture has to be there.
    stopped = {halt.want.name for halt in play.stops}
    owed = [bill["run_id"] for bill in bills if _name(str(runs[bill["run_id"]].input["prompt"])) not in stopped]
    lost = 0 if hung else _lost(world, owed)
    if lost:
        problems.append(f"{lost} paid pictures are lost, struck {world.points.struck}")
    fenced = [halt for halt in play.stops if _fence_left(world.plan, halt)]
    problems += [f"stopped although a fence worked: {halt.error}" for halt in fenced]
    problems += _wrong(play, runs)
    said = world.said()
    problems += [f"leaked {secret}" for secret in SECRETS if secret in said]
    return Verdict(
        trials=1,
        items=play.items,
        requests=sum(min(billed[name], len(play.asked.get(name, ()))) for name in billed),
        billed=len(bills),
        double_paid=double_paid,
        lost=lost,
        stopped_unknown=len(play.stops),
        stopped_unknown_with_a_fence=len(fenced),
        struck=len(world.points.struck),
        problems=problems,
    )


def _name(prompt: str) -> str:
    return prompt.partition(" try ")[0]


def _lost(world: ChaosWorld, run_ids: list[str]) -> int:
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in world.bucket.rglob("*") if path.is_file()}
    runs = {run.id: run for run in world.emulator.runs}
    wanted = [(run_id, index) for run_id in run_ids for index in range(runs[run_id].outcome.images)]
    drawn = [hashlib.sha256(world.emulator.picture(*each)).hexdigest() for each in wanted]
    return sum(1 for sha256 in drawn if sha256 not in there)


def _wrong(play: Play, runs: dict[str, object]) -> list[str]:
    """Results that show somebody else's picture, or none."""
    problems = []
    for want, result in play.returned:
        run = runs.get((result or {}).get("run_id", ""))
        prompt = _name(str(run.input["prompt"])) if run is not None else None  # type: ignore[attr-defined]
        if prompt != want.name:
            problems.append(f"{want} was answered with the run of {prompt}: {result}")
        elif len(result["images"]) != play.plan.num_images:
            problems.append(f"{want} has {len(result['images'])} pictures")
    return problems


def _fence_left(plan: Plan, halt: Halt) -> bool:
    """Whether something could have told what became of a request: then a task may not stop as unknown."""
    seat = halt.seat
    if plan.fences.lists and plan.fences.lag < KEY_IS_A_FENCE.total_seconds():
        return True
    if plan.reuse_within == "destination" or (plan.mapped and not plan.keyed and seat.clears):
        return False  # bought by another DAG run or under another index: only a list tells
    if plan.fences.journal and (halt.on_record or not seat.clears):
        return halt.at - seat.asked[halt.want] < KEY_IS_A_FENCE - timedelta(seconds=1)
    # After a clear an empty journal tells nothing, nor does one that holds another request: Airflow may have dropped
    # what was there. The key tells as long as any that this task may have used is young.
    young = halt.at - seat.started < KEY_IS_A_FENCE - timedelta(seconds=1)
    same_body = plan.literal and not plan.metadata_drift and (plan.fences.journal or not seat.clears)
    return young and same_body and plan.fences_name != NO_FENCE
