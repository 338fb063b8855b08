# SPDX-License-Identifier: Apache-2.0
"""Every task of the documentation's examples is run, against the emulator."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.harness import Airflow
from tests.unit.docs.pages import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "pictures.py"
BUYING = [
    "banner",
    "another_banner",
    "portrait",
    "on_marble",
    "cut_out",
    "scenes",
    "transparent",
    "flux",
    "ultra",
    "any_model",
    "within_budget",
]


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DAG:
    monkeypatch.setenv("RUNFLOW_EXAMPLE_DESTINATION", str(tmp_path))
    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = "docs_examples"
    spec = importlib.util.spec_from_file_location("docs_examples", EXAMPLES)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        DagContext.current_autoregister_module_name = None
    ((made, _),) = DagContext.autoregistered_dags
    return made


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    emulator, clock = Emulator(picture_size=(64, 64)), VirtualClock()
    monkeypatch.setattr(RunflowHook, "clock", clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(emulator, clock))
    connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_svc_docs"}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    return emulator


@pytest.mark.parametrize("task_id", BUYING)
def test_a_task_lands_what_it_buys(
    dag: DAG, emulator: Emulator, airflow: Airflow, tmp_path: Path, task_id: str
) -> None:
    outcome = airflow.finish(dag.get_task(task_id))
    assert outcome.state == "success", outcome.error
    assert len([path for path in tmp_path.rglob("*.json") if not path.name.startswith("manifest")]) == len(
        emulator.runs
    )


def test_what_a_task_made_is_taken_by_the_next(dag: DAG, emulator: Emulator, airflow: Airflow) -> None:
    airflow.finish(dag.get_task("banner"))
    publish = dag.get_task("publish")
    assert airflow.finish(publish).state == "success"
    (told,) = airflow.xcom(publish)
    assert told.endswith("(64x64)")


def test_every_task_is_tested(dag: DAG) -> None:
    assert {task.task_id for task in dag.tasks} == {*BUYING, "publish"}


def test_every_example_is_shown_on_a_page() -> None:
    source = EXAMPLES.read_text()
    shown = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    for line in source.splitlines():
        if "[START " in line:
            assert f'"{line.strip().removeprefix("# ")}"' in shown
