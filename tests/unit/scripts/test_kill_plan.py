# SPDX-License-Identifier: Apache-2.0
"""What a seed makes of thirty pictures: enough kills, at every moment that matters, the same each time."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.kill_plan import BETWEEN, Phase, Plan, Victim, make_plan

AT_WORK = [f"w{number}" for number in range(12)]
DEFERRED = [f"d{number}" for number in range(18)]
SEEDS = range(1, 30)


def plan(seed: int) -> Plan:
    return make_plan(seed, AT_WORK, DEFERRED)


def test_the_same_seed_plans_the_same_and_another_one_does_not() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_plan_kills_at_least_twenty_times_and_five_times_between_intent_and_run_id(seed: int) -> None:
    aims = [aim for each in plan(seed).aims.values() for aim in each]
    assert plan(seed).kills >= 25
    assert sum(aim.phase in BETWEEN and aim.victim is not Victim.API_SERVER for aim in aims) >= 10


@pytest.mark.parametrize("seed", SEEDS)
def test_every_phase_is_hit_in_every_way_that_leaves_something_behind(seed: int) -> None:
    hit = Counter((aim.phase, aim.victim) for aims in plan(seed).aims.values() for aim in aims)
    for phase in (Phase.SENT, Phase.TAKEN, Phase.WAITING, Phase.LANDING):
        assert all(hit[phase, victim] for victim in (Victim.SUPERVISOR, Victim.TASK, Victim.BOTH))
    assert {outage.component for outage in plan(seed).outages} == {"triggerer", "api-server"}


@pytest.mark.parametrize("seed", SEEDS)
def test_only_tasks_that_wait_on_a_worker_are_killed_while_they_wait(seed: int) -> None:
    waiting = {item for item, aims in plan(seed).aims.items() if aims[0].phase is Phase.WAITING}
    assert len(waiting) == 3
    assert waiting <= set(AT_WORK)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_that_was_left_alive_is_not_aimed_at_again(seed: int) -> None:
    twice = [aims for aims in plan(seed).aims.values() if len(aims) > 1]
    assert len(twice) == 3
    assert all(aims[0].victim in (Victim.TASK, Victim.BOTH) for aims in twice)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_outages_come_one_after_the_other_before_the_last_picture(seed: int) -> None:
    moments = [outage.at for outage in plan(seed).outages]
    assert moments == sorted(moments)
    assert moments[-1] < 60  # thirty runs, thirty pictures
