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
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.harness import Airflow, Outcome, in_dag

KEY = "rf_live_unit_test_key"
Kind = TypeVar("Kind", bound=RunflowRunOperator)


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
        """Names below the destination, without sidecars."""
        return sorted(p.name for p in self.destination.rglob(pattern) if p.is_file() and p.suffix != ".json")

    def sidecars(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_text()) for p in sorted(self.destination.rglob("*.json"))]


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
