# SPDX-License-Identifier: Apache-2.0
"""The other example DAGs with real Airflow processes, each started by its own schedule."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from scripts.airflow_api import Json
from scripts.stack import AirflowStack
from scripts.waiting import wait_for
from tests.servers import S3Server

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
BUCKET = "brand-assets"
EXAMPLES = ("weekly_hero_image", "publish_on_asset", "submit_and_sense", "edit_product_shots")


@pytest.fixture
def s3() -> Iterator[S3Server]:
    server = S3Server.start()
    server.bucket(BUCKET)
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(drawn, "PNG")
    for product in ("kettle", "cup"):  # there is no photograph of the grinder
        server.client.put_object(Bucket=BUCKET, Key=f"shots/{product}.png", Body=drawn.getvalue())
    yield server
    server.stop()


def first_run(stack: AirflowStack, dag_id: str) -> Json:
    """The run that the schedule, or an asset, has started; once it has ended."""

    def ended() -> Json | None:
        stack.check()
        runs: list[Json] = stack.api.get(f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return next((run for run in runs if run["state"] in ("success", "failed")), None)

    return wait_for(ended, seconds=600, what=f"a run of {dag_id} has ended", every=0.5)


def test_they_run_by_themselves_and_pay_for_each_picture_once(s3: S3Server, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    for name in EXAMPLES:
        shutil.copy(REPOSITORY / "dags" / f"{name}.py", dags)
    with EmulatorServer(Emulator(EmulatorConfig(time_scale=4))) as emulator:
        env = {
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": emulator.connection_json(),
            "RUNFLOW_EXAMPLE_DESTINATION": f"s3://{BUCKET}",
            "RUNFLOW_EXAMPLE_QUALITY": "low",
        }
        with AirflowStack(tmp_path / "airflow", {"examples": dags}, env=env) as stack:
            stack.api.wait_for_dags(list(EXAMPLES))
            runs = {name: first_run(stack, name) for name in EXAMPLES}
            tasks = {name: stack.api.task_instances(name, run["dag_run_id"]) for name, run in runs.items()}
            bad = [t for found in tasks.values() for t in found if t["state"] not in ("success", "skipped")]
            assert bad == [], [stack.api.error_of(task) for task in bad]
            assert {name: run["state"] for name, run in runs.items()} == dict.fromkeys(EXAMPLES, "success")
            billed = emulator.emulator.ledger(emulator.clock.now())["billed"]
            assert len(billed) == 4  # the hero, the banner, two edited shots
            assert len(s3.keys(BUCKET, "banners/")) == 2  # a picture and its sidecar
            assert len(s3.keys(BUCKET, "edited/")) == 4
            states = sorted(task["state"] for task in tasks["edit_product_shots"] if task["task_id"] == "shot")
            assert states == ["skipped", "success", "success"]
            (published,) = tasks["publish_on_asset"]
            (hero,) = stack.api.xcom(tasks["weekly_hero_image"][0])["images"]
            assert stack.api.xcom(published) == [hero["uri"]]
