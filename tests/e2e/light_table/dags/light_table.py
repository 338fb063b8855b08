# SPDX-License-Identifier: Apache-2.0
"""What the light table shows: a picture, a set, mapped ones of which one is blocked, a batch, what fails and waits."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_runflow.operators.flux import Flux11ProOperator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator

BUCKET = os.environ.get("LIGHT_TABLE_DESTINATION", "s3://brand-assets")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
HERE = "/light_table/{{ run_id | replace(':', '-') | replace('+', '-') }}"

# Airflow itself may fail a task whose trigger fires early; a retry attaches for $0.
RETRIED = {"retries": 2, "retry_delay": timedelta(seconds=5)}

with DAG("light_table", schedule=None, start_date=START, catchup=False, tags=["runflow"], default_args=RETRIED):
    GptImage2Operator(
        task_id="hero",
        prompt="A brass storefront sign that reads 'CIRCUIT & GRAIN', warm morning light, shallow depth of field",
        quality="medium",
        image_size="landscape_16_9",
        num_images=3,
        destination=BUCKET + HERE + "/hero",
        deferrable=True,
    )
    GptImage2Operator.partial(
        task_id="variant",
        quality="low",
        image_size="square_hd",
        destination=BUCKET + HERE + "/variants",
        deferrable=True,
        map_index_template="{{ task.item_key }}",
    ).expand_kwargs(
        [
            {"prompt": "Paring knife on slate. The headline reads 'Sharp and honest'.", "item_key": "knife_en"},
            {"prompt": "Paring knife on slate. The headline reads 'Scharf wie nie'.", "item_key": "knife_de"},
            {"prompt": "Oak board, morning light. <script>alert(1)</script>", "item_key": "board"},
        ]
    )
    GptImage2BatchOperator(
        task_id="catalogue",
        requests=[
            {
                "key": f"{product}-{locale}",
                "prompt": f"{product.title()} on linen, studio light, caption in {locale}"
                + (", Scharf wie nie" if (product, locale) == ("cup", "de") else ""),
                "labels": {"product": product, "locale": locale},
                "alt_text": f"A {product} on linen",
            }
            for product in ("cup", "bowl", "teapot", "plate")
            for locale in ("en", "de", "fr")
        ],
        quality="low",
        image_size="portrait_4_3",
        destination=BUCKET + HERE + "/catalogue",
        min_success="50%",
        deferrable=True,
    )
    GptImage2Operator(
        task_id="too_large",
        prompt="A poster",
        image_size="{{ '99999x10' }}",
        destination=BUCKET + HERE + "/poster",
    )

with DAG("slow_campaign", schedule=None, start_date=START, catchup=False, tags=["runflow"]):
    GptImage2Operator(
        task_id="slow",
        prompt="A lighthouse in fog, painted slowly",
        quality="high",
        destination=BUCKET + "/slow",
        deferrable=True,
    )
    GptImage2BatchOperator(
        task_id="slow_batch",
        requests=[{"key": f"fog-{n}", "prompt": f"Fog number {n}, painted slowly"} for n in range(20)],
        quality="high",
        destination=BUCKET + "/slow_batch",
        deferrable=True,
    )

with DAG("live_campaign", schedule=None, start_date=START, catchup=False, tags=["runflow"], default_args=RETRIED):
    GptImage2Operator(
        task_id="poster",
        prompt="A harbour at dawn, painted patiently",
        quality="low",
        destination=BUCKET + HERE + "/poster",
        derivatives=[{"name": "newsletter", "width": 600, "height": 300, "format": "webp"}],
        deferrable=True,
    )
    Flux11ProOperator(
        task_id="sketch", prompt="A harbour, a sketch", destination=BUCKET + HERE + "/sketch", deferrable=True
    )

with DAG("secret_campaign", schedule=None, start_date=START, catchup=False, tags=["runflow"]):
    GptImage2Operator(
        task_id="launch",
        prompt="The unannounced product, under a cloth",
        quality="low",
        destination=BUCKET + "/secret",
        deferrable=True,
    )

with DAG("empty_campaign", schedule=None, start_date=START, catchup=False):
    from airflow.sdk import task

    @task
    def nothing() -> None:
        """Makes no picture."""

    nothing()
