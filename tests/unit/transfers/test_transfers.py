# SPDX-License-Identifier: Apache-2.0
"""The transfers: a run bought elsewhere lands as one's own would, as often as one likes, for nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from airflow_provider_runflow.compat import AirflowFailException
from airflow_provider_runflow.exceptions import InvalidRequestError, LandingError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RunflowRunLink
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.testing import RunflowEmulator
from airflow_provider_runflow.transfers.runflow_to_object_storage import RunflowToObjectStorageOperator
from airflow_provider_runflow.transfers.runflow_to_s3 import RunflowToS3Operator
from tests.harness import Airflow, Outcome, in_dag


@dataclass
class World:
    """One transfer's whole world."""

    folder: Path
    airflow: Airflow
    runflow: RunflowEmulator

    def bought(self, *, wait: float = 600, **changes: Any) -> str:
        """Submit a run, as another task would, and let it end; give its id."""
        model_input = {"prompt": "a cat", "quality": "low", **changes}
        run_id = RunflowHook().create_run("openai/gpt-image-2", model_input, client_ref="by-hand").id
        self.runflow.advance(wait)
        return run_id

    def transfer(self, run_id: str, **changes: Any) -> RunflowToObjectStorageOperator:
        facts = {"task_id": "land", "runflow_run_id": run_id, "destination": str(self.folder)}
        with in_dag():
            return RunflowToObjectStorageOperator(**{**facts, **changes})

    def run(self, run_id: str, **changes: Any) -> Outcome:
        return self.airflow.run(self.transfer(run_id, **changes))

    def landed(self, run_id: str, **changes: Any) -> dict[str, Any]:
        """Land a run; give the task's return value."""
        transfer = self.transfer(run_id, **changes)
        assert self.airflow.run(transfer).state == "success"
        value: dict[str, Any] = self.airflow.xcom(transfer)
        return value

    @property
    def pictures(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.suffix == ".png"}

    def sidecar(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return told

    def requests(self, route: str) -> int:
        return dict(self.runflow.ledger["requests"])[route]


@pytest.fixture
def world(tmp_path: Path, airflow: Airflow, runflow_emulator: RunflowEmulator) -> World:
    runflow_emulator.configure(picture_size=(16, 16))
    return World(tmp_path / "out", airflow, runflow_emulator)


class TestLanding:
    def test_the_untouched_bytes_land_under_the_runs_id_and_the_return_value_is_an_operators(
        self, world: World
    ) -> None:
        run_id = world.bought(num_images=2)
        result = world.landed(run_id, model="openai/gpt-image-2")
        assert world.pictures == {
            f"{run_id}-{index}.png": world.runflow.emulator.picture(run_id, index) for index in (0, 1)
        }
        assert result["images"][0].keys() == {
            *("index", "uri", "content_type", "width", "height", "size_bytes", "sha256"),
        }
        assert {**result, "images": len(result["images"]), "duration_ms": None} == {
            "schema_version": 1,
            "run_id": run_id,
            "model": "openai/gpt-image-2",
            "status": "succeeded",
            "cost_usd": "0.018000",
            "duration_ms": None,
            "client_ref": "by-hand",
            "images": 2,
        }
        assert len(world.runflow.billed) == len(world.runflow.runs) == 1

    def test_landing_it_twice_is_a_no_op_with_the_same_result(self, world: World) -> None:
        run_id = world.bought(num_images=2)
        first = world.landed(run_id)
        before = {path: path.stat().st_mtime_ns for path in world.folder.iterdir()}
        assert world.landed(run_id, task_id="another_task") == first
        assert {path: path.stat().st_mtime_ns for path in world.folder.iterdir()} == before
        assert world.requests("GET output") == 2

    def test_so_it_is_without_sidecars_though_the_bytes_must_be_compared(self, world: World) -> None:
        run_id = world.bought()
        first = world.landed(run_id, sidecars=None)
        assert world.landed(run_id, sidecars=None) == first
        assert [path.name for path in world.folder.iterdir()] == [f"{run_id}-0.png"]

    def test_a_picture_that_was_deleted_lands_again(self, world: World) -> None:
        run_id = world.bought()
        first = world.landed(run_id)
        (world.folder / f"{run_id}-0.png").unlink()
        assert world.landed(run_id) == first
        assert world.pictures.keys() == {f"{run_id}-0.png"}

    def test_partly_delivered_lands_what_there_is(self, world: World) -> None:
        world.runflow.add_fault(route="create", outcome="partial", images=1)
        result = world.landed(world.bought(num_images=3))
        assert (result["status"], len(result["images"])) == ("partial_succeeded", 1)

    def test_a_url_that_expired_is_read_again(self, world: World) -> None:
        world.runflow.configure(url_ttl=60)
        world.runflow.add_fault(route="output", effect="latency", seconds=3600, times=1)
        world.landed(world.bought())

    def test_a_mapped_transfer_lands_each_run(self, world: World) -> None:
        ids = [world.bought(), world.bought()]
        with in_dag():
            mapped = RunflowToObjectStorageOperator.partial(task_id="land", destination=str(world.folder)).expand(
                runflow_run_id=ids
            )
        for index in (0, 1):
            assert world.airflow.run(mapped, map_index=index).state == "success"
        assert sorted(world.pictures) == sorted(f"{run_id}-0.png" for run_id in ids)


class TestDerivatives:
    BANNER: ClassVar[dict[str, Any]] = {"name": "banner", "width": 60, "height": 20, "format": "jpeg"}
    TIGHT: ClassVar[dict[str, Any]] = {"name": "tight", "width": 3000, "height": 3000, "max_bytes": 1024}

    def test_each_picture_has_its_own_beside_it(self, world: World) -> None:
        result = world.landed(world.bought(num_images=2), derivatives=[self.BANNER])
        names = sorted(path.name for path in world.folder.glob("*.banner.jpg"))
        assert names == sorted(image["derivatives"][0]["uri"].rpartition("/")[2] for image in result["images"])

    def test_a_size_that_is_asked_for_later_is_made_of_what_is_landed(self, world: World) -> None:
        run_id = world.bought()
        plain = world.landed(run_id)
        result = world.landed(run_id, derivatives=[self.BANNER])
        assert world.sidecar(f"{run_id}-0.png")["image"] == result["images"][0]
        assert {**result["images"][0], "derivatives": None} == {**plain["images"][0], "derivatives": None}
        assert world.requests("GET output") == 1
        assert world.landed(run_id, derivatives=[self.BANNER]) == result

    def test_one_that_cannot_be_made_fails_the_task_after_the_master_is_landed(self, world: World) -> None:
        run_id = world.bought()
        for _ in range(2):
            outcome = world.run(run_id, derivatives=[self.TIGHT, self.BANNER], retries=3)
            assert isinstance(outcome.error, AirflowFailException)
            assert f"All 1 pictures of Runflow run {run_id} are landed, but 1 of " in str(outcome.error)
            assert "tight is " in str(outcome.error)
            (image,) = world.airflow.xcom(outcome.attempt.task)["images"]
            assert [each["name"] for each in image["derivatives"]] == ["banner"]

    def test_a_wrong_one_is_an_error_of_the_dag_file(self, world: World) -> None:
        with pytest.raises(InvalidRequestError, match=r"derivatives\[0\]: preset='storys'"):
            world.transfer("any", derivatives=["storys"])


class TestTheSidecar:
    def test_says_what_runflow_shows_and_null_for_what_nobody_knows(self, world: World) -> None:
        run_id = world.bought(prompt="a cat, as on https://x.test/cat?token=s3cret")
        world.landed(run_id)
        told = world.sidecar(f"{run_id}-0.png")
        schema = resources.files("airflow_provider_runflow.landing") / "schemas" / "sidecar.v1.json"
        jsonschema.validate(told, json.loads(schema.read_text()))
        assert told["model"] is None
        assert told["prompt"] == told["input"]["prompt"] == "a cat, as on https://x.test/cat"
        assert told["runflow_run_id"] == run_id
        assert told["request"] == {
            "client_ref": "by-hand",
            "item_key": "",
            "fingerprint": None,
            "fingerprint_version": None,
            "ordinal": None,
            "variation": None,
        }
        assert told["airflow"]["task_id"] == "land"
        assert "s3cret" not in json.dumps(told)

    def test_references_that_runflow_signs_anew_at_each_read_lose_their_query(self, world: World) -> None:
        run_id = world.bought()
        world.runflow.emulator.state.runs[run_id].input["image_urls"] = ["https://r2.test/in.png?X-Amz-Signature=abc"]
        world.landed(run_id)
        assert world.sidecar(f"{run_id}-0.png")["input"]["image_urls"] == ["https://r2.test/in.png"]

    def test_of_a_run_that_an_operator_bought_it_tells_the_request(self, world: World) -> None:
        with in_dag():
            buys = GptImage2Operator(
                task_id="buy", prompt="a dog", quality="low", variation="2", wait_for_completion=False
            )
        assert world.airflow.run(buys).state == "success"
        bought = world.airflow.xcom(buys)
        world.runflow.advance(600)
        world.landed(bought["run_id"], model=bought["model"])
        told = world.sidecar(f"{bought['run_id']}-0.png")
        assert told["model"] == "openai/gpt-image-2"
        assert told["request"]["client_ref"] == bought["client_ref"]
        assert len(told["request"]["fingerprint"]) == 64
        assert (told["request"]["ordinal"], told["request"]["fingerprint_version"]) == (0, 1)

    def test_one_that_the_buyer_wrote_is_left_as_it_is(self, world: World) -> None:
        pattern = "{runflow_run_id}-{index}.{ext}"
        with in_dag():
            buys = GptImage2Operator(
                task_id="buy", prompt="a dog", destination=str(world.folder), filename_pattern=pattern
            )
        assert world.airflow.finish(buys).state == "success"
        run_id = world.airflow.xcom(buys, "run_id")
        before = world.sidecar(f"{run_id}-0.png")
        world.landed(run_id)
        assert world.sidecar(f"{run_id}-0.png") == before

    def test_metadata_that_only_looks_like_ours_breaks_nothing(self, world: World) -> None:
        strange = {"airflow": {"fingerprint": 7, "item_key": ["x"], "ordinal": True, "fingerprint_version": "1"}}
        run_id = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat"}, metadata=strange).id
        world.runflow.advance(600)
        world.landed(run_id)
        assert world.sidecar(f"{run_id}-0.png")["request"]["ordinal"] is None


class TestARunThatIsNotThere:
    @pytest.mark.parametrize("wait", [0, 3])
    def test_one_that_goes_on_is_retried_and_the_error_names_the_sensor(self, world: World, wait: float) -> None:
        run_id = world.bought(wait=wait)
        outcome = world.run(run_id, retries=1)
        assert outcome.state == "up_for_retry"
        assert type(outcome.error) is LandingError
        for part in (f"Runflow run {run_id} is still", "Put a RunCompletionSensor before this task", "for $0"):
            assert part in str(outcome.error)
        world.runflow.advance(600)
        assert world.airflow.retry(outcome).state == "success"

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            ("failed", "Failed runs are not billed"),
            ("blocked", "CONTENT_POLICY_VIOLATION"),
            ("cancelled", "Cancelling does not refund (Runflow billed $0.009000)"),
        ],
    )
    def test_one_that_did_not_deliver_fails_at_once_with_its_money(self, world: World, outcome: str, said: str) -> None:
        world.runflow.add_fault(route="create", outcome=outcome)
        ended = world.run(world.bought(), retries=3)
        assert (ended.state, type(ended.error)) == ("failed", AirflowFailException)
        assert said in str(ended.error)
        assert "This task buys nothing" in str(ended.error)

    def test_one_that_nobody_knows_says_what_to_check(self, world: World) -> None:
        ended = world.run("r-unknown", retries=3)
        assert ended.state == "failed"
        assert "Runflow run r-unknown cannot be read: Connection 'runflow_default': HTTP 404 RUN_NOT_FOUND" in str(
            ended.error
        )
        assert "Correct the run id or the connection, then clear the task; it buys nothing." in str(ended.error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_that_may_not_read_it_says_what_to_correct(self, world: World, status: int) -> None:
        run_id = world.bought()
        world.runflow.add_fault(route="get", effect="status", status=status)
        ended = world.run(run_id, retries=3)
        assert ended.state == "failed"
        assert f"HTTP {status}" in str(ended.error)

    def test_an_api_that_is_down_is_retried(self, world: World) -> None:
        run_id = world.bought()
        world.runflow.add_fault(route="get", effect="status", status=503, times=5)
        ended = world.run(run_id, retries=1)
        assert ended.state == "up_for_retry"
        assert world.airflow.retry(ended).state == "success"

    def test_one_that_lists_no_pictures_is_retried(self, world: World) -> None:
        world.runflow.add_fault(route="create", outcome="partial", images=0)
        ended = world.run(world.bought(), retries=1)
        assert ended.state == "up_for_retry"
        assert "lists no pictures" in str(ended.error)


class TestTroubleOnTheWay:
    def test_what_landed_is_shown_though_the_task_fails_and_a_retry_lands_the_rest_for_nothing(
        self, world: World
    ) -> None:
        run_id = world.bought(num_images=2)
        world.runflow.add_fault(route="output", effect="status", status=500, after=1)
        transfer = world.transfer(run_id, retries=1)
        outcome = world.airflow.run(transfer)
        assert outcome.state == "up_for_retry"
        assert "for $0" in str(outcome.error)
        assert [image["index"] for image in world.airflow.xcom(transfer, "images")] == [0]
        world.runflow.emulator.clear_faults()
        assert world.airflow.retry(outcome).state == "success"
        assert len(world.airflow.xcom(transfer)["images"]) == 2
        assert len(world.runflow.billed) == 1

    def test_a_destination_that_cannot_be_used_says_that_the_run_is_paid(self, world: World) -> None:
        run_id = world.bought()
        world.folder.write_text("a file where a folder should be")
        outcome = world.run(run_id, retries=1)
        assert outcome.state == "up_for_retry"
        assert f"Runflow run {run_id} was submitted before and is billed if it succeeds" in str(outcome.error)
        assert "Nothing was submitted" not in str(outcome.error)

    def test_a_name_that_another_picture_has_gives_a_suffixed_one(self, world: World) -> None:
        first, second = world.bought(), world.bought()
        world.landed(first, filename_pattern="hero.{ext}")
        result = world.landed(second, filename_pattern="hero.{ext}")
        assert result["images"][0]["uri"].rpartition("/")[2].startswith("hero-")
        assert world.landed(second, filename_pattern="hero.{ext}") == result
        assert len(world.pictures) == 2

    def test_replace_overwrites_it(self, world: World) -> None:
        first, second = world.bought(), world.bought()
        world.landed(first, filename_pattern="hero.{ext}")
        world.landed(second, filename_pattern="hero.{ext}", replace=True)
        assert world.pictures == {"hero.png": world.runflow.emulator.picture(second)}
        assert world.sidecar("hero.png")["runflow_run_id"] == second

    def test_a_pattern_without_an_index_is_refused_for_several_pictures(self, world: World) -> None:
        ended = world.run(world.bought(num_images=2), filename_pattern="hero.{ext}")
        assert ended.state == "failed"
        assert "put {index} in it" in str(ended.error)
        assert "Nothing was submitted" not in str(ended.error)


class TestParameters:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "s3_prefix=None, s3_key=None: give one of the two"),
            ({"s3_prefix": "a", "s3_key": "b"}, "give one of the two"),
            ({"s3_prefix": "{{ ds }}", "s3_key": "b"}, "give one of the two"),
            ({"s3_key": "a/"}, "s3_key='a/': must name an object"),
            ({"s3_key": "/a.png"}, "s3_key='/a.png': must name an object"),
            ({"s3_key": "{index}.png"}, "without braces"),
            ({"s3_key": "a.png", "filename_pattern": "{index}.png"}, "the key is the whole name already"),
            ({"s3_prefix": "a//b"}, "empty"),
            ({"s3_prefix": "a", "filename_pattern": "{nonsense.x}"}, "is no placeholder"),
            ({"s3_prefix": "a", "s3_bucket": "s3://b"}, "s3_bucket='s3://b': must be the bare name"),
            ({"s3_prefix": "a", "s3_bucket": "conn@b"}, "must be the bare name"),
            ({"s3_prefix": "a", "runflow_run_id": " "}, "runflow_run_id=' ': must be the id"),
            ({"s3_prefix": "a", "sidecars": "https://x"}, "is not in an object store"),
        ],
    )
    def test_a_wrong_literal_fails_when_the_dag_is_parsed(self, given: dict[str, Any], said: str) -> None:
        facts = {"task_id": "land", "runflow_run_id": "{{ run }}", "s3_bucket": "b"}
        with in_dag(), pytest.raises(InvalidRequestError) as caught:
            RunflowToS3Operator(**{**facts, **given})
        assert said in str(caught.value)

    @pytest.mark.parametrize("destination", ["", "no/scheme", "https://x/y", "s3://"])
    def test_a_destination_is_checked_then_too_though_the_run_is_another_tasks_output(self, destination: str) -> None:
        with in_dag(), pytest.raises(InvalidRequestError, match="destination"):
            RunflowToObjectStorageOperator(task_id="land", runflow_run_id="{{ run }}", destination=destination)

    @pytest.mark.parametrize(
        ("given", "place"),
        [
            ({"s3_prefix": ""}, ("s3://b/", "{runflow_run_id}-{index}.{ext}")),
            ({"s3_prefix": "/a/b/"}, ("s3://b/a/b", "{runflow_run_id}-{index}.{ext}")),
            ({"s3_prefix": "a", "filename_pattern": "{index}.{ext}"}, ("s3://b/a", "{index}.{ext}")),
            ({"s3_key": "site/hero.png"}, ("s3://b/site", "hero.png")),
            ({"s3_key": "hero"}, ("s3://b/", "hero")),
        ],
    )
    def test_prefix_and_key_name_the_place(self, given: dict[str, Any], place: tuple[str, str]) -> None:
        with in_dag():
            transfer = RunflowToS3Operator(task_id="land", runflow_run_id="r", s3_bucket="b", **given)
        assert transfer.place() == place

    def test_a_template_that_renders_wrong_fails_before_anything_is_read(self, world: World) -> None:
        ended = world.run("{{ '' }}", retries=2)
        assert ended.state == "failed"
        assert "runflow_run_id='': must be the id" in str(ended.error)
        assert world.requests("GET run") == 0

    def test_arguments_for_s3_are_refused_elsewhere(self, world: World) -> None:
        ended = world.run(world.bought(), encrypt=True)
        assert ended.state == "failed"
        assert "encrypt: for S3 only" in str(ended.error)


def test_the_button_opens_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(world.runflow.connection)
    connection["extra"] = {"run_url_template": "https://app.example/runs/{run_id}"}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    run_id = world.bought()
    transfer = world.transfer(run_id)
    world.airflow.run(transfer)
    assert world.airflow.xcom(transfer, RunflowRunLink().xcom_key) == f"https://app.example/runs/{run_id}"


def test_no_presigned_url_and_no_key_reaches_messages_or_xcoms(
    world: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world.runflow.add_fault(route="output", effect="status", status=500, times=3)
    world.landed(world.bought())
    captured = capsys.readouterr()
    kept = [message for message in world.airflow.messages if type(message).__name__ != "MaskSecret"]
    said = captured.out + captured.err + caplog.text + str(kept)
    assert "X-Amz-Signature" not in said
    assert json.loads(world.runflow.connection)["password"] not in said
