# SPDX-License-Identifier: Apache-2.0
"""
### Publish what another DAG made

Runs whenever `weekly_hero_image` has landed a new picture; the asset event says which one, with its sha256 and cost.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Asset, task

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")

HERO = Asset(name="weekly_hero_image", uri=f"{DESTINATION}/heroes/")


@task(retries=2)
def publish(triggering_asset_events: Any = None) -> list[str]:
    """Hand each new picture to the web site; here it is only named. Started by hand, there is none."""
    uris: list[str] = []
    for event in triggering_asset_events[HERO] if triggering_asset_events else []:
        uris += [image["uri"] for image in event.extra["images"]]
    for uri in uris:
        print(f"publish {uri}")
    return uris


with DAG(
    "publish_on_asset",
    schedule=[HERO],
    start_date=datetime(2026, 1, 5, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
):
    publish()
