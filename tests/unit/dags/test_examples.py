# SPDX-License-Identifier: Apache-2.0
"""The example DAGs: they parse anywhere, and are right however they are started."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk import DAG
from PIL import Image

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.harness import MOMENT, Airflow

DAGS = Path(__file__).parents[3] / "dags"
EXAMPLES = sorted(path.stem for path in DAGS.glob("*.py"))


def load(name: str) -> ModuleType:
    """Import a DAG file as the DAG processor does: by path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", DAGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_dag(name: str) -> DAG:
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    DagContext.autoregistered_dags.clear()
    DagContext.current_autoregister_module_name = f"example_{name}"
    try:
        load(name)
    finally:
        DagContext.current_autoregister_module_name = None
    ((dag, _),) = DagContext.autoregistered_dags
    return dag


@pytest.mark.parametrize("name", EXAMPLES)
class TestEveryExample:
    def test_it_parses_without_network_key_connection_or_configuration(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("parsing a DAG file opened a socket")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", raising=False)
        assert load_dag(name).dag_id == name

    def test_it_is_scheduled_explained_and_retried(self, name: str) -> None:
        dag = load_dag(name)
        buying = [task for task in dag.tasks if "destination" in task.template_fields]
        assert dag.schedule is not None
        assert dag.doc_md
        assert buying or name == "publish_on_asset"
        assert {task.retries for task in dag.tasks if task.task_id != "report"} == {2}

    def test_no_destination_depends_on_a_logical_date_which_manual_and_asset_runs_lack(self, name: str) -> None:
        text = (DAGS / f"{name}.py").read_text(encoding="utf-8")
        assert "{{ ds }}" not in text
        assert "dag_run.run_after | ds" in text or "destination=" not in text


@pytest.fixture
def runflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    emulator, clock = Emulator(picture_size=(32, 32)), VirtualClock()
    monkeypatch.setattr(RunflowHook, "clock", clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(emulator, clock))
    connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_live_unit"}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("RUNFLOW_EXAMPLE_DESTINATION", str(tmp_path))
    monkeypatch.setenv("RUNFLOW_EXAMPLE_QUALITY", "low")
    return emulator


@pytest.mark.parametrize(
    "started",
    [
        {"run_type": "scheduled", "logical_date": MOMENT},
        {"run_type": "manual", "logical_date": None},
        {"run_type": "asset_triggered", "logical_date": None},
    ],
    ids=lambda started: str(started["run_type"]),
)
def test_the_hero_lands_under_the_day_it_ran_however_it_was_started(
    runflow: Emulator, airflow: Airflow, tmp_path: Path, started: dict[str, Any]
) -> None:
    task = load_dag("weekly_hero_image").get_task("hero")
    outcome = airflow.finish(task, **started)
    assert outcome.state == "success"
    landed = list((tmp_path / "heroes" / "2026-03-02").glob("*.png"))
    assert len(landed) == 1


def test_a_brief_is_made_by_one_task_and_reported_item_by_item(
    runflow: Emulator, airflow: Airflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runflow.add_fault(route="create", prompt_contains="Scharf wie nie", outcome="blocked")
    dag = load_dag("product_variants")
    made = airflow.finish(dag.get_task("variants"))
    assert made.state == "success", made.error
    assert len(runflow.runs) == 8
    pictures = sorted(path.relative_to(tmp_path / "products" / "2026-03-02") for path in tmp_path.rglob("*.webp"))
    assert len(pictures) == 7
    assert str(pictures[-1]).startswith("knife/en-GB-")
    report = dag.get_task("report")
    outcome = airflow.finish(report)
    assert outcome.state == "success", outcome.error
    assert airflow.xcom(report) == {"wanted": 8, "made": 7}
    assert "knife_de-DE: MISSING, blocked: " in capsys.readouterr().out


def test_a_run_is_submitted_sensed_and_landed_by_three_tasks(
    runflow: Emulator, airflow: Airflow, tmp_path: Path
) -> None:
    dag = load_dag("submit_and_sense")
    for name in ("submit", "wait", "land"):
        outcome = airflow.finish(dag.get_task(name))
        assert outcome.state == "success", outcome.error
    (picture,) = tmp_path.rglob("*.png")
    assert picture.read_bytes() == runflow.picture(runflow.runs[0].id)
    assert picture.parent.name == "2026-03-02"


def test_a_photograph_is_edited_and_one_that_is_missing_is_skipped(
    runflow: Emulator, airflow: Airflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    Image.new("RGB", (32, 32)).save(folder / "cup.png")
    monkeypatch.setenv("RUNFLOW_EXAMPLE_SHOTS", f"file://{folder}")
    monkeypatch.setenv("AIRFLOW__RUNFLOW__ALLOWED_LOCAL_PATHS", str(folder))
    dag = load_dag("edit_product_shots")
    ends = {name: airflow.finish(_unmapped(dag, "shot", {"product": name})) for name in ("kettle", "cup")}
    assert {name: end.state for name, end in ends.items()} == {"kettle": "skipped", "cup": "success"}
    edit = dag.get_task("edit")
    assert edit.trigger_rule == "none_failed_min_one_success"
    outcome = airflow.finish(edit.unmap(airflow.xcom(ends["cup"].attempt.task)), map_index=0)
    assert outcome.state == "success", outcome.error
    assert runflow.runs[0].input["image_urls"][0].startswith("runflow://assets/")
    (picture,) = (tmp_path / "edited").rglob("*.png")
    assert picture.name.startswith("edit-cup-")


def _unmapped(dag: DAG, name: str, arguments: dict[str, Any]) -> Any:
    return dag.get_task(name).unmap({"op_kwargs": arguments})


def test_publishing_by_hand_publishes_nothing() -> None:
    assert load("publish_on_asset").publish.function() == []
