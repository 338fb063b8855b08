# SPDX-License-Identifier: Apache-2.0
"""
### A hero image a week

Generates one picture every Monday, lands it in S3, and tells the DAGs that wait for it.

Needs the connections `runflow_default` and `aws_default`, and a bucket. Retries cost nothing: they attach to the run
that the first try bought.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Asset

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")

HERO = Asset(name="weekly_hero_image", uri=f"{DESTINATION}/heroes/")

with DAG(
    "weekly_hero_image",
    schedule="0 6 * * 1",
    start_date=datetime(2026, 1, 5, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    GptImage2Operator(
        task_id="hero",
        prompt=(
            "Hero image for a specialty coffee shop's web site: a hand-drawn storefront sign reading 'CIRCUIT & GRAIN' "
            "on polished brass, warm morning sunlight, shallow depth of field, cinematic photograph"
        ),
        quality=QUALITY,
        image_size="landscape_16_9",
        # run_after is set for scheduled, manual and asset-triggered runs alike; the logical date is not.
        destination=DESTINATION + "/heroes/{{ dag_run.run_after | ds }}",
        deferrable=True,
        outlets=[HERO],
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
