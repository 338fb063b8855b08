# SPDX-License-Identifier: Apache-2.0
"""
What campaigns cost on good and on bad days, by the emulator's ledger.

Small here; `make figures` plays the full sizes (`FIGURES=full`), and writes what it found to `build/figures.jsonl`.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.emulator import SystemClock
from airflow_provider_runflow.emulator.transport import emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.outcomes import Outcome
from tests.harness import HAS_TASK_STATE_STORE
from tests.harness import Outcome as Ended
from tests.unit.operators.conftest import World

FULL = os.environ.get("FIGURES") == "full"
FIGURES = Path(__file__).resolve().parents[3] / "build" / "figures.jsonl"
PRICE = Decimal("0.009")


def size(small: int, full: int) -> int:
    return full if FULL else small


def figure(name: str, world: World, **values: Any) -> None:
    """Keep a figure of the full size."""
    if FULL:
        FIGURES.parent.mkdir(exist_ok=True)
        with FIGURES.open("a") as file:
            file.write(json.dumps({"figure": name, "deferrable": world.deferrable, **values}, default=str) + "\n")


def campaign(count: int) -> list[dict[str, Any]]:
    """Every 20th item is of something that content moderation refuses."""
    return [
        {"key": f"k{n}", "prompt": f"a {'gun' if n % 20 == 7 else 'mug'} of series {n}, seen from above"}
        for n in range(count)
    ]


def to_its_end(world: World, operator: Any) -> Ended:
    """Every try that Airflow gives it."""
    ended = world.run(operator)
    while ended.state == "up_for_retry":
        world.clock.advance(300)
        ended = world.retry(ended)
    return ended


def ledger_cost(world: World) -> Decimal:
    return Decimal(world.emulator.ledger(world.clock.now())["totals"]["cost_usd"])


def test_a_campaign_over_its_cap_submits_nothing_that_it_may_not(world: World) -> None:
    count = size(40, 1000)
    cap = PRICE * (count // 2) + PRICE / 2
    ended = to_its_end(world, world.batch(campaign(count)[:count], max_cost_usd=str(cap), retries=3))
    spent = ledger_cost(world)
    assert ended.state == "failed"
    assert spent <= cap
    # What was refused for its content gave its money back, so as many are bought as the cap allows.
    assert len(world.billed) == world.result(ended)["succeeded"] == len(world.files("*.png"))
    assert spent > cap - PRICE * 17  # what may have been in flight when the cap was reached
    figure("over its cap", world, items=count, cap_usd=cap, billed_usd=spent, submissions=world.posts)


def test_a_balance_of_nothing_buys_nothing(world: World) -> None:
    world.emulator.configure(balance=Decimal(0))
    count = size(40, 1000)
    for check_balance, most in ((True, 0), (False, 16)):
        task_id = f"check_{check_balance}".lower()
        operator = world.batch(campaign(count), check_balance=check_balance, retries=3, task_id=task_id)
        before = world.posts
        assert to_its_end(world, operator).state == "failed"
        assert world.posts - before <= most
        figure("balance 0", world, items=count, check_balance=check_balance, refused=world.posts - before)
    assert world.billed == []


def test_on_a_bad_day_everything_lands_that_can_and_nothing_is_paid_twice(world: World) -> None:
    count = size(60, 1000)
    blocked = [item["key"] for item in campaign(count) if "gun" in item["prompt"]]
    bad_day(world)
    ended = to_its_end(world, world.batch(campaign(count), on_blocked="skip", retries=3))
    assert ended.state == "success", ended.error
    rows = {row.key: row for row in read_manifest(world.result(ended)["manifest_uri"])}
    outcomes = Counter(row.outcome for row in rows.values())
    assert outcomes == {Outcome.SUCCEEDED: count - len(blocked), Outcome.BLOCKED: len(blocked)}
    assert all(rows[key].outcome is Outcome.BLOCKED for key in blocked)
    submitted = Counter(run.input["prompt"] for run in world.emulator.runs)
    assert max(submitted.values()) == 1
    assert len(world.billed) == len(world.files("*.png")) == count - len(blocked)
    figure("bad day", world, items=count, outcomes={o.value: n for o, n in outcomes.items()}, posts=world.posts)


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="without a journal what an earlier try landed counts as reused")
def test_the_manifests_cost_is_the_ledgers_to_the_cent_over_many_tries(world: World) -> None:
    # Ten campaigns of a thousand at full size; the emulator forgets one before the next.
    count, total, most_tries, began = size(50, 1000), Decimal(0), 0, time.monotonic()
    for number in range(size(1, 10)):
        world.emulator.reset()
        world.emulator.add_fault(route="create", outcome="failed", probability=0.1, times=count // 4)
        world.emulator.add_fault(route="create", effect="drop_after", probability=0.02)
        world.emulator.add_fault(route="create", effect="status", status=503, probability=0.02)
        world.emulator.add_fault(route="output", effect="status", status=500, probability=0.02)
        items = [{"key": f"k{n}", "prompt": f"mug {n}", "num_images": 1 + n % 3} for n in range(count)]
        ended = to_its_end(world, world.batch(items, task_id=f"campaign{number}", retries=8, timeout=86_400))
        assert ended.state == "success", ended.error
        result, spent = world.result(ended), ledger_cost(world)
        manifest = sum((row.cost_usd or Decimal(0) for row in read_manifest(result["manifest_uri"])), Decimal(0))
        usage = world.airflow.xcom(ended.attempt.task, "usage")
        assert manifest == Decimal(result["cost_usd"]) == Decimal(usage["cost_usd"]) == spent
        assert len(world.billed) == count
        total, most_tries = total + spent, max(most_tries, ended.attempt.try_number)
    seconds = round(time.monotonic() - began, 1)
    figure("ledger", world, runs=count * size(1, 10), billed_usd=total, most_tries=most_tries, seconds=seconds)


@pytest.mark.skipif(not FULL, reason="a figure of wall time, for make figures alone")
def test_a_bad_day_takes_a_tenth_longer_than_a_good_one_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if world.deferrable:
        pytest.skip("in real time the harness gives a trigger thirty seconds")
    # In real time: submissions are answered after 0.3 s, five a second of them.
    took = {}
    for day in ("good", "bad"):
        world.emulator.clear_faults()
        world.emulator.add_fault(route="create", effect="latency", seconds=0.3)
        if day == "bad":
            bad_day(world)
        clock = SystemClock()
        monkeypatch.setattr(RunflowHook, "clock", clock)
        monkeypatch.setattr(RunflowHook, "transport", emulator_transport(world.emulator, clock))
        world.emulator.configure(balance=Decimal(1000))
        world.clock = clock  # type: ignore[assignment]
        began = time.monotonic()
        facts = {"task_id": day, "quality": "high", "requests_per_minute": 300}
        ended = world.run(world.batch(campaign(1000), on_blocked="skip", retries=3, **facts))
        took[day] = time.monotonic() - began
        assert ended.state == "success", ended.error
    figure("wall of a bad day", world, **{day: round(each, 1) for day, each in took.items()})
    assert took["bad"] <= 1.1 * took["good"]


def bad_day(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="gun", outcome="blocked")
    world.emulator.add_fault(route="create", effect="status", status=503, probability=0.03)
    world.emulator.add_fault(route="create", effect="status", status=429, headers=True, probability=0.10, seconds=1)
