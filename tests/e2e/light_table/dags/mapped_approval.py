# SPDX-License-Identifier: Apache-2.0
"""Three pictures, each with a request of its own: rejecting one publishes the other two."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, get_current_context, task

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.pictures import copy_picture, picture_markdown

BUCKET = os.environ.get("LIGHT_TABLE_DESTINATION", "s3://brand-assets")


# begin
@task
def show(final: dict[str, Any]) -> dict[str, str]:
    """What one request says, and the picture that a yes to it is about."""
    index = get_current_context()["ti"].map_index
    body = picture_markdown("final", "A final", map_index=index)
    return {"subject": f"Publish number {index}?", "body": body, "sha256": final["images"][0]["sha256"]}


@task
def publish(told: tuple[dict[str, Any], dict[str, str], dict[str, Any]]) -> dict[str, Any]:
    final, shown, answer = told
    if answer["chosen_options"] != ["Approve"]:
        raise AirflowSkipException("not approved")
    return copy_picture(final["images"][0], f"{BUCKET}/mapped_published", approved_sha256=shown["sha256"])


with DAG("mapped_approval", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):
    finals = GptImage2Operator.partial(
        task_id="final", quality="low", destination=BUCKET + "/mapped", deferrable=True
    ).expand(prompt=["One red tulip", "Two red tulips", "Three red tulips"])
    shown = show.expand(final=finals.output)
    requests = shown.map(lambda one: {"subject": one["subject"], "body": one["body"]})
    answers = HITLOperator.partial(task_id="approve", options=["Approve", "Reject"]).expand_kwargs(requests)
    publish.expand(told=finals.output.zip(shown, answers.output))
