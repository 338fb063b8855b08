# SPDX-License-Identifier: Apache-2.0
"""What we lean on of Airflow's undocumented server modules is there, in the Airflow that this runs with."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import airflow_provider_runflow
from tests.harness import HAS_TASK_STATE_STORE

PACKAGE = Path(airflow_provider_runflow.__file__).parent
USED = {
    "airflow.api_fastapi.app": ["get_auth_manager"],
    "airflow.api_fastapi.auth.managers.models.resource_details": ["DagAccessEntity", "DagDetails"],
    "airflow.api_fastapi.core_api.security": ["GetUserDep", "requires_access_dag"],
    "airflow.models.connection": ["Connection"],
    "airflow.models.dag": ["DagModel"],
    "airflow.models.dagrun": ["DagRun"],
    "airflow.models.taskinstance": ["TaskInstance"],
    "airflow.models.xcom": ["XComModel"],
    "airflow.utils.session": ["create_session"],
}
if HAS_TASK_STATE_STORE:
    USED["airflow.models.task_state_store"] = ["TaskStateStoreModel"]
COLUMNS = {
    "airflow.models.dagrun.DagRun": ["id", "dag_id", "run_id", "state", "run_after", "start_date", "end_date"],
    "airflow.models.taskinstance.TaskInstance": [
        "dag_id",
        "run_id",
        "task_id",
        "map_index",
        "state",
        "try_number",
        "operator",
        "rendered_map_index",
        "start_date",
        "end_date",
    ],
    "airflow.models.xcom.XComModel": [
        "dag_run_id",
        "dag_id",
        "run_id",
        "task_id",
        "map_index",
        "key",
        "value",
        "timestamp",
    ],
}

if HAS_TASK_STATE_STORE:
    COLUMNS["airflow.models.task_state_store.TaskStateStoreModel"] = [
        "dag_id",
        "run_id",
        "task_id",
        "map_index",
        "key",
        "value",
        "updated_at",
    ]


@pytest.mark.parametrize(("module", "names"), USED.items())
def test_each_name_is_there(module: str, names: list[str]) -> None:
    for name in names:
        assert hasattr(import_module(module), name)


@pytest.mark.parametrize(("path", "names"), COLUMNS.items())
def test_each_column_is_there(path: str, names: list[str]) -> None:
    module, _, model = path.rpartition(".")
    columns = {column.name for column in getattr(import_module(module), model).__table__.columns}
    assert set(names) <= columns


def test_an_auth_manager_is_asked_as_we_ask() -> None:
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    asked = inspect.signature(BaseAuthManager.is_authorized_dag).parameters
    assert {"method", "access_entity", "details", "user"} <= set(asked)
    assert DagAccessEntity.XCOM
    assert DagDetails(id="a", team_name=None)


def test_no_other_module_of_the_light_table_knows_them() -> None:
    for path in (PACKAGE / "plugins").glob("*.py"):
        lines = [
            line
            for line in path.read_text().splitlines()
            if line.lstrip().startswith(("from airflow.", "import airflow."))
        ]
        assert not lines or path.stem == "airflow_access", path


def test_the_plugin_is_cheap_for_the_processes_that_never_show_a_page() -> None:
    code = (
        "import sys; import airflow.sdk; import airflow_provider_runflow.compat as c; c.plugin_base(); "
        "before = set(sys.modules); import airflow_provider_runflow.plugins.pictures; "
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('airflow_provider_runflow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
