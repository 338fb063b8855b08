# SPDX-License-Identifier: Apache-2.0
"""Sync and deferrable mode give the same result and the same objects, in every row of the resolution table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.emulator import VirtualClock, emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.harness import HAS_TASK_STATE_STORE, Airflow
from tests.unit.operators.conftest import World

pytestmark = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")

Row = Callable[[World], None]
ROWS: dict[str, tuple[Row, Row]] = {}


def row(name: str) -> Callable[[type], type]:
    """Register one row: ``before`` makes the situation with a first try, ``between`` is what happens then."""

    def add(case: type) -> type:
        ROWS[name] = (case.before, case.between)  # type: ignore[attr-defined]
        return case

    return add


def nothing(world: World) -> None:
    """Leave everything as it is."""


def forget_after_intent(world: World) -> None:
    """Put the journal back to where it was right before the answer came."""
    for records in world.airflow.states.values():
        records.pop("runflow.run", None)


def forget_everything(world: World) -> None:
    world.airflow.states.clear()


def remove_pictures(world: World) -> None:
    for path in world.destination.rglob("*"):
        if path.is_file():
            path.unlink()


@row("landed and the objects are there: no call")
class Landed:
    before = between = nothing


@row("landed and the journal is gone, but the sidecar says so: no call")
class Sidecar:
    before, between = nothing, forget_everything


@row("landed but the objects are gone: landed again")
class Gone:
    before, between = nothing, remove_pictures


@row("run id, still running: waited for")
class Running:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.configure(queue_seconds=90)

    between = nothing


@row("run id, succeeded meanwhile: landed")
class Succeeded:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.configure(queue_seconds=90)

    @staticmethod
    def between(world: World) -> None:
        world.clock.advance(3600)


@row("run id, partly succeeded: landed, and the task fails")
class Partial:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=1)

    between = nothing


@row("run id, failed: the next ordinal is submitted")
class Failed:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", outcome="failed", times=1)

    between = nothing


@row("run id, blocked: stopped")
class Blocked:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", outcome="blocked")

    between = nothing


@row("run id, cancelled: stopped")
class Cancelled:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", outcome="cancelled")

    between = nothing


@row("run id, 404: unknown")
class Missing:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.configure(queue_seconds=90)

    @staticmethod
    def between(world: World) -> None:
        world.emulator.add_fault(route="get", effect="status", status=404)


@row("intent, the look-up finds it: attached")
class IntentFound:
    before, between = nothing, forget_after_intent


@row("intent, the look-up is empty: submitted under the same key")
class IntentEmpty:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", effect="drop_before", times=5)

    @staticmethod
    def between(world: World) -> None:
        forget_after_intent(world)


@row("intent, young, the look-up is refused: submitted under the same key")
class YoungRefused:
    before = nothing

    @staticmethod
    def between(world: World) -> None:
        forget_after_intent(world)
        remove_pictures(world)
        world.emulator.add_fault(route="list", effect="status", status=403)


@row("intent, old, the look-up is refused: unknown")
class OldRefused:
    before = nothing

    @staticmethod
    def between(world: World) -> None:
        forget_after_intent(world)
        remove_pictures(world)
        world.clock.advance(2 * 3600)
        world.emulator.add_fault(route="list", effect="status", status=403)


@row("nothing, the look-up is refused: submitted")
class NothingRefused:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="list", effect="status", status=403)

    between = nothing


@row("rejected: the next ordinal once it is mended")
class Rejected:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=402, times=1)

    between = nothing


def play(name: str, deferrable: bool, root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two tries of one task, and all that came of them, without what only names the mode."""
    before, between = ROWS[name]
    world = World(root, deferrable, Airflow(), clock=VirtualClock())
    monkeypatch.setattr(RunflowHook, "clock", world.clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(world.emulator, world.clock))
    before(world)
    operator = world.operator(destination=str(root), num_images=2, timeout=60, retries=4)
    first = world.run(operator)
    between(world)
    posts = world.posts
    second = world.clear(first) if first.state in ("success", "failed") else world.retry(first)
    result = world.result(second)
    world.clock.advance(3600)  # what still runs is billed when it ends
    return {
        "states": (first.state, second.state),
        "errors": [str(each.error).replace(str(root), "ROOT") if each.error else None for each in (first, second)],
        "result": json.loads(json.dumps(result).replace(str(root), "ROOT")) if result else None,
        "files": {path.name: path.read_bytes() for path in sorted(root.rglob("*.png"))},
        "posts": (posts, world.posts),
        "billed": len(world.billed),
    }


@row("void: the same key once the credentials are right")
class Void:
    @staticmethod
    def before(world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=401, times=1)

    between = nothing


@row("forgotten on success, the look-up is refused: unknown")
class Forgotten:
    before = nothing

    @staticmethod
    def between(world: World) -> None:
        forget_everything(world)
        remove_pictures(world)
        world.emulator.add_fault(route="list", effect="status", status=403)


EXPECTED = {
    "landed and the objects are there: no call": (("success", "success"), 1, 1),
    "landed and the journal is gone, but the sidecar says so: no call": (("success", "success"), 1, 1),
    "landed but the objects are gone: landed again": (("success", "success"), 1, 1),
    "run id, still running: waited for": (("up_for_retry", "success"), 1, 1),
    "run id, succeeded meanwhile: landed": (("up_for_retry", "success"), 1, 1),
    "run id, partly succeeded: landed, and the task fails": (("failed", "failed"), 1, 1),
    "run id, failed: the next ordinal is submitted": (("up_for_retry", "success"), 2, 1),
    "run id, blocked: stopped": (("failed", "failed"), 1, 0),
    "run id, cancelled: stopped": (("failed", "failed"), 1, 1),
    "run id, 404: unknown": (("up_for_retry", "failed"), 1, 1),
    "intent, the look-up finds it: attached": (("success", "success"), 1, 1),
    "intent, the look-up is empty: submitted under the same key": (("up_for_retry", "success"), 6, 1),
    "intent, young, the look-up is refused: submitted under the same key": (("success", "success"), 2, 1),
    "intent, old, the look-up is refused: unknown": (("success", "failed"), 1, 1),
    "nothing, the look-up is refused: submitted": (("success", "success"), 1, 1),
    "rejected: the next ordinal once it is mended": (("failed", "success"), 2, 1),
    "void: the same key once the credentials are right": (("failed", "success"), 2, 1),
    "forgotten on success, the look-up is refused: unknown": (("success", "failed"), 1, 1),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_both_modes_end_alike(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_live_unit"}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    sync, deferrable = (play(name, mode, tmp_path / str(mode), monkeypatch) for mode in (False, True))
    for each in (sync, deferrable):
        # Polls happen at other moments in the two modes; what they come to must be the same.
        each["errors"] = [_without_moments(text) for text in each["errors"]]
    if _run_id(sync) != _run_id(deferrable):
        # A run's id tells when it was made, and its pictures show the id: everything else must be the same.
        sync, deferrable = _without_identity(sync), _without_identity(deferrable)
    assert sync == deferrable
    states, posts, billed = EXPECTED[name]
    assert (sync["states"], sync["posts"][1], sync["billed"]) == (states, posts, billed)


def _run_id(played: dict[str, Any]) -> Any:
    return (played["result"] or {}).get("run_id")


def _without_identity(played: dict[str, Any]) -> dict[str, Any]:
    images = [{**image, "sha256": "", "size_bytes": 0} for image in played["result"]["images"]]
    return {**played, "result": {**played["result"], "run_id": "", "images": images}, "files": list(played["files"])}


def _without_moments(text: str | None) -> str | None:
    if text is None:
        return None
    import re

    text = re.sub(r" at the deadline \([^)]*\)| when the wait ended", " in the end", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.+]+", "MOMENT", text)
