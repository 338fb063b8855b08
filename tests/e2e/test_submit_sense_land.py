# SPDX-License-Identifier: Apache-2.0
"""Sensors and transfer with real Airflow processes: a real scheduler reschedules, a real triggerer ends a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from scripts.stack import AirflowStack
from tests.servers import S3Server

pytestmark = pytest.mark.e2e

DAG_ID = "submit_sense_land"


@pytest.fixture
def s3() -> Iterator[S3Server]:
    server = S3Server.start()
    server.bucket("brand-assets")
    yield server
    server.stop()


def test_one_run_is_sensed_in_three_modes_landed_and_paid_once(s3: S3Server, tmp_path: Path) -> None:
    # Twenty seconds in the queue: nothing has ended when a sensor looks first, so each of them has to wait.
    with EmulatorServer(Emulator(EmulatorConfig(queue_seconds=20))) as emulator:
        env = {
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
            "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": emulator.connection_json(),
        }
        with AirflowStack(tmp_path, {"tests": Path(__file__).parent / "dags"}, env=env) as stack:
            stack.api.wait_for_dags([DAG_ID])
            run = stack.api.trigger(DAG_ID)
            state = stack.api.wait_for_run(DAG_ID, run, watch=stack.check)
            tasks = {task["task_id"]: task for task in stack.api.task_instances(DAG_ID, run)}
            errors = {name: stack.api.error_of(task) for name, task in tasks.items() if task["state"] != "success"}
            assert (state, errors) == ("success", {})
            facts = stack.api.xcom(tasks["rescheduled"])
            assert stack.api.xcom(tasks["deferred"]) == [facts]
            (bill,) = emulator.emulator.ledger(emulator.clock.now())["billed"]
            assert facts == {
                "run_id": bill["run_id"],
                "status": "succeeded",
                "cost_usd": bill["cost_usd"],
                "image_count": 1,
            }
            # Where its scheduler is slow Airflow (3.3.2) fails a try by itself; none may end with an error of ours.
            tries = [(task, number) for task in tasks.values() for number in range(1, task["try_number"] + 1)]
            assert [stack.api.error_of(*each) for each in tries] == [""] * len(tries)
            assert s3.read("brand-assets", "sensed/tulip.png") == emulator.emulator.picture(bill["run_id"])
