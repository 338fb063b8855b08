# SPDX-License-Identifier: Apache-2.0
"""
### Cheap drafts, one final, published when somebody approves it

Four drafts at low quality, in one batch. A person looks at them in *Required actions* and chooses one. The final is
made by GPT Image 2 Edit with the chosen draft as its reference: the model has no seed, so asking for the same prompt at
a higher quality would draw another picture. Somebody looks at the final and approves it, and exactly the approved bytes
are copied to where the shop reads them; whatever is not the approved picture is refused.

The pictures in the requests are addresses of this Airflow, which asks whoever opens them who they are. They show what
the tasks have landed when somebody looks, so a request stays right when its task is retried.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException  # the same name on every Airflow 3
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, task

from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2EditOperator
from airflow_provider_runflow.pictures import copy_picture, picture_markdown

DESTINATION = os.environ.get("RUNFLOW_EXAMPLE_DESTINATION", "s3://brand-assets")
QUALITY = os.environ.get("RUNFLOW_EXAMPLE_QUALITY", "high")
WEEK = DESTINATION + "/drafts/{{ dag_run.run_after | ds }}"
MOODS = {
    "morning": "soft morning light, a thin mist over the table",
    "noon": "bright noon light, hard shadows, a blue sky",
    "evening": "warm evening light, a candle beside it",
    "night": "night, neon light from the window",
}
IDEA = "A cup of coffee on a wooden table, {mood}. The headline reads 'Slow coffee'."


@task(retries=2)
def show_drafts(drafts: Any) -> str:
    """Make the body of the first request: each draft that landed, with its name."""
    rows = [row for row in read_manifest(drafts["manifest_uri"]) if row.images]
    return "\n\n".join(
        f"**{row.key}**\n\n{picture_markdown('drafts', f'Draft {row.key}', key=row.key, thumbnail=True)}"
        for row in rows
    )


@task(retries=2)
def chosen_draft(drafts: Any, choice: Any) -> list[str]:
    """Return the address of the draft that was chosen: the reference of the final."""
    (key,) = choice["chosen_options"]
    (row,) = [row for row in read_manifest(drafts["manifest_uri"]) if row.key == key]
    if not row.uris:
        raise AirflowSkipException(f"the draft {key} did not land")
    return row.uris


@task(retries=2)
def show_final(final: Any) -> dict[str, str]:
    """Make the body of the second request, and keep what it shows: the picture that a yes is about."""
    return {"sha256": final["images"][0]["sha256"], "body": picture_markdown("final", "The final picture")}


@task(retries=2)
def publish(final: Any, shown: Any, answer: Any) -> dict[str, Any]:
    """Copy the approved picture, and no other."""
    if answer["chosen_options"] != ["Approve"]:
        raise AirflowSkipException("the final was not approved")
    return copy_picture(final["images"][0], f"{DESTINATION}/published", approved_sha256=shown["sha256"])


with DAG(
    "draft_then_final",
    schedule="0 6 * * 2",
    start_date=datetime(2026, 1, 6, tzinfo=timezone.utc),
    catchup=False,
    doc_md=__doc__,
    tags=["runflow", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    drafts = GptImage2BatchOperator(
        task_id="drafts",
        requests=[
            {"key": key, "prompt": IDEA.format(mood=mood), "labels": {"mood": key}} for key, mood in MOODS.items()
        ],
        quality="low",
        image_size="landscape_4_3",
        destination=WEEK,
        min_success=1,
        deferrable=True,
    )
    choose = HITLOperator(
        task_id="choose",
        subject="Which draft becomes the final?",
        body="{{ ti.xcom_pull(task_ids='show_drafts') }}",
        options=list(MOODS),
    )
    chosen: Any = chosen_draft(drafts.output, choose.output)
    final = GptImage2EditOperator(
        task_id="final",
        prompt="The same picture, finished for print: sharper, finer materials, the headline set in clean type",
        references=chosen,
        quality=QUALITY,
        destination=WEEK + "/final",
        deferrable=True,
    )
    shown = show_final(final.output)
    approve = HITLOperator(
        task_id="approve",
        subject="Publish this picture?",
        body="{{ ti.xcom_pull(task_ids='show_final')['body'] }}",
        options=["Approve", "Reject"],
    )
    show_drafts(drafts.output) >> choose
    shown >> approve
    publish(final.output, shown, approve.output)
