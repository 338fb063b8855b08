# SPDX-License-Identifier: Apache-2.0
"""The demo's path with real Airflow processes: DAG files in, paid-for pictures in a bucket out."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagesize
import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from scripts.airflow_api import AirflowApi, Json
from scripts.leak_check import PRESIGNED, find_leaks
from scripts.stack import AirflowStack
from tests.servers import S3Server

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
BUCKET = "brand-assets"
KEY = "rf_live_only_for_the_end_to_end_test"
DAGS = ("weekly_hero_image", "mapped", "second_try")
FAULTS = [
    {"route": "create", "prompt_contains": "a storm", "outcome": "failed", "times": 1},
    {"route": "output", "prompt_contains": "a lighthouse", "effect": "status", "status": 503, "times": 5},
]


@dataclass(frozen=True)
class World:
    """What ran, and everything it can be asked."""

    stack: AirflowStack
    emulator: EmulatorServer
    s3: S3Server
    runs: dict[str, str]
    states: dict[str, str]

    @property
    def api(self) -> AirflowApi:
        return self.stack.api

    def tasks(self, dag_id: str) -> list[Json]:
        return self.api.task_instances(dag_id, self.runs[dag_id])

    def task(self, dag_id: str, task_id: str) -> Json:
        return next(task for task in self.tasks(dag_id) if task["task_id"] == task_id)

    def results(self) -> list[Json]:
        return [self.api.xcom(task) for dag_id in DAGS for task in self.tasks(dag_id)]

    def explain(self) -> str:
        """For a failed assertion: the last error of every task that did not succeed."""
        bad = [task for dag_id in DAGS for task in self.tasks(dag_id) if task["state"] != "success"]
        return "\n".join(f"{task['task_id']} {task['state']}: {self.api.error_of(task)}" for task in bad)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server.start()
    server.bucket(BUCKET)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    config = EmulatorConfig(time_scale=2.0, api_keys=(KEY,))
    with EmulatorServer(Emulator(config, faults=FAULTS)) as server:
        yield server


@pytest.fixture(scope="module")
def world(s3: S3Server, emulator: EmulatorServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three DAG runs at once, to their end."""
    home = tmp_path_factory.mktemp("airflow")
    print(f"Airflow's home, with all logs: {home}")
    env = {
        "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
        "AIRFLOW_CONN_RUNFLOW_DEFAULT": emulator.connection_json(KEY),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "RUNFLOW_EXAMPLE_DESTINATION": f"s3://{BUCKET}",
        "RUNFLOW_EXAMPLE_QUALITY": "low",
    }
    bundles = {"examples": REPOSITORY / "dags", "tests": Path(__file__).parent / "dags"}
    with AirflowStack(home, bundles, env=env) as stack:
        stack.api.wait_for_dags(list(DAGS))
        runs = {dag_id: stack.api.trigger(dag_id) for dag_id in DAGS}
        states = {dag_id: stack.api.wait_for_run(dag_id, run_id, watch=stack.check) for dag_id, run_id in runs.items()}
        yield World(stack, emulator, s3, runs, states)


def test_every_dag_run_succeeds(world: World) -> None:
    assert world.states == dict.fromkeys(DAGS, "success"), world.explain()


def test_the_objects_in_the_bucket_are_what_the_tasks_returned(world: World) -> None:
    images = [image for result in world.results() for image in result["images"]]
    assert len(images) == 6
    for image in images:
        bucket, _, key = image["uri"].removeprefix("s3://").partition("/")
        content, head = world.s3.read(bucket, key), world.s3.head(bucket, key)
        assert bucket == BUCKET
        assert len(content) == image["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == image["sha256"]
        assert imagesize.get(io.BytesIO(content)) == (image["width"], image["height"])
        assert head["ContentType"] == image["content_type"]


@pytest.mark.parametrize(
    ("dag_id", "expected"),
    [
        ("weekly_hero_image", [(1024, 576, "image/png")]),
        ("mapped", [(1024, 1024, "image/webp")] * 3),
        ("second_try", [(1024, 1024, "image/jpeg"), (1024, 1024, "image/png")]),
    ],
)
def test_pictures_have_the_size_and_type_that_the_dag_asked_for(
    world: World, dag_id: str, expected: list[tuple[int, int, str]]
) -> None:
    images = [image for task in world.tasks(dag_id) for image in world.api.xcom(task)["images"]]
    assert [(image["width"], image["height"], image["content_type"]) for image in images] == expected


def test_every_picture_has_a_sidecar_beside_it(world: World) -> None:
    for result in world.results():
        for image in result["images"]:
            key = image["uri"].removeprefix(f"s3://{BUCKET}/")
            sidecar = json.loads(world.s3.read(BUCKET, f"{key}.json"))
            assert sidecar["image"]["sha256"] == image["sha256"]
            assert sidecar["runflow_run_id"] == result["run_id"]


def test_a_failed_run_is_tried_again_and_only_the_second_is_billed(world: World) -> None:
    task = world.task("second_try", "storm")
    assert task["try_number"] >= 2, world.explain()  # Airflow (3.3.2) itself fails a try where its scheduler is slow
    assert _bills(world, "storm") == [world.api.xcom(task)["run_id"]]


def test_a_retry_after_failed_downloads_attaches_to_the_paid_run(world: World) -> None:
    task = world.task("second_try", "lighthouse")
    assert task["try_number"] >= 2, world.explain()
    assert _bills(world, "lighthouse") == [world.api.xcom(task)["run_id"]]


def test_each_picture_is_billed_once_and_the_tasks_know_what_it_cost(world: World) -> None:
    ledger = _ledger(world)
    assert sorted(bill["run_id"] for bill in ledger["billed"]) == sorted(r["run_id"] for r in world.results())
    assert len({bill["idempotency_key"] for bill in ledger["billed"]}) == 6
    assert {float(result["cost_usd"]) for result in world.results()} == {0.009}


def test_neither_the_key_nor_a_presigned_url_is_in_airflows_home_or_the_bucket(world: World, tmp_path: Path) -> None:
    for key in world.s3.keys(BUCKET):
        (tmp_path / hashlib.sha256(key.encode()).hexdigest()).write_bytes(world.s3.read(BUCKET, key))
    assert find_leaks([world.stack.home, tmp_path], {"the key": KEY, "a presigned URL": PRESIGNED}) == []


def test_the_search_for_secrets_finds_one_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"GET /x?{PRESIGNED}=abc")
    (tmp_path / "db").write_bytes(b"\0" + KEY.encode() + b"\0")
    assert len(find_leaks([tmp_path], {"the key": KEY, "a presigned URL": PRESIGNED})) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("connections", "test", "runflow_default"), "success"),
        (("providers", "get", "airflow-provider-runflow"), "airflow-provider-runflow"),
    ],
)
def test_the_command_line_of_airflow_knows_the_provider(world: World, arguments: tuple[str, ...], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=world.stack.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout.lower()
    assert KEY not in done.stdout + done.stderr


def _ledger(world: World) -> dict[str, Any]:
    return world.emulator.emulator.ledger(world.emulator.clock.now())  # type: ignore[return-value]


def _bills(world: World, task_id: str) -> list[str]:
    """The billed runs of a task, found by its scope: every run of a task has the same client_ref."""
    wanted = world.api.xcom(world.task("second_try", task_id))["client_ref"]
    return [bill["run_id"] for bill in _ledger(world)["billed"] if bill["client_ref"] == wanted]
