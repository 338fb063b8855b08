# SPDX-License-Identifier: Apache-2.0
"""The same trials for everybody: one kind of day, and whom it meets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.rivals import operators as rivals
from tests.chaos.judge import Verdict, try_plan
from tests.chaos.plan import Fences, Plan, make_plan
from tests.chaos.play import Operators, runflow_operator
from tests.harness import in_dag

FIELDS = ("requests", "billed", "double_paid", "lost", "gave_up")
KINDS: dict[str, tuple[type[rivals.Rival] | None, bool]] = {
    "this package, sync": (None, False),
    "this package, deferrable": (None, True),
    "(a) submit and poll": (rivals.SubmitAndPoll, False),
    "(b) the sample clients' retry loop": (rivals.SampleClient, False),
    "(c) ResumableJobMixin, sync": (rivals.Resumable, False),
    "(c) deferrable beside the mixin": (rivals.Deferring, True),
    "(d) two-phase, resubmits in doubt": (rivals.TwoPhase, False),
}


def the_same_day(seed: int, deferrable: bool) -> Plan:
    """A plan that asks nothing of a rival that it does not claim to do."""
    plan = make_plan(seed)
    return replace(
        plan,
        fences_name="all",
        fences=Fences(),
        reuse_within="dag_run",
        mapped=0,
        batch=0,
        keyed=False,
        literal=True,
        drift=False,
        metadata_drift=False,
        deferrable=deferrable,
        finale=(),
        retries=min(plan.retries, 5),
        jump_hours=0.1,
        rules=tuple(rule for rule in plan.rules if rule.get("outcome") not in ("blocked", "partial")),
    )


def operators_of(kind: type[rivals.Rival] | None) -> Operators:
    """How a trial makes this kind of operator."""
    if kind is None:
        return runflow_operator

    def make(world: Any, seat: Any, want: Any, try_number: int) -> Any:
        plan = world.plan
        with in_dag("campaign"):
            return kind(
                task_id=plan.task_id,
                prompt=want.name,
                folder=str(world.bucket),
                num_images=plan.num_images,
                retries=plan.retries,
            )

    return make


def play(name: str, seeds: range) -> dict[str, int]:
    """One kind's share of the trials, as counts."""
    kind, deferrable = KINDS[name]
    total, gave_up = Verdict(), 0
    for seed in seeds:
        verdict = try_plan(the_same_day(seed, deferrable), operators_of(kind))
        gave_up += any("hang:" in problem for problem in verdict.problems)
        total.add(verdict)
    return {**{name: value for name, value in total.counts().items() if name in FIELDS}, "gave_up": gave_up}
