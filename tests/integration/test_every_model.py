# SPDX-License-Identifier: Apache-2.0
"""Every operator over real HTTP into a real S3, on a worker and through the triggerer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.flux import Flux11ProOperator, Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator, GptImage15Operator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator, GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import Airflow, in_dag
from tests.servers import S3Server

pytestmark = pytest.mark.integration

CUP = "https://shop.example/cup.jpg"
CASES: list[tuple[type[RunflowRunOperator], dict[str, Any], str]] = [
    (GptImage2Operator, {"prompt": "a cat", "num_images": 2, "output_format": "webp"}, "image/webp"),
    (GptImage2EditOperator, {"prompt": "on marble", "references": [CUP], "quality": "low"}, "image/png"),
    (GptImage15Operator, {"prompt": "a cat", "image_size": "1024x1536"}, "image/png"),
    (GptImage15EditOperator, {"prompt": "on marble", "references": [CUP]}, "image/png"),
    (Flux11ProOperator, {"prompt": "a cat", "width": 320, "height": 240}, "image/jpeg"),
    (Flux11ProUltraOperator, {"prompt": "a cat", "aspect_ratio": "1:1"}, "image/jpeg"),
    (
        RunflowModelOperator,
        {"model": "openai/gpt-image-1.5", "input": {"prompt": "{{ }}"}, "check_schema": True},
        "image/png",
    ),
]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize(
    ("kind", "parameters", "content_type"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_its_pictures_lie_in_the_bucket_and_are_billed_once(
    airflow: Airflow,
    emulator_server: EmulatorServer,
    s3_server: S3Server,
    kind: type[RunflowRunOperator],
    parameters: dict[str, Any],
    content_type: str,
    deferrable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It keeps a trigger from racing Airflow's executor, which is not here.
    monkeypatch.setattr("airflow_provider_runflow.operators.common.QUIET_AFTER_DEFERRAL", 0.0)
    emulator_server.emulator.configure(time_scale=200)  # of the pixels that are asked for
    bucket = s3_server.bucket()
    with in_dag():
        operator = kind(
            task_id="hero",
            destination=f"s3://{bucket}/heroes",
            deferrable=deferrable,
            poll_interval=0.1,
            **parameters,
        )
    assert airflow.finish(operator).state == "success"
    result = airflow.xcom(operator)
    wanted = parameters.get("num_images", 1)
    assert len(result["images"]) == wanted
    for image in result["images"]:
        key = image["uri"].removeprefix(f"s3://{bucket}/")
        assert s3_server.head(bucket, key)["ContentType"] == image["content_type"] == content_type
        assert len(s3_server.read(bucket, key)) == image["size_bytes"]
    assert len(s3_server.keys(bucket, "heroes/")) == 2 * wanted
    (billed,) = emulator_server.emulator.ledger(emulator_server.clock.now())["billed"]
    assert billed["model"] == operator.model
    assert billed["run_id"] == result["run_id"]
