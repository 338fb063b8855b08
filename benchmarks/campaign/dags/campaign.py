# SPDX-License-Identifier: Apache-2.0
"""The two shapes of a campaign. The environment says how many pictures: a DAG's shape is known when it is parsed."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator

#: As many as may run at once; Airflow's `parallelism` is the bound that is meant to count.
AT_ONCE = 2000
COMMON: dict[str, Any] = {"quality": "low", "deferrable": True, "poll_interval": 5, "timeout": 3600}
SETTINGS: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "max_active_tasks": AT_ONCE,
}

with DAG("batch", **SETTINGS):
    GptImage2BatchOperator(
        task_id="pictures",
        requests="{{ dag_run.conf['requests'] }}",
        destination="s3://bench/batch/{{ dag_run.conf['place'] }}",
        reuse_within="destination",
        **COMMON,
    )

for size in json.loads(os.environ["BENCH_MAPPED"]):
    with DAG(f"mapped_{size}", **SETTINGS):
        # A task whose trigger fires early can be failed by Airflow itself; its retry attaches for $0.
        GptImage2Operator.partial(
            task_id="pictures",
            destination="s3://bench/mapped/{{ run_id }}",
            retries=2,
            retry_delay=timedelta(seconds=1),
            **COMMON,
        ).expand_kwargs([{"prompt": f"a mug, number {number}", "item_key": f"mug-{number}"} for number in range(size)])
