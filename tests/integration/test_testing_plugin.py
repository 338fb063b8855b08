# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin in the hands of a user: their own `conftest.py`, DAG file and test, in a pytest of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

DAG_FILE = """
from datetime import datetime
from airflow.sdk import DAG
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.transfers.runflow_to_object_storage import RunflowToObjectStorageOperator

with DAG("the_users_campaign", schedule=None, start_date=datetime(2026, 1, 5)) as dag:
    submit = GptImage2Operator(task_id="submit", prompt="a cat", quality="low", wait_for_completion=False)
    wait = RunCompletionSensor(task_id="wait", run_id=submit.output["run_id"], deferrable=DEFERRABLE)
    land = RunflowToObjectStorageOperator(
        task_id="land", runflow_run_id=submit.output["run_id"], destination="FOLDER"
    )
    wait >> land
"""
TEST_FILE = """
from decimal import Decimal
from pathlib import Path
from the_users_dag import dag

def test_the_campaign_buys_one_picture(runflow_emulator):
    runflow_emulator.configure(queue_seconds=3600)
    assert dag.test().state == "failed"  # an hour in the queue is more than the sensor waits for
    assert runflow_emulator.billed == []
    runflow_emulator.configure(queue_seconds=0)
    assert dag.test().state == "success"
    (picture,) = Path("FOLDER").glob("*.png")
    newest = runflow_emulator.runs[-1]
    assert picture.read_bytes() == runflow_emulator.emulator.picture(newest.id)
    assert [bill["run_id"] for bill in runflow_emulator.billed if bill["run_id"] == newest.id] == [newest.id]
    runflow_emulator.advance(3600)
    assert runflow_emulator.cost_usd == Decimal("0.018") == 2 * Decimal("0.009")

def test_another_test_has_a_ledger_of_its_own(runflow_emulator):
    assert runflow_emulator.runs == runflow_emulator.billed == []
    assert runflow_emulator.cost_usd == 0
    assert runflow_emulator.ledger["requests"]["POST create"] == 0
"""
CONFTEST = 'pytest_plugins = ["airflow_provider_runflow.testing"]\n'


@pytest.fixture
def users(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's project: the package is installed, and nothing of ours is in the way."""
    here = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(pytester.path)]))
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_users_dag_runs_against_the_emulator_without_sleeping(
    airflow_db: None, users: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    folder = users.path / "dags"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    pictures = str(users.path / "pictures")
    text = DAG_FILE.replace("DEFERRABLE", str(deferrable)).replace("FOLDER", pictures)
    (folder / "the_users_dag.py").write_text(text)
    users.makepyfile(test_campaign=TEST_FILE.replace("FOLDER", pictures))
    began = time.monotonic()
    result = users.runpytest_subprocess("-q", "-p", "no:cacheprovider", timeout=240)
    result.assert_outcomes(passed=2)
    # The sensor's half hour, the deferral's quiet seconds and the runs themselves pass in virtual time.
    assert time.monotonic() - began < 200


def test_without_the_extra_one_line_says_what_to_install(users: pytest.Pytester) -> None:
    users.makeconftest(f"import sys\nsys.modules['PIL'] = None\n{CONFTEST}")
    users.makepyfile("def test_something(runflow_emulator): ...")
    result = users.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["runflow_emulator draws with Pillow: pip install 'airflow-provider-runflow[[]emulator]'"]
    )
    said = result.stdout.str()
    assert "Traceback" not in said
    assert "During handling" not in said


def test_loading_the_plugin_loads_nothing_of_airflow(users: pytest.Pytester) -> None:
    users.makepyfile(
        "import sys\n"
        "def test_nothing(): assert not [n for n in sys.modules if n.split('.')[0] in ('airflow', 'PIL', 'uvicorn')]"
    )
    users.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_a_test_run_that_does_not_name_the_plugin_does_not_get_it(users: pytest.Pytester) -> None:
    users.makeconftest("")
    users.makepyfile("def test_something(runflow_emulator): ...")
    result = users.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'runflow_emulator' not found*"])
