# SPDX-License-Identifier: Apache-2.0
"""The DAG of `make e2e-kill`: one mapped task waits on its worker, the other in the triggerer."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator

KEYS = json.loads(os.environ["E2E_KILL_KEYS"])

with DAG("thirty_pictures", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), max_active_tasks=64):
    for task_id, deferrable in (("at_work", False), ("deferred", True)):
        GptImage2Operator.partial(
            task_id=task_id,
            quality="low",
            image_size="square_hd",
            destination=os.environ["E2E_KILL_DESTINATION"],
            deferrable=deferrable,
            poll_interval=1,
            # Each kill costs a try, and so does what Airflow itself makes of a kill.
            retries=12,
            retry_delay=timedelta(seconds=1),
            map_index_template="{{ task.item_key }}",
        ).expand_kwargs([{"prompt": f"a mug with the number {key}", "item_key": key} for key in KEYS[task_id]])
