# SPDX-License-Identifier: Apache-2.0
"""Exact channel sizes from the operators: checked before the money, made for $0, and never at a master's expense."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from PIL import Image

from airflow_provider_runflow.compat import AirflowFailException
from airflow_provider_runflow.emulator.pictures import PictureSpec
from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError, LandingError
from airflow_provider_runflow.landing.channels import CHANNELS
from airflow_provider_runflow.landing.sidecar import DIGITAL_SOURCE_TYPE
from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.stores.object_storage import ObjectStorageStore
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.landing.masters import FOREIGN, photo, source_type, with_credentials
from tests.unit.operators.conftest import World

BANNER = {"name": "banner", "width": 60, "height": 20, "format": "jpeg"}
BOX = {"name": "box", "width": 40, "height": 40, "fit": "pad"}
IMPOSSIBLE = {"name": "tight", "width": 3000, "height": 3000, "max_bytes": 1024, "format": "jpeg"}
needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")


class Signed:
    """Stands for the emulator's cache of pictures: masters with Content Credentials, a different one of each run."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)

    def get(self, spec: PictureSpec) -> bytes:
        return master(*self.size) + f"{spec.digest}".encode()


@cache
def master(width: int, height: int) -> bytes:
    """A signed JPEG; what follows its end is left alone by everybody, so a run's number can stand there."""
    return with_credentials(photo(width, height), "jpeg")


def path_of(uri: str) -> Path:
    return Path(urlsplit(uri).path)


def made(world: World, outcome: Any) -> list[dict[str, Any]]:
    """The derivatives of a task's one picture."""
    (image,) = world.result(outcome)["images"]
    return list(image.get("derivatives", ()))


class TestOnePicture:
    def test_each_size_lies_beside_the_master_and_is_listed_everywhere(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[BANNER, "iab_320x50"]))
        assert outcome.state == "success"
        first, second = made(world, outcome)
        assert first.keys() == {
            *("name", "uri", "content_type", "width", "height", "size_bytes", "sha256", "upscaled", "recipe"),
        }
        assert (first["name"], first["width"], first["height"]) == ("banner", 60, 20)
        assert (second["name"], second["width"], second["height"], second["upscaled"]) == ("iab_320x50", 320, 50, True)
        assert Image.open(path_of(first["uri"])).size == (60, 20)
        assert world.sidecars()[0]["image"] == world.result(outcome)["images"][0]
        assert len(world.files()) == 3
        assert len(world.billed) == 1

    def test_a_signed_master_stays_byte_identical_and_a_derivative_says_what_it_is(self, world: World) -> None:
        world.emulator._cache = Signed(160, 120)  # type: ignore[assignment]
        outcome = world.run(world.operator(output_format="jpeg", derivatives=[BANNER]))
        (image,) = world.result(outcome)["images"]
        (run,) = world.emulator.runs
        landed = path_of(image["uri"]).read_bytes()
        assert landed == world.emulator.picture(run.id)
        assert FOREIGN in landed
        derivative = path_of(image["derivatives"][0]["uri"]).read_bytes()
        assert FOREIGN not in derivative
        assert source_type(derivative) == DIGITAL_SOURCE_TYPE

    def test_all_pictures_of_a_run_have_theirs(self, world: World) -> None:
        outcome = world.run(world.operator(num_images=3, derivatives=[BANNER]))
        images = world.result(outcome)["images"]
        assert len({image["derivatives"][0]["uri"] for image in images}) == 3

    def test_they_are_no_part_of_the_request(self, world: World) -> None:
        world.run(world.operator(derivatives=[BANNER]))
        plain = world.run(world.operator(), run_id="manual__other")
        first, second = world.emulator.runs
        assert first.input == second.input
        assert "derivatives" not in world.result(plain)["images"][0]

    def test_a_template_may_fill_them_in(self, world: World) -> None:
        named = {**BANNER, "name": "{{ dag.dag_id }}"}
        assert made(world, world.run(world.operator(derivatives=[named])))[0]["name"] == "campaign"


class TestBeforeTheMoney:
    def test_what_is_wrong_is_an_error_of_the_dag_file(self, world: World) -> None:
        with pytest.raises(InvalidRequestError, match=r"derivatives\[1\]: preset='storeis': .*did you mean 'stories'"):
            world.operator(derivatives=["meta_feed", "storeis"])
        with pytest.raises(InvalidRequestError, match="must be a list"):
            world.batch(["a"], derivatives="stories")
        with pytest.raises(InvalidRequestError, match="wait_for_completion=False: nothing would land"):
            world.operator(derivatives=["stories"], destination=None, wait_for_completion=False)

    @pytest.mark.parametrize("batch", [False, True])
    def test_what_a_template_makes_wrong_costs_nothing(self, world: World, batch: bool) -> None:
        wanted = ["{{ 'storeis' }}"]
        task = world.batch(["a"], derivatives=wanted) if batch else world.operator(derivatives=wanted)
        outcome = world.run(task)
        assert isinstance(outcome.error, AirflowFailException)
        assert "did you mean 'stories'" in str(outcome.error)
        assert world.posts == 0

    @pytest.mark.parametrize("batch", [False, True])
    def test_without_pillow_nothing_is_submitted_and_the_pip_line_is_told(
        self, world: World, batch: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = world.batch(["a", "b"], derivatives=[BOX]) if batch else world.operator(derivatives=[BOX])
        monkeypatch.setitem(sys.modules, "PIL", None)
        outcome = world.run(task)
        assert isinstance(outcome.error, AirflowFailException)
        assert "pip install 'airflow-provider-runflow[derivatives]'" in str(outcome.error)
        assert world.posts == 0

    def test_without_a_destination_nothing_is_submitted(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[BOX], destination=None))
        assert "derivatives: they need a destination" in str(outcome.error)
        assert world.posts == 0

    def test_an_item_of_a_batch_has_none_of_its_own(self, world: World) -> None:
        with pytest.raises(InvalidRequestError, match="derivatives"):
            world.batch([{"key": "a", "prompt": "a cat", "derivatives": ["stories"]}])

    def test_an_operator_without_any_imports_nothing_for_them(self) -> None:
        code = (
            "import sys; from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator;"
            "GptImage2Operator(task_id='a', prompt='a');"
            "print([m for m in sys.modules if m in ('PIL', 'pydantic') or 'landing.derivatives' in m]);"
            "before = set(sys.modules);"
            "GptImage2Operator(task_id='b', prompt='a', derivatives=['stories']);"
            "print('PIL' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        listed, pillow = done.stdout.split("\n")[-3:-1]
        assert "landing.derivatives" not in listed
        assert "PIL" not in listed
        assert pillow == "False"


class TestWhatCannotBeMade:
    def test_the_master_is_landed_and_paid_and_the_task_says_which_and_by_how_much(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[IMPOSSIBLE, BANNER]))
        assert isinstance(outcome.error, AirflowFailException)
        text = str(outcome.error)
        assert "delivered 1 of 1 pictures: file://" in text
        assert "They are paid ($0.009000) and landed, but 1 of 2 derivatives of hero-" in text
        assert "could not be made: tight is " in text
        assert "bytes over its cap of 1,024" in text
        assert "A retry would find the same, so it is not tried" in text
        (image,) = world.result(outcome)["images"]
        assert path_of(image["uri"]).read_bytes() == world.emulator.picture(world.emulator.runs[0].id)
        assert [each["name"] for each in image["derivatives"]] == ["banner"]

    @needs_a_journal
    def test_once_it_is_corrected_a_clear_makes_it_for_nothing(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[IMPOSSIBLE, BANNER]))
        again = world.again(outcome, world.operator(derivatives=[{**IMPOSSIBLE, "max_bytes": 10**6}, BANNER]))
        assert again.state == "success"
        assert [each["name"] for each in made(world, again)] == ["tight", "banner"]
        assert len(world.billed) == 1

    @needs_a_journal
    def test_a_clear_that_corrects_nothing_says_the_same_and_costs_nothing(self, world: World) -> None:
        first = world.run(world.operator(derivatives=[IMPOSSIBLE, BANNER]))
        again = world.clear(first)
        assert isinstance(again.error, AirflowFailException)
        assert "tight is " in str(again.error)
        assert len(world.billed) == 1

    def test_in_a_batch_it_is_that_item_which_is_partial(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="partial", images=1, prompt_contains="picture of b")
        items = ["a", {"key": "b", "prompt": "a picture of b", "num_images": 2}]
        outcome = world.run(world.batch(items, derivatives=[IMPOSSIBLE, BANNER], min_success=0))
        assert outcome.state == "success"
        rows = world.rows()
        assert {key: row["outcome"] for key, row in rows.items()} == {"a": "partial", "b": "partial"}
        assert "tight is " in rows["a"]["reason"]
        assert "delivered 1 of 2 pictures" in rows["b"]["reason"]
        assert "tight is " in rows["b"]["reason"]
        assert [each["name"] for each in rows["a"]["images"][0]["derivatives"]] == ["banner"]

    def test_a_store_that_refuses_one_is_mended_by_a_retry(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        refuse(monkeypatch, "put_file", ".banner.jpg")
        outcome = world.run(world.operator(derivatives=[BANNER]))
        assert isinstance(outcome.error, LandingError)
        assert "but not all of its derivatives are: " in str(outcome.error)
        again = world.retry(outcome)
        assert again.state == "success"
        assert len(made(world, again)) == len(world.billed) == 1


def refuse(monkeypatch: pytest.MonkeyPatch, operation: str, ending: str) -> None:
    """Let a store refuse one operation on one name, once."""
    real, refused = getattr(ObjectStorageStore, operation), []

    def refusing(self: ObjectStorageStore, name: str, *args: Any, **facts: Any) -> Any:
        if name.endswith(ending) and not refused:
            refused.append(name)
            raise DestinationError(f"{operation} {name}: no answer")
        return real(self, name, *args, **facts)

    monkeypatch.setattr(ObjectStorageStore, operation, refusing)


class TestLandedBefore:
    @needs_a_journal
    def test_a_retry_of_what_is_all_there_makes_nothing(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[BANNER]))
        times = {path: path.stat().st_mtime_ns for path in world.destination.rglob("*")}
        again = world.clear(outcome)
        assert world.result(again)["images"] == world.result(outcome)["images"]
        assert made(world, again)
        assert {path: path.stat().st_mtime_ns for path in world.destination.rglob("*")} == times

    @needs_a_journal
    @pytest.mark.parametrize("sidecars", ["beside", None])
    def test_a_new_preset_is_made_of_the_landed_master_though_runflow_has_nothing_any_more(
        self, world: World, sidecars: str | None
    ) -> None:
        outcome = world.run(world.operator(derivatives=[BANNER], sidecars=sidecars))
        world.emulator.add_fault(route="output", effect="status", status=404)
        world.emulator.add_fault(route="get", effect="status", status=404)
        again = world.again(outcome, world.operator(derivatives=[BANNER, "meta_square"], sidecars=sidecars))
        assert again.state == "success"
        assert [each["name"] for each in made(world, again)] == ["banner", "meta_square"]
        assert [told["image"] for told in world.sidecars()] == (world.result(again)["images"] if sidecars else [])
        assert (len(world.billed), world.posts) == (1, 1)

    @needs_a_journal
    def test_one_whose_file_is_gone_is_made_again(self, world: World) -> None:
        outcome = world.run(world.operator(derivatives=[BANNER, BOX]))
        path_of(made(world, outcome)[0]["uri"]).unlink()
        again = world.clear(outcome)
        assert world.result(again)["images"] == world.result(outcome)["images"]
        assert path_of(made(world, again)[0]["uri"]).exists()

    def test_a_later_dag_run_adds_a_size_to_what_the_destination_holds(self, world: World) -> None:
        facts: dict[str, Any] = {"reuse_within": "destination"}
        world.run(world.operator(derivatives=[BANNER], **facts))
        outcome = world.run(world.operator(derivatives=[BOX], **facts), run_id="manual__tomorrow")
        assert outcome.state == "success"
        assert [each["name"] for each in made(world, outcome)] == ["box"]
        assert [each["name"] for each in world.sidecars()[0]["image"]["derivatives"]] == ["banner", "box"]
        assert len(world.billed) == 1

    @pytest.mark.parametrize("sidecars", ["beside", None])
    def test_so_does_a_later_batch_by_what_the_manifest_says(self, world: World, sidecars: str | None) -> None:
        facts: dict[str, Any] = {"reuse_within": "destination", "sidecars": sidecars}
        world.run(world.batch(["a", "b"], derivatives=[BANNER], **facts))
        outcome = world.run(world.batch(["a", "b"], derivatives=[BANNER, BOX], **facts), run_id="manual__tomorrow")
        assert outcome.state == "success"
        names = [[each["name"] for each in row["images"][0]["derivatives"]] for row in world.rows().values()]
        assert names == [["banner", "box"]] * 2
        assert world.result(outcome)["counts"]["reused"] == 2
        assert len(world.billed) == 2

    @needs_a_journal
    def test_a_store_that_does_not_answer_then_is_worth_a_retry_and_what_is_paid_is_named(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcome = world.run(world.operator())
        refuse(monkeypatch, "get_file", ".png")
        failed = world.again(outcome, world.operator(derivatives=[BANNER]))
        assert isinstance(failed.error, LandingError)
        assert "The masters are paid and landed, and a retry of the task makes what is missing" in str(failed.error)
        assert world.result(failed)["images"] == world.result(outcome)["images"]
        again = world.retry(failed)
        assert len(made(world, again)) == len(world.billed) == 1


class TestTwentyChannelsFromOneCampaign:
    def test_exact_pixels_under_every_cap_from_three_masters_that_nobody_touched(self, world: World) -> None:
        world.emulator._cache = Signed(1280, 1024)  # type: ignore[assignment]
        presets = [name for name in CHANNELS if name not in ("reels_cover", "web_hero")][:20]
        wanted = [{"preset": name, "fit": "pad"} if number % 4 == 3 else name for number, name in enumerate(presets)]
        task = world.batch(["a", "b", "c"], output_format="jpeg", derivatives=wanted)
        outcome = world.run(task)
        assert outcome.state == "success"
        assert len(world.files()) == 3 * 21
        masters = {world.emulator.picture(run.id) for run in world.emulator.runs}
        schema = resources.files("airflow_provider_runflow.landing") / "schemas" / "sidecar.v1.json"
        for told in world.sidecars():
            jsonschema.validate(told, json.loads(schema.read_text()))
        for row in read_manifest(world.result(outcome)["manifest_uri"]):
            (image,) = row.images
            masters.remove(path_of(image.uri).read_bytes())
            assert [each.name for each in image.derivatives] == presets
            for each in image.derivatives:
                channel, data = CHANNELS[each.name], path_of(each.uri).read_bytes()
                assert Image.open(io.BytesIO(data)).size == (channel.width, channel.height) == (each.width, each.height)
                assert len(data) == each.size_bytes <= (channel.max_bytes or 10**9)
        assert masters == set()
        assert len(world.billed) == 3
