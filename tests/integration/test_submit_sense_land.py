# SPDX-License-Identifier: Apache-2.0
"""Submit, sense, land as three tasks: real HTTP to the emulator, a real S3 API, each mode of the sensor."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.transfers.runflow_to_object_storage import RunflowToObjectStorageOperator
from airflow_provider_runflow.transfers.runflow_to_s3 import RunflowToS3Operator
from tests.harness import Airflow, in_dag, register
from tests.servers import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket("brand-assets")


@pytest.fixture
def ended(emulator_server: EmulatorServer) -> str:
    """A run that somebody submitted and that has ended; its id."""
    from airflow_provider_runflow.hooks.runflow import RunflowHook

    emulator_server.emulator.configure(time_scale=1000, picture_size=(64, 64))
    run = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat", "quality": "low", "num_images": 2})
    return RunflowHook().wait_for_run(run.id, poll_interval=0.05).id


def transfer(run_id: str, **given: Any) -> RunflowToS3Operator:
    with in_dag():
        return RunflowToS3Operator(
            **{"task_id": "land", "runflow_run_id": run_id, "s3_bucket": "brand-assets", **given}
        )


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_dag_submits_senses_and_lands_and_pays_once(
    airflow_db: None, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, deferrable: bool
) -> None:
    emulator = emulator_server.emulator
    emulator.configure(time_scale=20, picture_size=(64, 64))
    with in_dag(f"submit_sense_land_{deferrable}") as dag:
        submit = GptImage2Operator(task_id="submit", prompt="a cat", quality="low", wait_for_completion=False)
        run_id, model = submit.output["run_id"], submit.output["model"]
        sense = RunCompletionSensor(task_id="sense", run_id=run_id, deferrable=deferrable, poke_interval=0.2)
        land = RunflowToS3Operator(
            task_id="land", runflow_run_id=run_id, model=model, s3_bucket=bucket, s3_key="heroes/cat.png"
        )
        sense >> land
    assert register(dag).test().state == "success"
    (bill,) = emulator.ledger(emulator_server.clock.now())["billed"]
    assert s3_server.keys(bucket) == ["heroes/cat.png", "heroes/cat.png.json"]
    assert s3_server.read(bucket, "heroes/cat.png") == emulator.picture(bill["run_id"])
    told = json.loads(s3_server.read(bucket, "heroes/cat.png.json"))
    assert (told["runflow_run_id"], told["model"]) == (bill["run_id"], "openai/gpt-image-2")


def test_a_sensor_that_ends_from_the_trigger_succeeds_in_dag_test_too(
    airflow_db: None, emulator_server: EmulatorServer
) -> None:
    emulator_server.emulator.configure(time_scale=20)
    with in_dag("ends_from_the_trigger") as dag:
        submit = GptImage2Operator(task_id="submit", prompt="a cat", quality="low", wait_for_completion=False)
        RunCompletionSensor(
            task_id="sense",
            run_ids=[submit.output["run_id"]],
            deferrable=True,
            end_from_trigger=True,
            poke_interval=0.2,
        )
    assert register(dag).test().state == "success"


def test_a_prefix_takes_all_pictures_with_headers_and_encryption_and_landing_again_changes_nothing(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, ended: str
) -> None:
    arguments = {
        "s3_prefix": "heroes/spring",
        "encrypt": True,
        "cache_control": "max-age=60",
        "extra_args": {"ContentDisposition": "inline", "StorageClass": "STANDARD_IA"},
    }
    first = transfer(ended, **arguments)
    assert airflow.run(first).state == "success"
    result = airflow.xcom(first)
    keys = [f"heroes/spring/{ended}-{index}.png" for index in (0, 1)]
    assert [image["uri"] for image in result["images"]] == [f"s3://{bucket}/{key}" for key in keys]
    assert s3_server.keys(bucket) == sorted([*keys, *(f"{key}.json" for key in keys)])
    for index, key in enumerate(keys):
        head, data = s3_server.head(bucket, key), s3_server.read(bucket, key)
        assert data == emulator_server.emulator.picture(ended, index)
        assert hashlib.sha256(data).hexdigest() == result["images"][index]["sha256"]
        assert (head["ContentType"], head["CacheControl"]) == ("image/png", "max-age=60")
        assert (head["ContentDisposition"], head["ServerSideEncryption"]) == ("inline", "AES256")
        assert head["StorageClass"] == "STANDARD_IA"
    modified = {key: s3_server.head(bucket, key)["LastModified"] for key in s3_server.keys(bucket)}
    again = transfer(ended, task_id="land_again", **arguments)
    assert airflow.run(again).state == "success"
    assert airflow.xcom(again) == result
    assert {key: s3_server.head(bucket, key)["LastModified"] for key in s3_server.keys(bucket)} == modified
    ledger = emulator_server.emulator.ledger(emulator_server.clock.now())
    assert (ledger["requests"]["GET output"], len(ledger["billed"])) == (2, 1)


def test_a_key_is_for_one_picture(airflow: Airflow, s3_server: S3Server, bucket: str, ended: str) -> None:
    outcome = airflow.run(transfer(ended, s3_key="heroes/cat.png", retries=3))
    assert outcome.state == "failed"
    assert f"s3_key='heroes/cat.png' names one picture, but run {ended} delivered 2" in str(outcome.error)
    assert f"Runflow run {ended} was submitted before" in str(outcome.error)
    assert s3_server.keys(bucket) == []


def test_a_key_that_another_picture_has_is_an_error_and_replace_overwrites_it(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, ended: str
) -> None:
    from airflow_provider_runflow.hooks.runflow import RunflowHook

    one = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a dog", "quality": "low"}).id
    RunflowHook().wait_for_run(one, poll_interval=0.05)
    s3_server.client.put_object(Bucket=bucket, Key="site/hero.png", Body=b"last week's")
    outcome = airflow.run(transfer(one, s3_key="site/hero.png", retries=1))
    assert outcome.state == "up_for_retry"
    assert "s3://brand-assets/site/hero.png is taken by another picture" in str(outcome.error)
    assert "It is paid, and a retry of the task lands the same run for $0" in str(outcome.error)
    assert s3_server.keys(bucket) == ["site/hero.png"]
    assert s3_server.read(bucket, "site/hero.png") == b"last week's"
    assert airflow.run(transfer(one, s3_key="site/hero.png", replace=True)).state == "success"
    assert s3_server.read(bucket, "site/hero.png") == emulator_server.emulator.picture(one)


def test_a_bucket_that_is_not_there_says_so_and_a_retry_lands_for_nothing(
    airflow: Airflow, s3_server: S3Server, ended: str
) -> None:
    outcome = airflow.run(transfer(ended, s3_prefix="heroes", retries=1))
    assert outcome.state == "up_for_retry"
    assert "brand-assets" in str(outcome.error)
    assert "A retry of the task attaches to it for $0" in str(outcome.error)
    s3_server.bucket("brand-assets")
    assert airflow.retry(outcome).state == "success"


def test_object_storage_takes_s3_too(airflow: Airflow, s3_server: S3Server, bucket: str, ended: str) -> None:
    with in_dag():
        land = RunflowToObjectStorageOperator(task_id="land", runflow_run_id=ended, destination=f"s3://{bucket}/x")
    assert airflow.run(land).state == "success"
    assert s3_server.keys(bucket, "x/") == sorted(
        f"x/{ended}-{index}.png{end}" for index in (0, 1) for end in ("", ".json")
    )
