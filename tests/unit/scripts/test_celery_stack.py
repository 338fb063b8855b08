# SPDX-License-Identifier: Apache-2.0
"""What the spread-out Airflow of `make e2e-celery` shares, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.celery_stack import TRIGGERERS, WORKERS, CeleryStack
from scripts.component_name import component_name
from scripts.databases import Server


@pytest.fixture
def stack(tmp_path: Path) -> CeleryStack:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "fleet.py").write_text("# a DAG\n")
    home = tmp_path / "home"
    home.mkdir()
    return CeleryStack(
        home, {"fleet": dags}, {}, database=Server(5432, "word"), broker=Server(6379, "other"), log_folder="s3://logs"
    )


def folder_of(environment: Mapping[str, str]) -> Path:
    (bundle,) = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    return Path(bundle["kwargs"]["path"])


def test_no_two_components_share_a_home_or_a_dag_file(stack: CeleryStack) -> None:
    environments = {name: stack.environment_of(name) for name in stack.components}
    homes = {environment["AIRFLOW_HOME"] for environment in environments.values()}
    assert len(homes) == len(stack.components) == 8
    folders = {name: folder_of(environment) for name, environment in environments.items()}
    assert len(set(folders.values())) == 8
    for name, folder in folders.items():
        if name not in TRIGGERERS:
            assert (folder / "fleet.py").read_text() == "# a DAG\n"


def test_triggerers_have_no_dag_files(stack: CeleryStack) -> None:
    for name in TRIGGERERS:
        folder = folder_of(stack.environment_of(name))
        assert folder.is_dir()
        assert list(folder.iterdir()) == []


def test_they_share_what_airflow_must_share(stack: CeleryStack) -> None:
    keys = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CELERY__BROKER_URL")
    for key in keys:
        assert len({stack.environment_of(name)[key] for name in stack.components}) == 1


def test_workers_do_not_know_where_the_database_is(stack: CeleryStack) -> None:
    for name in WORKERS:
        environment = stack.environment_of(name)
        assert not [key for key, value in environment.items() if "word@" in value or ":5432" in value]
    assert ":5432" in stack.environment_of(TRIGGERERS[0])["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_each_is_on_record_under_its_own_name(stack: CeleryStack, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = stack.environment_of("worker-2")
    monkeypatch.setenv("E2E_COMPONENT", environment["E2E_COMPONENT"])
    assert component_name() == "worker-2"
