# SPDX-License-Identifier: Apache-2.0
"""The DAG of `make churn`: twenty tasks that wait in the triggerer, and a batch."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator

PICTURE: dict[str, Any] = {
    "quality": "low",
    "image_size": "square_hd",
    "destination": os.environ["CHURN_DESTINATION"] + "/{{ run_id }}",
    "deferrable": True,
    "poll_interval": 1,
}
PROMPTS = [f"a mug with the number {number}" for number in range(20)]

with DAG("churn", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), max_active_tasks=64):
    GptImage2Operator.partial(task_id="single", **PICTURE).expand(prompt=PROMPTS)
    GptImage2BatchOperator(
        task_id="batch",
        requests=[{"key": f"k{number}", "prompt": f"{prompt}, from above"} for number, prompt in enumerate(PROMPTS)],
        **PICTURE,
    )
