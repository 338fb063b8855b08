# SPDX-License-Identifier: Apache-2.0
"""Batches over real HTTP to the emulator and a real S3 API, with real threads, in both modes."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.exceptions import DestinationError
from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2EditBatchOperator
from tests.harness import HAS_TASK_STATE_STORE, Airflow, Outcome, in_dag, register
from tests.servers import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def bucket(s3_server: S3Server, emulator_server: EmulatorServer) -> str:
    emulator_server.emulator.configure(time_scale=40, picture_size=(64, 64))
    return s3_server.bucket("brand-assets")


def items(count: int) -> list[dict[str, Any]]:
    return [
        {
            "key": f"item{number:03d}",
            "prompt": f"a picture of product {number:03d}",
            "labels": {"product": f"{number:03d}", "season": "Frühling"},
            "alt_text": f"Product {number}",
        }
        for number in range(count)
    ]


def batch(requests: Any, deferrable: bool, **changes: Any) -> GptImage2BatchOperator:
    given = {"destination": "s3://brand-assets/heroes", "poll_interval": 0.3, "quality": "low", **changes}
    return GptImage2BatchOperator(task_id="heroes", requests=requests, deferrable=deferrable, **given)


def finish(airflow: Airflow, task: Any, **facts: Any) -> Outcome:
    """As `Airflow.finish`; the quiet time after a deferral takes five real seconds."""
    return airflow.finish(task, **facts)


def billed(server: EmulatorServer) -> list[Any]:
    rows: list[Any] = server.emulator.ledger(server.clock.now())["billed"]
    return rows


def test_forty_pictures_land_untouched_with_sidecars_tags_and_manifest(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, deferrable: bool
) -> None:
    with in_dag():
        task = batch(
            items(40), deferrable, tag_objects=True, filename_pattern="{product}.{ext}", cache_control="max-age=9"
        )
    outcome = finish(airflow, task)
    assert outcome.state == "success"
    result = airflow.xcom(task)
    assert (result["succeeded"], result["counts"]["images"], len(billed(emulator_server))) == (40, 40, 40)
    rows = read_manifest(result["manifest_uri"])
    assert [row.key for row in rows] == [f"item{number:03d}" for number in range(40)]
    for row in rows[::7]:
        (image,) = row.images
        key = image.uri.removeprefix(f"s3://{bucket}/")
        assert key == f"heroes/{row.labels['product']}.png"
        data = s3_server.read(bucket, key)
        assert data == emulator_server.emulator.picture(row.runflow_run_id)
        assert hashlib.sha256(data).hexdigest() == image.sha256
        tags = s3_server.client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == dict(row.labels)
        told = json.loads(s3_server.read(bucket, f"{key}.json"))
        assert (told["labels"], told["alt_text"]) == (dict(row.labels), row.alt_text)
    # Each picture has a sidecar; rows of this DAG run, rows and totals of the latest.
    assert len(s3_server.keys(bucket)) == 40 + 40 + 3
    assert "Signature" not in "".join(
        s3_server.read(bucket, key).decode() for key in s3_server.keys(bucket) if "json" in key
    )
    assert s3_server.head(bucket, "heroes/manifest.jsonl")["ContentType"] == "application/x-ndjson"
    assert "CacheControl" not in s3_server.head(bucket, "heroes/manifest.jsonl")


def test_faults_of_the_network_and_of_the_model_cost_nothing_twice(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, deferrable: bool
) -> None:
    emulator = emulator_server.emulator
    emulator.configure(seed=3)
    emulator.add_fault(route="create", effect="drop_after", times=2, after=5)
    emulator.add_fault(route="create", effect="status", status=429, times=6, after=10)
    emulator.add_fault(route="output", effect="truncate", times=4)
    emulator.add_fault(route="get", effect="status", status=503, times=3)
    emulator.add_fault(route="create", outcome="blocked", prompt_contains="product 007")
    emulator.add_fault(route="create", outcome="failed", prompt_contains="product 011", times=1)
    with in_dag():
        task = batch(items(40), deferrable, retries=4, min_success=39)
    outcome = finish(airflow, task)
    while outcome.state == "up_for_retry":
        outcome = airflow.settle(airflow.retry(outcome))
    assert outcome.state == "success"
    assert airflow.xcom(task)["counts"]["blocked"] == 1
    rows = {row.key: row for row in read_manifest(airflow.xcom(task)["manifest_uri"])}
    assert rows["item007"].outcome == "blocked"
    assert len(billed(emulator_server)) == 39
    assert len([key for key in s3_server.keys(bucket) if key.endswith(".png")]) == 39


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
def test_an_unchanged_campaign_in_a_new_dag_run_asks_runflow_for_nothing(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str
) -> None:
    landed(s3_server, bucket, 60)
    with in_dag():
        task = batch(items(60), False, reuse_within="destination", filename_pattern="{key}.{ext}")
    assert finish(airflow, task).state == "success"
    assert airflow.xcom(task)["counts"]["reused"] == 60
    assert not [entry for entry in emulator_server.emulator.request_log if entry.route == "create"]


def landed(s3_server: S3Server, bucket: str, count: int) -> None:
    """What a campaign has left in the bucket: written by hand, since buying it takes its time."""
    from airflow_provider_runflow.landing import manifest
    from airflow_provider_runflow.landing.job import Landed
    from airflow_provider_runflow.outcomes import Outcome as Ended
    from airflow_provider_runflow.runs.identity import Request, TaskIdentity, make_scope
    from airflow_provider_runflow.stores import open_store

    client, data = s3_server.client, b"a picture"
    sha256 = hashlib.sha256(data).hexdigest()
    rows = []
    for item in items(count):
        key = f"heroes/{item['key']}.png"
        client.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"sha256": sha256})
        wire = {"prompt": item["prompt"], "quality": "low", "num_images": 1, "output_format": "png"}
        request = Request("openai/gpt-image-2", wire)
        scope = make_scope(
            "destination",
            namespace="",
            task=TaskIdentity("campaign", "heroes", "monday"),
            item_key=item["key"],
            destination=f"s3://{bucket}/heroes",
        )
        image = Landed(0, f"s3://{bucket}/{key}", "", "image/png", 64, 64, len(data), sha256)
        rows.append(
            manifest.ManifestRow(
                key=item["key"],
                outcome=Ended.SUCCEEDED,
                input=wire,
                runflow_run_id=f"run-{item['key']}",
                client_ref=scope.client_ref,
                fingerprint=request.fingerprint,
                images=(image,),
            )
        )
    manifest.write_rows(open_store(f"s3://{bucket}/heroes"), manifest.ROWS, rows)


def test_one_reference_serves_all_items_and_is_uploaded_once(
    airflow: Airflow, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, deferrable: bool
) -> None:
    from PIL import Image

    drawn = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(drawn, "PNG")
    s3_server.client.put_object(Bucket=bucket, Key="shots/cup.png", Body=drawn.getvalue())
    with in_dag():
        task = GptImage2EditBatchOperator(
            task_id="edits",
            requests=items(16),
            references="s3://brand-assets/shots/cup.png",
            quality="low",
            destination="s3://brand-assets/edits",
            max_in_flight=16,
            poll_interval=0.3,
            deferrable=deferrable,
        )
    assert finish(airflow, task).state == "success"
    uploads = [entry for entry in emulator_server.emulator.request_log if entry.route == "asset_upload"]
    assert (len(uploads), len(billed(emulator_server))) == (1, 16)


def test_a_dag_maps_a_task_over_what_a_batch_landed(
    airflow_db: None, emulator_server: EmulatorServer, s3_server: S3Server, bucket: str, deferrable: bool
) -> None:
    from airflow.sdk import task

    s3_server.client.put_object(
        Bucket=bucket, Key="briefs/items.jsonl", Body="\n".join(map(json.dumps, items(4))).encode()
    )
    with in_dag(f"batch_and_map_{deferrable}") as dag:

        @task
        def pictures(manifest_uri: str) -> list[str]:
            return [uri for row in read_manifest(manifest_uri) for uri in row.uris]

        @task
        def publish(uri: str) -> None:
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook

            S3Hook().get_conn().put_object(Bucket="brand-assets", Key=f"published/{uri.rpartition('/')[2]}", Body=b"x")

        made = batch("s3://brand-assets/briefs/items.jsonl", deferrable)
        publish.expand(uri=pictures(made.output["manifest_uri"]))
    assert register(dag).test().state == "success"
    assert len(s3_server.keys(bucket, "published/")) == len(billed(emulator_server)) == 4


def test_a_manifest_is_read_through_a_connection_of_ones_own(
    airflow: Airflow, s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed(s3_server, bucket, 2)
    monkeypatch.setenv("AIRFLOW_CONN_BRAND", s3_server.connection_json)
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    with airflow.supervised():
        assert len(read_manifest(f"s3://{bucket}/heroes/manifest.jsonl", "brand")) == 2
        assert len(read_manifest(f"s3://brand@{bucket}/heroes/manifest.jsonl")) == 2
        with pytest.raises(DestinationError, match="there is no such manifest"):
            read_manifest(f"s3://{bucket}/elsewhere/manifest.jsonl", "brand")
