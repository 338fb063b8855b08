# SPDX-License-Identifier: Apache-2.0
"""The examples of the documentation: one DAG, whose every task is run by tests/unit/docs/test_examples.py."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_runflow.operators.flux import Flux11ProOperator, Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator, GptImage15Operator
from airflow_provider_runflow.operators.gpt_image_2 import (
    GptImage2BatchOperator,
    GptImage2EditBatchOperator,
    GptImage2EditOperator,
    GptImage2Operator,
)
from airflow_provider_runflow.operators.runflow import RunflowModelOperator

BUCKET = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")


# [START downstream]
@task
def publish(result: dict[str, Any]) -> list[str]:
    """Take what a task made: addresses, sizes, hashes."""
    return [f"{image['uri']} ({image['width']}x{image['height']})" for image in result["images"]]


# [END downstream]

with DAG(
    "docs_examples",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["runflow", "example"],
):
    # [START one_picture]
    banner = GptImage2Operator(
        task_id="banner",
        prompt="A banner for our spring sale: tulips on white linen, the words 'Spring is here' in brass letters",
        quality="low",  # low about $0.009, medium $0.034, high $0.133 a picture
        image_size="landscape_16_9",
        destination=BUCKET + "/banners/{{ dag_run.run_after | ds }}",
        deferrable=True,  # waiting takes no worker slot
        retries=2,  # a retry attaches to the run that is already paid
    )
    # [END one_picture]
    publish(banner.output)  # type: ignore[arg-type]

    # [START variation]
    GptImage2Operator(
        task_id="another_banner",
        prompt="A banner for our spring sale: tulips on white linen, the words 'Spring is here' in brass letters",
        quality="low",
        variation="2",
        destination=BUCKET + "/banners/{{ dag_run.run_after | ds }}",
    )
    # [END variation]

    # [START decorator]
    @task.runflow_image(quality="low", destination=BUCKET + "/portraits")
    def portrait(name: str) -> str:
        """Return a prompt; or a dict of parameters: {"prompt": …, "image_size": …}."""
        return f"A portrait of {name}, our barista, in ink and wash"

    portrait("Ada")
    # [END decorator]

    # [START edit]
    GptImage2EditOperator(
        task_id="on_marble",
        prompt="The same cup on white marble, morning light from the left",
        references=["https://shop.example/cup.jpg"],
        quality="low",
        destination=BUCKET + "/products",
        derivatives=["meta_feed", "stories"],
    )
    # [END edit]

    # [START edit_more]
    GptImage15EditOperator(
        task_id="cut_out",
        prompt="The cup alone, cut out",
        references=["https://shop.example/cup.jpg"],
        quality="low",
        background="transparent",
        destination=BUCKET + "/cut-outs",
    )
    GptImage2EditBatchOperator(
        task_id="scenes",
        references=["https://shop.example/cup.jpg"],  # for each item that names none of its own
        requests=[{"key": place, "prompt": f"The same cup on {place}"} for place in ("oak", "slate", "linen")],
        quality="low",
        destination=BUCKET + "/scenes",
    )
    # [END edit_more]

    # [START other_models]
    GptImage15Operator(
        task_id="transparent",
        prompt="A sticker of a croissant, thick white outline",
        quality="low",
        background="transparent",
        destination=BUCKET + "/stickers",
    )
    Flux11ProOperator(
        task_id="flux",
        prompt="A street market at dawn, 35 mm photograph",
        seed=7,
        destination=BUCKET + "/flux",
    )
    Flux11ProUltraOperator(
        task_id="ultra",
        prompt="A street market at dawn, 35 mm photograph",
        aspect_ratio="16:9",
        destination=BUCKET + "/ultra",
    )
    RunflowModelOperator(
        task_id="any_model",
        model="black-forest-labs/flux-1-1-pro-ultra",
        input={"prompt": "A street market at dusk, 35 mm photograph", "aspect_ratio": "16:9"},
        destination=BUCKET + "/any",
    )
    # [END other_models]

    # [START costs]
    GptImage2BatchOperator(
        task_id="within_budget",
        requests=[{"key": name, "prompt": f"A postcard from {name}"} for name in ("Porto", "Oslo", "Split")],
        quality="low",
        destination=BUCKET + "/postcards",
        max_cost_usd="0.50",  # over all attempts; what could pass it is not submitted
        check_balance=True,  # submit nothing, if the account could not pay for all of it
        on_blocked="skip",  # what content moderation refuses is no failure
    )
    # [END costs]
