# SPDX-License-Identifier: Apache-2.0
"""Private files as references: hashed, uploaded right before the run is bought, on record before the POST."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from airflow_provider_runflow.emulator import routes
from airflow_provider_runflow.emulator.transport import EmulatorTransport
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.operators import references
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditBatchOperator, GptImage2EditOperator
from tests.harness import HAS_TASK_STATE_STORE, Outcome
from tests.unit.operators.conftest import World
from tests.unit.stores.fakes import BucketFileSystem, buckets

needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")


def picture(color: str = "red") -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (32, 32), color).save(drawn, "PNG")
    return drawn.getvalue()


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a worker's disk that operators may read."""
    folder = tmp_path / "shots"
    folder.mkdir()
    (folder / "cup.png").write_bytes(picture())
    monkeypatch.setenv("AIRFLOW__RUNFLOW__ALLOWED_LOCAL_PATHS", f"/nowhere, {folder}")
    return folder


def edit(world: World, *files: str | Path, **changes: Any) -> GptImage2EditOperator:
    addresses = [file if isinstance(file, str) else f"file://{file}" for file in files]
    return world.operator_of(GptImage2EditOperator, prompt="on marble", references=addresses, **changes)


def uploads(world: World) -> int:
    return sum(1 for entry in world.emulator.request_log if entry.route == "asset_upload")


def sent(world: World) -> list[str]:
    references: list[str] = world.emulator.runs[-1].input["image_urls"]
    return references


def again(world: World, outcome: Outcome, task: Any) -> Outcome:
    attempt = outcome.attempt
    return world.run(task, try_number=attempt.try_number + 1, max_tries=attempt.max_tries)


class Killed(BaseException):
    """The worker is gone, as after kill -9: nothing may catch it and go on."""


class DeadlyTransport(EmulatorTransport):
    """The way to Runflow, on which the worker dies once: right before or after a call took effect."""

    def __init__(self, world: World, moment: str) -> None:
        super().__init__(world.emulator, world.clock)
        self._moment: str | None = moment

    def _respond(self, request: httpx.Request, body: bytes) -> Any:
        route = routes.match(request.method, request.url.path).name
        self._pass(f"before {route}")
        response = super()._respond(request, body)
        self._pass(f"after {route}")
        return response

    def _pass(self, moment: str) -> None:
        if moment == self._moment:
            self._moment = None
            raise Killed(moment)


class TestUploading:
    def test_a_file_is_uploaded_and_its_picture_lands(self, world: World, shots: Path) -> None:
        outcome = world.run(edit(world, shots / "cup.png"))
        assert outcome.state == "success"
        assert sent(world)[0].startswith("runflow://assets/")
        assert len(world.files()) == 1

    def test_the_same_bytes_are_uploaded_once(self, world: World, shots: Path) -> None:
        (shots / "copy.png").write_bytes(picture())
        task = edit(world, shots / "cup.png", shots / "copy.png", mask=f"file://{shots}/cup.png")
        assert world.run(task).state == "success"
        assert uploads(world) == 1
        assert len(set(sent(world))) == 1

    def test_addresses_that_runflow_can_read_are_left_alone(self, world: World, shots: Path) -> None:
        world.run(edit(world, "https://shop.example/cup.jpg", shots / "cup.png"))
        assert sent(world)[0] == "https://shop.example/cup.jpg"
        assert sent(world)[1].startswith("runflow://assets/")

    def test_nothing_is_uploaded_for_what_is_paid_already(self, world: World, shots: Path) -> None:
        first = world.run(edit(world, shots / "cup.png"))
        assert again(world, first, edit(world, shots / "cup.png")).state == "success"
        assert (uploads(world), world.posts) == (1, 1)

    def test_a_rendered_list_is_read(self, world: World, shots: Path) -> None:
        task = world.operator_of(
            GptImage2EditOperator,
            prompt="on marble",
            references="{{ params.files }}",
            params={"files": [f"file://{shots}/cup.png"]},
        )
        assert world.run(task).state == "success"
        assert sent(world)[0].startswith("runflow://assets/")


class TestRetries:
    @needs_a_journal
    def test_what_was_uploaded_is_on_record_before_the_post(self, world: World, shots: Path) -> None:
        world.emulator.add_fault(route="create", effect="drop_before")
        outcome = world.run(edit(world, shots / "cup.png", retries=3))
        assert outcome.state == "up_for_retry"
        kept = world.airflow.state_store(outcome.attempt.task)["runflow.intent"]
        assert [ref.startswith("runflow://assets/") for ref in kept["assets"].values()] == [True]

    def test_a_lost_reply_pays_once(self, world: World, shots: Path) -> None:
        world.emulator.add_fault(route="create", effect="drop_after", times=1)
        world.emulator.add_fault(route="list", effect="lag", seconds=60)
        assert world.run(edit(world, shots / "cup.png", retries=3)).state == "success"
        assert len(world.billed) == 1

    @needs_a_journal
    def test_after_a_crash_the_same_body_goes_under_the_same_key(self, world: World, shots: Path) -> None:
        world.emulator.add_fault(route="create", effect="drop_after", times=3)
        world.emulator.add_fault(route="list", effect="status", status=403)
        first = world.run(edit(world, shots / "cup.png", retries=3))
        assert first.state == "up_for_retry"
        assert again(world, first, edit(world, shots / "cup.png", retries=3)).state == "success"
        assert (len(world.billed), uploads(world)) == (1, 1)

    @pytest.mark.parametrize(
        ("moment", "uploaded"),
        [
            ("before asset_upload", 1),
            ("after asset_upload", 2),
            ("after asset_put", 2),
            ("after asset_confirm", 2),
            ("before create", 1 if HAS_TASK_STATE_STORE else 2),
            ("after create", 1),
        ],
    )
    def test_a_worker_that_dies_costs_another_upload_at_most(
        self, world: World, shots: Path, monkeypatch: pytest.MonkeyPatch, moment: str, uploaded: int
    ) -> None:
        monkeypatch.setattr(RunflowHook, "transport", DeadlyTransport(world, moment))
        first = world.run(edit(world, shots / "cup.png", retries=3))
        assert type(first.error) is Killed
        assert again(world, first, edit(world, shots / "cup.png", retries=3)).state == "success"
        assert (uploads(world), world.posts, len(world.billed)) == (uploaded, 1, 1)
        assert len(world.files()) == 1

    @needs_a_journal
    def test_a_file_replaced_between_tries_does_not_change_what_is_bought(self, world: World, shots: Path) -> None:
        world.emulator.configure(queue_seconds=90)
        first = world.run(edit(world, shots / "cup.png", retries=3, timeout=30))
        assert first.state == "up_for_retry"
        (shots / "cup.png").write_bytes(picture("blue"))
        assert again(world, first, edit(world, shots / "cup.png", retries=3)).state == "success"
        assert (len(world.billed), uploads(world)) == (1, 1)

    @needs_a_journal
    @pytest.mark.parametrize("way", ["retried", "cleared"])
    def test_a_file_that_is_gone_does_not_keep_a_paid_picture_from_landing(
        self, world: World, shots: Path, way: str
    ) -> None:
        world.emulator.configure(queue_seconds=40)
        first = world.run(edit(world, shots / "cup.png", retries=3, timeout=45))
        assert first.state == "up_for_retry"
        (shots / "cup.png").unlink()
        second = (
            world.clear(first) if way == "cleared" else again(world, first, edit(world, shots / "cup.png", retries=3))
        )
        assert second.state == "success"
        assert len(world.billed) == 1

    def test_after_a_clear_a_replaced_file_is_another_request(self, world: World, shots: Path) -> None:
        first = world.run(edit(world, shots / "cup.png"))
        (shots / "cup.png").write_bytes(picture("blue"))
        assert world.clear(first).state == "success"
        assert len(world.billed) == 2


class TestABucketThatIsNotOnS3:
    @pytest.fixture(params=[None, "my_google"])
    def conn_id(self, request: pytest.FixtureRequest) -> Iterator[str | None]:
        """The connection that gs:// is behind, and nothing else is; the bucket has a cup."""
        with buckets(request.param):
            BucketFileSystem().pipe_file("/brand/shots/cup.png", picture())
            yield request.param

    def test_a_file_in_it_is_uploaded_and_the_picture_lands_in_it(self, world: World, conn_id: str | None) -> None:
        at = f"{conn_id}@" if conn_id else ""
        task = edit(world, "gs://brand/shots/cup.png", references_conn_id=conn_id, destination=f"gs://{at}brand/made")
        outcome = world.run(task)
        assert outcome.state == "success"
        assert sent(world)[0].startswith("runflow://assets/")
        (image,) = world.result(outcome)["images"]
        assert image["uri"].startswith("gs://brand/made/")
        assert BucketFileSystem().size(f"/{image['uri'].removeprefix('gs://')}") == image["size_bytes"]
        assert set(BucketFileSystem.types.values()) == {"image/png"}

    def test_a_retry_finds_what_landed_in_it(self, world: World, conn_id: str | None) -> None:
        at = f"{conn_id}@" if conn_id else ""
        task = edit(world, f"gs://{at}brand/shots/cup.png", destination=f"gs://{at}brand/made")
        first = world.run(task)
        world.airflow.states.clear()
        assert world.clear(first).state == "success"
        assert (world.posts, uploads(world)) == (1, 1)

    def test_the_connection_in_the_address_wins(self, world: World) -> None:
        with buckets("my_google"):
            BucketFileSystem().pipe_file("/brand/cup.png", picture())
            task = edit(world, "gs://my_google@brand/cup.png", references_conn_id="another")
            assert world.run(task).state == "success"

    def test_a_missing_file_is_named(self, world: World, conn_id: str | None) -> None:
        outcome = world.run(edit(world, "gs://brand/mug.png", references_conn_id=conn_id))
        assert "references: gs://brand/mug.png cannot be read (FileNotFoundError" in str(outcome.error)
        assert (world.posts, uploads(world)) == (0, 0)

    def test_without_its_provider_the_pip_line_is_named(self, world: World) -> None:
        outcome = world.run(edit(world, "gs://brand/cup.png", retries=3))
        assert outcome.state == "failed"
        assert "pip install apache-airflow-providers-google gcsfs. Nothing was submitted" in str(outcome.error)


class TestWrongFiles:
    def refused(self, world: World, task: Any) -> str:
        outcome = world.run(task)
        assert outcome.state in ("failed", "up_for_retry")
        assert (world.posts, uploads(world)) == (0, 0)
        return str(outcome.error)

    def test_a_missing_file_is_named(self, world: World, shots: Path) -> None:
        said = self.refused(world, edit(world, shots / "mug.png"))
        assert f"file://{shots}/mug.png cannot be read (FileNotFoundError" in said
        assert "Nothing was submitted" in said

    def test_a_file_that_is_no_picture_is_named(self, world: World, shots: Path) -> None:
        (shots / "cup.txt").write_text("a cup")
        said = self.refused(world, edit(world, shots / "cup.txt"))
        assert "cup.txt is no PNG, JPEG, WebP or GIF file" in said

    def test_a_file_that_is_too_large_is_named(
        self, world: World, shots: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(references, "MAX_BYTES", 100)
        (shots / "cup.png").write_bytes(picture() + bytes(100))
        assert "has more than 50 MiB" in self.refused(world, edit(world, shots / "cup.png"))

    @pytest.mark.parametrize("way", ["elsewhere", "dots", "link"])
    def test_a_worker_s_disk_is_closed_but_for_what_is_allowed(
        self, world: World, shots: Path, tmp_path: Path, way: str
    ) -> None:
        secret = tmp_path / "secret.png"
        secret.write_bytes(picture())
        (shots / "link.png").symlink_to(secret)
        address = {"elsewhere": secret, "dots": f"{shots}/%2e%2e/secret.png", "link": shots / "link.png"}[way]
        said = self.refused(world, edit(world, f"file://{address}"))
        assert "outside of [runflow] allowed_local_paths" in said

    @pytest.mark.parametrize(
        ("address", "rule"),
        [
            ("s3://brand/cup.png?versionId=7", "references: 's3://brand/cup.png' has a query or a fragment"),
            ("gs://key:word@brand/cup.png", "references: 'gs://brand/cup.png' has a password in it"),
            ("gs:///cup.png", "references: 'gs:///cup.png' names no bucket"),
            ("gs://brand", "references: gs://brand names no file"),
            ("s3://brand/shots/", "references: s3://brand/shots/ names no file"),
        ],
    )
    @pytest.mark.parametrize("moment", ["parsed", "rendered"])
    def test_an_address_without_a_legal_form_is_told_the_rule(
        self, world: World, address: str, rule: str, moment: str
    ) -> None:
        if moment == "parsed":
            with pytest.raises(InvalidRequestError) as caught:
                edit(world, address)
            said = str(caught.value)
        else:
            said = self.refused(world, edit(world, "{{ params.file }}", params={"file": address}))
        assert said.startswith(rule)
        assert "Legal forms: s3://bucket/cup.jpg, gs://bucket/cup.jpg," in said

    def test_a_hash_is_no_address(self, world: World) -> None:
        with pytest.raises(ValueError, match="is no address of a picture"):
            edit(world, f"sha256:{'0' * 64}")

    def test_no_copy_stays_on_the_worker(self, world: World, shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[str] = []
        real = references.tempfile.mkdtemp
        monkeypatch.setattr(references.tempfile, "mkdtemp", lambda **k: made.append(real(**k)) or made[-1])
        world.run(edit(world, shots / "cup.png"))
        assert made
        assert [folder for folder in made if Path(folder).exists()] == []


class TestABatch:
    def batch(self, world: World, shots: Path, keys: str, **changes: Any) -> GptImage2EditBatchOperator:
        given = {"references": f"file://{shots}/cup.png", "max_in_flight": 16, "quality": "low", **changes}
        items = [{"key": key, "prompt": f"{key} on marble"} for key in keys]
        return world.operator_of(GptImage2EditBatchOperator, requests=items, **given)

    def test_uploads_the_file_that_all_items_share_once_even_with_many_threads(self, world: World, shots: Path) -> None:
        assert world.run(self.batch(world, shots, "abcdefghijklmnop")).state == "success"
        assert (uploads(world), world.posts, len(world.files())) == (1, 16, 16)
        assert len({run.input["image_urls"][0] for run in world.emulator.runs}) == 1

    def test_one_file_of_many_that_is_not_there_submits_nothing(self, world: World, shots: Path) -> None:
        task = self.batch(world, shots, "ab", retries=1)
        task.requests[1]["references"] = f"file://{shots}/gone.png"
        outcome = world.run(task)
        assert outcome.state == "up_for_retry"
        assert "gone.png cannot be read" in str(outcome.error)
        assert world.posts == 0

    @needs_a_journal
    def test_a_file_that_is_gone_by_the_retry_does_not_keep_paid_pictures_from_landing(
        self, world: World, shots: Path
    ) -> None:
        world.emulator.configure(queue_seconds=600)
        first = world.run(self.batch(world, shots, "ab", retries=1, timeout=60))
        assert first.state == "up_for_retry"
        (shots / "cup.png").unlink()
        world.clock.advance(900)
        assert world.retry(first).state == "success"
        assert (len(world.files()), world.posts, len(world.billed)) == (2, 2, 2)

    def test_leaves_no_copies_on_the_workers_disk(
        self, world: World, shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        world.run(self.batch(world, shots, "ab"))
        assert not list(tmp_path.glob("runflow-*"))
