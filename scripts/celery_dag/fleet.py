# SPDX-License-Identifier: Apache-2.0
"""The DAG of `make e2e-celery`: a campaign in one task, and single pictures beside it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator

WANTED = json.loads(os.environ["E2E_CELERY_ITEMS"])
PICTURE: dict[str, Any] = {
    "quality": "low",
    "image_size": "square_hd",
    "poll_interval": 2,
    # Each kill costs a try, and so does what Airflow itself makes of a kill.
    "retries": 12,
    "retry_delay": timedelta(seconds=1),
}
DESTINATION = os.environ["E2E_CELERY_DESTINATION"]

with DAG("fleet", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), max_active_tasks=64):
    GptImage2BatchOperator(
        task_id="campaign",
        requests=[{"key": key, "prompt": f"a mug with the number {key}"} for key in WANTED["campaign"]],
        destination=f"{DESTINATION}/campaign",
        deferrable=True,
        **PICTURE,
    )
    for task_id, deferrable in (("at_work", False), ("deferred", True)):
        GptImage2Operator.partial(
            task_id=task_id, destination=f"{DESTINATION}/single", deferrable=deferrable, **PICTURE
        ).expand_kwargs([{"prompt": f"a mug with the number {key}", "item_key": key} for key in WANTED[task_id]])
