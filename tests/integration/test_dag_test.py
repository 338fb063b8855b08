# SPDX-License-Identifier: Apache-2.0
"""`dag.test()`, as people try a DAG at their desk: the real operator over real HTTP, deferral included."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.harness import in_dag, register

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_dag_runs_to_its_end_and_pays_once(
    airflow_db: None, emulator_server: EmulatorServer, tmp_path: Path, deferrable: bool
) -> None:
    emulator_server.emulator.configure(time_scale=50)
    with in_dag(f"at_the_desk_{deferrable}") as dag:
        GptImage2Operator(
            task_id="hero",
            prompt="a cat",
            quality="low",
            destination=str(tmp_path),
            deferrable=deferrable,
            poll_interval=0.2,
        )
    assert register(dag).test().state == "success"
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert len(emulator_server.emulator.ledger(emulator_server.clock.now())["billed"]) == 1
