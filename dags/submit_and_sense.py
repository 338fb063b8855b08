# SPDX-License-Identifier: Apache-2.0
"""
### Submit here, wait there, land elsewhere

Three tasks instead of one, for DAGs whose parts belong to different people: submit a run, wait for it, land it. The
second and the third work on any run, whoever submitted it, and cost nothing however often they are repeated.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.transfers.runflow_to_object_storage import RunflowToObjectStorageOperator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")

with DAG(
    "submit_and_sense",
    schedule="0 7 * * 5",
    start_date=datetime(2026, 1, 2, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    submit = GptImage2Operator(
        task_id="submit",
        prompt="A banner for the weekend: tulips on white linen, the words 'Back on Monday' in brass letters",
        quality=QUALITY,
        image_size="landscape_16_9",
        # Returns the run id at once, and lands nothing.
        wait_for_completion=False,
    )
    run_id = submit.output["run_id"]  # type: ignore[index]
    wait = RunCompletionSensor(task_id="wait", run_id=run_id, deferrable=True)
    land = RunflowToObjectStorageOperator(
        task_id="land",
        runflow_run_id=run_id,
        destination=DESTINATION + "/banners/{{ dag_run.run_after | ds }}",
    )
    wait >> land
