# SPDX-License-Identifier: Apache-2.0
"""DAGs of the end-to-end tests: a mapped one, and one whose tasks need a second try."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
COMMON = {
    "quality": "low",
    "image_size": "square_hd",
    "deferrable": True,
    "poll_interval": 1,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}

with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    GptImage2Operator.partial(
        task_id="mug",
        output_format="webp",
        destination=DESTINATION + "/mugs/{{ run_id }}",
        map_index_template="{{ task.item_key }}",
        **COMMON,
    ).expand_kwargs(
        [{"prompt": f"a {colour} mug on a table", "item_key": colour} for colour in ("red", "green", "blue")]
    )

with DAG("second_try", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    # The emulator lets its first run fail; a failed run is not billed.
    GptImage2Operator(task_id="storm", prompt="a storm over the sea", destination=f"{DESTINATION}/storms", **COMMON)
    # The run is paid, but every download of the first try fails.
    GptImage2Operator(
        task_id="lighthouse",
        prompt="a lighthouse at dusk",
        output_format="jpeg",
        destination=f"{DESTINATION}/lighthouses",
        **COMMON,
    )
