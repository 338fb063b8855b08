# SPDX-License-Identifier: Apache-2.0
"""A run that one task submits, three sensors wait for, each in its own mode, and another task lands."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.transfers.runflow_to_s3 import RunflowToS3Operator

with DAG("submit_sense_land", schedule=None, start_date=datetime(2026, 1, 5), default_args={"retries": 2}):
    submit = GptImage2Operator(task_id="submit", prompt="a tulip", quality="low", wait_for_completion=False)
    run_id = submit.output["run_id"]
    sensors = [
        RunCompletionSensor(task_id="deferred", run_ids=[run_id], deferrable=True),
        RunCompletionSensor(task_id="ended_by_the_trigger", run_id=run_id, deferrable=True, end_from_trigger=True),
        RunCompletionSensor(task_id="rescheduled", run_id=run_id, mode="reschedule", poke_interval=10),
    ]
    land = RunflowToS3Operator(
        task_id="land",
        runflow_run_id=run_id,
        model=submit.output["model"],
        s3_bucket=os.environ.get("RUNFLOW_TEST_BUCKET", "brand-assets"),
        s3_key="sensed/tulip.png",
    )
    sensors >> land
