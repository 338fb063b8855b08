# SPDX-License-Identifier: Apache-2.0
"""
### Every product for every locale

Generates the pictures of the brief `product_variants.yaml` beside this file, one per product and locale, in one task
that waits with one deferral. A picture that content moderation refuses costs nothing and stops no other; the task
succeeds when at least 80 % of them landed, and `report` says what is missing.

Run again, it makes (and pays) only what changed in the brief: what landed for the same day is not bought twice.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")


@task(retries=2)
def report(result: dict[str, Any]) -> dict[str, int]:
    """Say what there is and what is missing, item by item: the manifest has a row for each."""
    from airflow_provider_runflow.manifest import read_manifest

    rows = read_manifest(result["manifest_uri"])
    for row in rows:
        print(f"{row.key}: {', '.join(row.uris) or f'MISSING, {row.outcome.value}: {row.reason}'}")
    return {"wanted": len(rows), "made": sum(1 for row in rows if row.uris)}


with DAG(
    "product_variants",
    schedule="0 5 1 * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    variants = GptImage2BatchOperator(
        task_id="variants",
        requests="product_variants.yaml",
        quality=QUALITY,
        destination=DESTINATION + "/products/{{ dag_run.run_after | ds }}",
        # The labels of an item are the axes of the brief.
        filename_pattern="{product}/{locale}-{request}.{ext}",
        reuse_within="destination",
        min_success="80%",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    report(variants.output)  # type: ignore[arg-type]
