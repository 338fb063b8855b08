# SPDX-License-Identifier: Apache-2.0
"""
### Every product for every locale

Reads the brief `product_variants.yaml` beside this file and generates one picture per product and locale, each in a
mapped task of its own. A picture that content moderation refuses fails its own task, once and for $0; the others land.

The DAG run is green even when some are missing: its last task, `report`, runs whatever became of the others and says
what is missing. To make the run fail instead, raise there when `made` is less than `wanted`.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import DAG, task

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")


def shots() -> list[dict[str, Any]]:
    """One set of operator arguments per product and locale; reads the brief, nothing else."""
    brief = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return [
        {
            "prompt": f"{product['shot']}, {brief['style']}. The headline reads '{headline}'.",
            # The key names the picture by what it shows: reordering the brief buys nothing again.
            "item_key": f"{product['sku']}_{locale}",
        }
        for product in brief["products"]
        for locale, headline in product["headline"].items()
    ]


@task(trigger_rule="all_done")
def report(results: Any) -> dict[str, Any]:
    """Say what there is, whatever became of the others."""
    made = [result for result in results if result]
    uris = [image["uri"] for result in made for image in result["images"]]
    for uri in uris:
        print(uri)
    wanted = len(shots())
    if len(uris) < wanted:
        print(f"MISSING: {wanted - len(uris)} of {wanted} pictures; the logs of the failed `variant` tasks say why.")
    return {"wanted": wanted, "made": len(uris)}


with DAG(
    "product_variants",
    schedule="0 5 1 * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    variants = GptImage2Operator.partial(
        task_id="variant",
        quality=QUALITY,
        image_size="square_hd",
        output_format="webp",
        destination=DESTINATION + "/products/{{ dag_run.run_after | ds }}",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=1),
        map_index_template="{{ task.item_key }}",
    ).expand_kwargs(shots())
    report(variants.output)
