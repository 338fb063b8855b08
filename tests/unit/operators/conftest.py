# SPDX-License-Identifier: Apache-2.0
"""A task's whole world in one process: real operators, the SDK's task runner, the emulator, and virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.operators.common import RunflowBaseOperator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator
from tests.harness import Airflow, Outcome, in_dag

KEY = "rf_live_unit_test_key"
Kind = TypeVar("Kind", bound=RunflowBaseOperator)


@dataclass
class World:
    """What one test sees."""

    destination: Path
    deferrable: bool
    airflow: Airflow
    clock: VirtualClock = field(default_factory=VirtualClock)
    emulator: Emulator = field(default_factory=lambda: Emulator(picture_size=(64, 64)))

    def operator(self, **changes: Any) -> GptImage2Operator:
        """A hero image; each parameter can be changed."""
        return self.operator_of(GptImage2Operator, **{"prompt": "a cat", "quality": "low", **changes})

    def batch(self, requests: Any, **changes: Any) -> GptImage2BatchOperator:
        """A campaign: a list of items, or keys of items that ask for a picture each; each parameter can be changed."""
        if isinstance(requests, (list, tuple)):
            requests = [named(each) if isinstance(each, str) else each for each in requests]
        return self.operator_of(GptImage2BatchOperator, **{"requests": requests, "quality": "low", **changes})

    def operator_of(self, kind: type[Kind], /, **facts: Any) -> Kind:
        """A task of any operator, that lands in this world, in its mode; `native`: what a template gives has a type."""
        dag_id, native = facts.pop("dag_id", "campaign"), facts.pop("native", False)
        ours = {"task_id": "hero", "destination": str(self.destination), "deferrable": self.deferrable}
        with in_dag(dag_id, render_template_as_native_obj=native):
            return kind(**{**ours, **facts})

    def run(self, operator: Any, **facts: Any) -> Outcome:
        """One try, to its end."""
        return self.airflow.finish(operator, **facts)

    def retry(self, outcome: Outcome) -> Outcome:
        return self.airflow.settle(self.airflow.retry(outcome))

    def clear(self, outcome: Outcome) -> Outcome:
        return self.airflow.settle(self.airflow.clear(outcome))

    def again(self, outcome: Outcome, task: Any) -> Outcome:
        """The next try, with what the DAG file says now."""
        attempt = outcome.attempt
        return self.run(task, try_number=attempt.try_number + 1, max_tries=attempt.max_tries, run_id=attempt.run_id)

    def result(self, outcome: Outcome) -> dict[str, Any]:
        attempt = outcome.attempt
        value: dict[str, Any] = self.airflow.xcom(attempt.task, run_id=attempt.run_id, map_index=attempt.map_index)
        return value

    @property
    def billed(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = list(self.emulator.ledger(self.clock.now())["billed"])
        return rows

    @property
    def posts(self) -> int:
        return int(self.emulator.ledger(self.clock.now())["requests"]["POST create"])

    def files(self, pattern: str = "*") -> list[str]:
        """Names below the destination, without sidecars and manifests."""
        found = (p for p in self.destination.rglob(pattern) if p.is_file())
        return sorted(p.name for p in found if p.suffix not in (".json", ".jsonl"))

    def sidecars(self) -> list[dict[str, Any]]:
        found = sorted(self.destination.rglob("*.json"))
        return [json.loads(p.read_text()) for p in found if not p.name.startswith("manifest")]

    def rows(self, name: str = "manifest.jsonl") -> dict[str, dict[str, Any]]:
        """What the manifest says of each item, by key."""
        lines = (self.destination / name).read_text().splitlines()
        return {row["key"]: row for row in map(json.loads, lines)}

    def summary(self, name: str = "manifest.json") -> dict[str, Any]:
        """The totals beside it."""
        told: dict[str, Any] = json.loads((self.destination / name).read_text())
        return told


def named(key: str) -> dict[str, Any]:
    """An item that asks for a picture of its key."""
    return {"key": key, "prompt": f"a picture of {key}"}


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def world(deferrable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow: Airflow) -> Iterator[World]:
    made = World(tmp_path / "out", deferrable, airflow)
    monkeypatch.setattr(RunflowHook, "clock", made.clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(made.emulator, made.clock))
    connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    return made
