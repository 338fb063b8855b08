# SPDX-License-Identifier: Apache-2.0
"""What the demo runs beside Airflow comes up, does its work, and goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.demo_services import Emulator, LocalS3
from scripts.processes import stop

pytestmark = pytest.mark.integration


@pytest.fixture
def local_s3(tmp_path: Path) -> Iterator[LocalS3]:
    (tmp_path / "s3" / "brand-assets").mkdir(parents=True)
    server = LocalS3.start(tmp_path / "s3", tmp_path / "rclone.log")
    yield server
    stop([server.program])


def test_an_object_of_the_local_s3_is_a_file_that_can_be_looked_at(local_s3: LocalS3) -> None:
    connection = json.loads(local_s3.connection(local_s3.wait()))
    extra = connection["extra"]
    client = boto3.client(
        "s3",
        endpoint_url=extra["endpoint_url"],
        region_name=extra["region_name"],
        aws_access_key_id=connection["login"],
        aws_secret_access_key=connection["password"],
        config=Config(**extra["config_kwargs"]),
    )
    client.put_object(Bucket="brand-assets", Key="heroes/a.png", Body=b"picture", ContentType="image/png")
    assert (local_s3.root / "brand-assets" / "heroes" / "a.png").read_bytes() == b"picture"
    assert client.get_object(Bucket="brand-assets", Key="heroes/a.png", Range="bytes=0-2")["Body"].read() == b"pic"


def test_the_local_s3_refuses_whoever_has_not_its_key(local_s3: LocalS3) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=local_s3.wait(),
        region_name="us-east-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="else",
        config=Config(s3={"addressing_style": "path"}),
    )
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|AccessDenied|403"):
        client.list_objects_v2(Bucket="brand-assets")


def test_the_emulator_takes_its_own_key_only_and_obeys_the_rule(tmp_path: Path) -> None:
    rule = {"route": "create", "prompt_contains": "knife", "outcome": "blocked"}
    emulator = Emulator.start(tmp_path, [rule])
    try:
        url = emulator.wait()
        assert httpx.get(f"{url}/v1/runs", headers={"Authorization": "Bearer rf_live_other"}).status_code == 401
        assert httpx.get(f"{url}/v1/runs", headers={"Authorization": f"Bearer {emulator.key}"}).status_code == 200
        assert httpx.get(f"{url}/_emulator/faults").json()["faults"][0]["outcome"] == "blocked"
        assert emulator.ledger()["totals"]["billed_runs"] == 0
    finally:
        stop([emulator.program])
    assert not emulator.program.running
