# SPDX-License-Identifier: Apache-2.0
"""What one trial is about, decided from its seed before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

RUN_IDS = (
    "manual__2026-11-22T10:00:00+00:00_Ab3dE",
    "scheduled__2026-11-22T10:00:00+00:00",
    "backfill__2026-11-22T10:00:00+00:00",
    "asset_triggered__2026-11-22T10:00:00.123456+00:00_x",
    "Frühjahr 2026 / 'sale' #1?",
    "r" * 250,
)
TASK_IDS = ("hero", "shots.banner.hero", "t" * 250)
TROUBLE = (
    {"effect": "drop_before"},
    {"effect": "drop_after"},
    {"effect": "status", "status": 503},
    {"effect": "status", "status": 502, "took_effect": True},
    {"effect": "status", "status": 429, "headers": True, "seconds": 7},
    {"effect": "status", "status": 429},
    {"effect": "status", "status": 500},
    {"effect": "latency", "seconds": 90},
    {"effect": "malformed"},
    {"effect": "html", "status": 200},
)
OUTPUT_TROUBLE = (
    {"effect": "status", "status": 503},
    {"effect": "drop_after"},
    {"effect": "truncate"},
    {"effect": "truncate", "chunked": True},
    {"effect": "expired"},
    {"effect": "slow", "bytes_per_second": 200},
)


@dataclass(frozen=True)
class Fences:
    """
    What is left to tell whether a request was bought.

    :param journal: Airflow 3.3's task state store is there.
    :param forgets: it drops what a successful task has on record.
    :param key: the server honours ``Idempotency-Key``.
    :param key_hours: for how long.
    :param lists: the key may list runs.
    :param lag: seconds that the list lags behind.
    """

    journal: bool = True
    forgets: bool = False
    key: bool = True
    key_hours: float = 24.0
    lists: bool = True
    lag: float = 0.0


@dataclass(frozen=True)
class Plan:
    """
    One trial.

    :param fences_name: the class that it belongs to.
    :param finale: what people do once the pictures are there.
    :param batch: how many items one batch task has; 0: single tasks.
    :param churn: items come and go between its tries.
    :param rules: the emulator's faults.
    :param outages: when nothing can be reached, in seconds from the start.
    :param store_faults: how often a write or read of the task state store fails.
    :param strike: chance that something strikes a stretch of work.
    :param jump_hours: how long people wait before they clear a task.
    """

    seed: int
    fences_name: str
    fences: Fences
    reuse_within: str = "dag_run"
    run_id: str = RUN_IDS[0]
    task_id: str = TASK_IDS[0]
    mapped: int = 0
    batch: int = 0
    churn: bool = False
    keyed: bool = False
    num_images: int = 1
    deferrable: bool = False
    sidecars: bool = True
    literal: bool = True
    drift: bool = False
    metadata_drift: bool = False
    retries: int = 2
    edit_retries: bool = False
    finale: tuple[str, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    store_faults: float = 0.0
    strike: float = 0.4
    jump_hours: float = 0.1

    def __str__(self) -> str:
        plain = asdict(Plan(0, "", Fences()))
        told = {name: value for name, value in asdict(self).items() if value != plain[name]}
        return ", ".join(f"{name}={value!r}" for name, value in told.items())


#: Name, weight, and how to make one.
CLASSES: tuple[tuple[str, int, Callable[[Random], Fences]], ...] = (
    ("all", 30, lambda dice: Fences(lag=dice.choice((0, 0, 3, 45)))),
    ("the list is refused", 12, lambda dice: Fences(lists=False)),
    ("the key is ignored", 12, lambda dice: Fences(key=False, lag=dice.choice((0, 0, 4)))),
    ("the journal forgets", 8, lambda dice: Fences(forgets=True, lag=dice.choice((0, 3)))),
    ("the list is days behind", 6, lambda dice: Fences(lag=3 * 86400)),
    ("no journal", 12, lambda dice: Fences(journal=False, lag=dice.choice((0, 3)))),
    ("no journal, the list lags", 6, lambda dice: Fences(journal=False, lag=dice.choice((45, 400)))),
    ("no journal, the key is ignored", 6, lambda dice: Fences(journal=False, key=False, lag=dice.choice((0, 3)))),
    ("no journal, the list is refused", 4, lambda dice: Fences(journal=False, lists=False)),
    ("no fence", 4, lambda dice: Fences(lists=False, key_hours=2, journal=dice.random() < 0.5)),
)
#: How many of the trials are of one batch task, and of how many items.
BATCHES = 0.04
BATCH_SIZES = (*(1, 2, 3, 5, 8, 12, 20) * 5, 50, 50, 200)
#: Its requests can be told from none: it must stop, never pay.
NO_FENCE = "no fence"


def make_plan(seed: int) -> Plan:
    """Decide everything about a trial."""
    dice = Random(f"plan:{seed}")
    name, _, fences_of = dice.choices(CLASSES, weights=[weight for _, weight, _ in CLASSES])[0]
    fences = fences_of(dice)
    mapped = dice.choice((0,) * 8 + (2, 3))
    plan = Plan(
        seed,
        name,
        fences,
        reuse_within=dice.choice(("dag_run", "dag_run", "retries", "destination")),
        run_id=dice.choice(RUN_IDS),
        task_id=dice.choice(TASK_IDS[:2] if dice.random() < 0.9 else TASK_IDS),
        mapped=mapped,
        keyed=dice.random() < 0.5,
        num_images=dice.choice((1, 1, 1, 2)),
        deferrable=dice.random() < 0.6,
        sidecars=dice.random() < 0.9,
        literal=dice.random() < 0.5,
        drift=dice.random() < 0.15,
        metadata_drift=dice.random() < 0.15,
        retries=dice.choice((0, 1, 2, 2, 5)),
        edit_retries=dice.random() < 0.15,
        finale=_finale(dice, mapped),
        rules=tuple(_rules(dice)),
        outages=tuple(_outages(dice)),
        store_faults=dice.choice((0, 0, 0, 0.1, 0.3)),
        strike=dice.choice((0.0, 0.3, 0.6, 0.9)),
        jump_hours=dice.choice((0.1, 0.1, 0.1, 5, 40)),
    )
    if dice.random() < BATCHES:
        size = dice.choice(BATCH_SIZES)
        plan = replace(plan, batch=size, churn=dice.random() < 0.4, mapped=0, keyed=True, finale=_finale(dice, size))
    return _sensible(plan)


def _finale(dice: Random, mapped: int) -> tuple[str, ...]:
    steps = ["clear", "edit", "edit", "again", "vary", *(["shift"] if mapped else [])]
    return tuple(dice.choices(steps, k=dice.choice((0, 0, 0, 0, 1, 1, 2))))


def _rules(dice: Random) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for route, menu, chance in (
        ("create", TROUBLE, 0.6),
        ("get", TROUBLE, 0.25),
        ("list", TROUBLE, 0.25),
        ("output", OUTPUT_TROUBLE, 0.25),
    ):
        if dice.random() < chance:
            rule = {"route": route, "times": dice.choice((1, 1, 2, 4)), "after": dice.choice((0, 0, 0, 1))}
            rules.append({**rule, **dice.choice(menu)})
    if dice.random() < 0.15:
        rules.append({"outcome": "failed", "times": dice.choice((1, 2))})
    if dice.random() < 0.04:
        rules.append({"outcome": dice.choice(("blocked", "partial")), "images": 1})
    if dice.random() < 0.06:
        rules.append({"outcome": "succeeded", "seconds": dice.choice((0.2, 1200, 3500))})
    return rules


def _outages(dice: Random) -> list[tuple[float, float]]:
    if dice.random() > 0.15:
        return []
    start = dice.uniform(0, 40)
    return [(start, start + dice.choice((20.0, 200.0, 2000.0)))]


def _sensible(plan: Plan) -> Plan:
    """Leave out what no client could get right, each with its reason."""
    fences, changes = plan.fences, {}
    if plan.fences_name == NO_FENCE:
        # Days pass before each next attempt: whatever key was used is void.
        changes |= {"jump_hours": 40.0, "reuse_within": "dag_run", "drift": False, "literal": True}
    if (
        plan.literal
        or fences.forgets
        or (not fences.journal and (plan.reuse_within == "destination" or fences.lag > 9))
    ):
        # Without a journal only a list that does not lag knows a drifting template's first request; and in a scope that
        # spans DAG runs, that of another one is an order of its own.
        changes["drift"] = False
    elif plan.drift:
        # After a clear another request is another picture: only retries are of interest.
        spans = plan.reuse_within == "destination"
        changes |= {"retries": 30, "finale": () if spans else tuple(step for step in plan.finale if step == "again")}
    if plan.reuse_within == "retries" and (not fences.journal or fences.forgets):
        # Nothing tells a clear of a failed task from an order for a new picture: let it retry on.
        changes["retries"] = 30
    if plan.batch and plan.reuse_within == "retries":
        # Which items a clear buys anew is then a matter of each item's own go.
        changes |= {"retries": 30, "finale": tuple(step for step in plan.finale if step == "again")}
    if plan.drift or not fences.journal or not fences.lists or fences.lag > 9:
        # An item that left the list is not submitted again: if its first submission got no answer, a list alone tells.
        changes["churn"] = False
    if plan.mapped and fences.lag > 60 and "shift" in plan.finale:
        # Which request had which index before is told by the list alone; one that never shows it is no help.
        changes["keyed"] = True
    if fences.lag > 600:
        # Then the list is no fence; the key is trusted for an hour.
        changes["jump_hours"] = 0.1
    return replace(plan, **changes)
