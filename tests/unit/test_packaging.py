# SPDX-License-Identifier: Apache-2.0
"""What is promised outside the code: the README's example, the import's weight, the locks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from airflow.sdk import DAG

import airflow_provider_runflow

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))

#: Slow to import, and of no use before a task has something to land.
HEAVY = ("boto3", "botocore", "fsspec", "PIL", "s3fs", "uvicorn", "airflow.providers.amazon")
PROBE = f"""
import json, sys
import airflow.sdk
before = set(sys.modules)
import airflow_provider_runflow.operators.flux
import airflow_provider_runflow.operators.gpt_image_1_5
import airflow_provider_runflow.operators.gpt_image_2
import airflow_provider_runflow.operators.runflow
import airflow_provider_runflow.decorators.runflow_image
added = set(sys.modules) - before
print(json.dumps([name for name in {HEAVY!r} if name in added]))
"""


def test_the_readmes_example_is_a_dag_with_its_task() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    code = compile(blocks[0].replace("catchup=False):", "catchup=False) as dag:"), "README.md", "exec")
    exec(code, names)
    dag = names["dag"]
    assert isinstance(dag, DAG)
    assert dag.task_ids == ["banner"]


def test_importing_an_operator_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_installed_version_is_the_packages_own() -> None:
    assert version("airflow-provider-runflow") == airflow_provider_runflow.__version__


def test_airflow_finds_the_provider_through_its_entry_point() -> None:
    found = entry_points(group="apache_airflow_provider")
    ours = next(point for point in found if point.value.startswith("airflow_provider_runflow"))
    assert ours.load()()["package-name"] == "airflow-provider-runflow"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index_and_has_a_hash_for_every_release(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("--") or " @ " in line]
    releases = [index for index, line in enumerate(lines) if "==" in line and not line.startswith((" ", "#"))]
    assert releases
    assert all(lines[index + 1].lstrip().startswith("--hash=sha256:") for index in releases)


@pytest.mark.parametrize("contract", ["emulator-alone", "no-emulator-in-production"])
def test_the_contracts_about_the_emulator_name_every_module(contract: str) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text().split(f'id = "{contract}"')[1].split("[[")[0]
    named = set(re.findall(r'"airflow_provider_runflow\.(\w+)"', text))
    there = {
        path.stem for path in (REPOSITORY / "airflow_provider_runflow").glob("[!_.]*") if path.suffix in ("", ".py")
    }
    # The pytest plugin is what brings the emulator; example_dags is only in wheels.
    assert named - {"testing"} == there - {"testing", "example_dags"}
    assert ("testing" in named) == (contract == "emulator-alone")


def test_the_source_distribution_has_what_its_tests_import() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text().split("[tool.hatch.build.targets.sdist]")[1].split("\n[")[0]
    shipped = set(re.findall(r'"([^"]+)"', text))
    here = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")}
    files = [path.read_text() for path in (REPOSITORY / "tests").rglob("*.py")]
    needed = {name for text in files for name in re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE)} & here
    assert {"tests", "scripts", "benchmarks", "airflow_provider_runflow"} <= needed <= shipped
