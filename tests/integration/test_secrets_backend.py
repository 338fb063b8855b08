# SPDX-License-Identifier: Apache-2.0
"""A connection that only a secrets backend knows: the task, the trigger and the landing find it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.harness import in_dag, register

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_picture_is_bought_with_a_connection_from_a_secrets_backend(
    airflow_db: None,
    emulator_server: EmulatorServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    # Airflow keeps the list of backends for the life of the process; 3.1 does not.
    with contextlib.suppress(ImportError):
        monkeypatch.setattr("airflow.sdk.configuration._secrets_backend_cache", {}, raising=False)
    emulator_server.emulator.configure(time_scale=50, api_keys=["rf_live_from_the_backend"])
    known = tmp_path / "connections.json"
    known.write_text(
        json.dumps({"runflow_kept_elsewhere": json.loads(emulator_server.connection_json("rf_live_from_the_backend"))})
    )
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": str(known)}))
    monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT")
    with in_dag(f"kept_elsewhere_{deferrable}") as dag:
        GptImage2Operator(
            task_id="hero",
            prompt="a cat",
            quality="low",
            destination=str(tmp_path / "pictures"),
            runflow_conn_id="runflow_kept_elsewhere",
            deferrable=deferrable,
            poll_interval=0.2,
        )
    assert register(dag).test().state == "success"
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1
