# SPDX-License-Identifier: Apache-2.0
"""
What each release wrote, kept from 0.1.0 on: journal, trigger, deferral, sidecar, manifest.

A release adds its own, once, and changes none: `KEEP_RELEASE=1 python -m pytest tests/unit/upgrade`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

import airflow_provider_runflow
from tests.harness import Outcome, _decode
from tests.unit.operators.conftest import World, named

KEPT = Path(__file__).parent / "released"
RELEASES = sorted(path.stem for path in KEPT.glob("*.json"))
# The same for every release, since journals name it: a file system in memory, each process's own.
DESTINATION = "memory://kept/upgrade"
ITEMS = [named("kettle"), named("cup"), {**named("spoon"), "labels": {"locale": "de"}}]


@dataclass(frozen=True)
class Left:
    """
    What one kind of task left behind.

    :param deferred: task state store, trigger and arguments, while its runs were under way; and those runs.
    :param landed: task state store and files, when it had landed.
    """

    deferred: dict[str, Any]
    landed: dict[str, Any]

    @classmethod
    def by(cls, release: str, kind: str) -> Left:
        """Read what a release left."""
        return cls(**json.loads((KEPT / f"{release}.json").read_text())[kind])

    def put_files_back(self) -> None:
        """As they lay at the destination."""
        for name, content in self.landed["files"].items():
            disk().pipe_file(f"{DESTINATION}/{name}", base64.b64decode(content))

    def documents(self) -> dict[str, str]:
        """The texts among the files, by name; JSON in a line each."""
        files = self.landed["files"].items()
        texts = {name: base64.b64decode(data).decode() for name, data in files if name.endswith((".json", ".jsonl"))}
        return {name: json.dumps(json.loads(text)) if name.endswith(".json") else text for name, text in texts.items()}


def disk() -> Any:
    """The file system that pictures land in."""
    return fsspec.filesystem("memory")


def pictures() -> list[str]:
    """What lies there."""
    return sorted(path for path in disk().find(DESTINATION) if path.endswith(".png"))


def operator(world: World, kind: str) -> Any:
    """The task that left it."""
    return world.operator(destination=DESTINATION) if kind == "single" else world.batch(ITEMS, destination=DESTINATION)


def keep(world: World) -> Path:
    """Write down what this release leaves."""
    kinds: dict[str, Any] = {}
    for kind in ("single", "batch"):
        world.emulator.reset()
        world.airflow.states.clear()
        first = world.airflow.run(operator(world, kind))
        kinds[kind] = {"deferred": _deferred(world, first)}
        world.airflow.settle(first)
        kinds[kind]["landed"] = {"state": _state(world), "files": _files()}
    text = json.dumps(kinds, indent=1, sort_keys=True)
    path = KEPT / f"{airflow_provider_runflow.__version__}.json"
    KEPT.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    return path


def _deferred(world: World, outcome: Outcome) -> dict[str, Any]:
    path, arguments = outcome.trigger.serialize()
    names = ("id", "input", "client_ref", "metadata")
    runs = [{**{name: getattr(run, name) for name in names}, "model": run.model.slug} for run in world.emulator.runs]
    return {
        "state": _state(world),
        "trigger": {"path": path, "arguments": arguments},
        "resumed_with": _decode(outcome.message, "next_kwargs"),
        "runs": runs,
    }


def _state(world: World) -> dict[str, Any]:
    (state,) = world.airflow.states.values()
    return dict(state)


def _files() -> dict[str, str]:
    names = disk().find(DESTINATION)
    kept = {name.rpartition("/")[2]: base64.b64encode(disk().cat_file(name)).decode() for name in names}
    disk().rm(DESTINATION, recursive=True)
    return kept
