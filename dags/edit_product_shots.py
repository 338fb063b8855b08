# SPDX-License-Identifier: Apache-2.0
"""
### Product shots on a new background

Takes each product's own photograph from a private bucket, has GPT Image 2 Edit put it into a scene, and lands the
result. The photographs are uploaded to Runflow and nowhere else. A product that has no photograph yet is skipped; the
others go on.

Mapped tasks, not one batch: each picture waits for a task of its own upstream, and can be cleared by itself. Where all
requests are known together, one batch task does the same with a fraction of the scheduling (`product_variants.py`).

Needs `apache-airflow-providers-amazon[s3fs]`, to look whether a photograph is there.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException  # the same name on every Airflow 3
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
SHOTS = os.environ.get("RUNFLOW_EXAMPLE_SHOTS", f"{DESTINATION}/shots")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")
PRODUCTS = ["kettle", "grinder", "cup"]


@task(map_index_template="{{ product }}", retries=2)
def shot(product: str) -> dict[str, Any]:
    """One set of operator arguments; skipped as long as there is no photograph."""
    from airflow.sdk import get_current_context

    get_current_context()["product"] = product  # type: ignore[typeddict-unknown-key]
    photograph = ObjectStoragePath(f"{SHOTS}/{product}.png", conn_id="aws_default" if "s3://" in SHOTS else None)
    if not photograph.exists():
        raise AirflowSkipException(f"no photograph {SHOTS}/{product}.png yet")
    return {
        "references": [f"{SHOTS}/{product}.png"],
        "prompt": f"Put this {product} on a marble table in warm morning light; keep the {product} exactly as it is",
        # The name of this picture, whatever becomes of the list.
        "item_key": product,
    }


with DAG(
    "edit_product_shots",
    schedule="0 4 * * 1",
    start_date=datetime(2026, 1, 5, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    GptImage2EditOperator.partial(
        task_id="edit",
        quality=QUALITY,
        destination=DESTINATION + "/edited/{{ dag_run.run_after | ds }}",
        deferrable=True,
        # A skipped shot would skip all of this otherwise.
        trigger_rule="none_failed_min_one_success",
        map_index_template="{{ task.item_key }}",
        retries=2,
        retry_delay=timedelta(minutes=1),
    ).expand_kwargs(shot.expand(product=PRODUCTS))
