# SPDX-License-Identifier: Apache-2.0
"""landing/derived.py: exact channel sizes beside their masters; none costs a master, a cent or another's picture."""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from airflow_provider_runflow.exceptions import DestinationError, LandingError
from airflow_provider_runflow.landing import derived
from airflow_provider_runflow.landing.derivatives import Derivative, parse_derivatives
from airflow_provider_runflow.landing.found import find_landed
from airflow_provider_runflow.landing.job import Job, Landed, LandedDerivative
from airflow_provider_runflow.landing.land import land
from airflow_provider_runflow.landing.sidecar import image_of
from tests.unit.landing.fakes import NOW, RUN, Host, Lines, MemoryStore, Sleeps, host_with, job, png, sha, url

NAME = "hero-3f2a9c0d1e4b-0.png"
MASTER = png(3, width=160, height=120)
BANNER = {"name": "banner", "width": 60, "height": 20, "format": "jpeg"}
BOX = {"name": "box", "width": 40, "height": 40, "fit": "pad"}
IMPOSSIBLE = {"name": "tight", "width": 3000, "height": 3000, "max_bytes": 1024, "format": "jpeg"}


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Spool directories are made here, so that a test can see whether they are gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Case:
    """One destination, and what is done there."""

    def __init__(self, *, host: Host | None = None, sidecars: Any = "beside", knows_hashes: bool = True) -> None:
        self.host = host or host_with(MASTER)
        self.store = MemoryStore(knows_hashes=knows_hashes)
        self.sidecars = self.store if sidecars == "beside" else sidecars
        self.log = Lines()

    def job(self, *wanted: Any, **changes: Any) -> Job:
        return job(input={"prompt": "a red shoe"}, derivatives=parse_derivatives(list(wanted)), **changes)

    def land(self, *wanted: Any, **changes: Any) -> list[Landed]:
        """Land as if it had just been bought."""
        urls = [url(index) for index in range(len(self.host.answers))]
        of = self.job(*wanted, **changes)
        with self.host.client() as client:
            return land(
                of, RUN, urls, "0.133", self.store, self.sidecars, client,
                reread=lambda: urls, sleep=Sleeps(), log=self.log, now=lambda: NOW,
            )  # fmt: skip

    def complete(self, images: list[Landed], *wanted: Any, **changes: Any) -> list[Landed]:
        """Find what landed before, as a task that asks for `wanted`."""
        self.store.calls.clear()
        facts = {"run_id": RUN, "cost_usd": "0.133", "log": self.log, "now": lambda: NOW}
        return derived.complete(self.job(*wanted, **changes), images, self.store, self.sidecars, **facts)

    def told(self, name: str = NAME) -> dict[str, Any]:
        """The sidecar, which keeps to its schema."""
        told: dict[str, Any] = json.loads(self.sidecars.objects[f"{name}.json"])
        schema = resources.files("airflow_provider_runflow.landing") / "schemas" / "sidecar.v1.json"
        jsonschema.validate(told, json.loads(schema.read_text()))
        return told

    def pixels(self, name: str) -> tuple[int, int]:
        return Image.open(io.BytesIO(self.store.objects[name])).size

    def calls(self, operation: str) -> list[str]:
        return [name for kind, name in self.store.calls if kind == operation]


class TestFreshlyLanded:
    def test_each_lies_beside_its_untouched_master_before_the_sidecar_lists_it(self) -> None:
        case = Case()
        (image,) = case.land(BANNER, BOX)
        assert case.store.calls == [
            ("put_file", NAME),
            ("put_file", f"{NAME}.banner.jpg"),
            ("put_file", f"{NAME}.box.png"),
            ("put_json", f"{NAME}.json"),
        ]
        assert case.store.objects[NAME] == MASTER
        assert case.pixels(f"{NAME}.banner.jpg") == (60, 20)
        assert case.pixels(f"{NAME}.box.png") == (40, 40)
        assert case.told()["image"] == image.as_dict()
        assert [each["name"] for each in image.as_dict()["derivatives"]] == ["banner", "box"]

    def test_what_is_told_of_one_is_what_lies_there(self) -> None:
        case = Case()
        (image,) = case.land({"name": "large", "width": 320, "height": 120})
        data = case.store.objects[f"{NAME}.large.png"]
        assert image.derivatives == (
            LandedDerivative(
                name="large",
                uri=f"mem://bucket/{NAME}.large.png",
                content_type="image/png",
                width=320,
                height=120,
                size_bytes=len(data),
                sha256=sha(data),
                upscaled=True,
                recipe=Derivative("large", 320, 120).recipe,
            ),
        )
        assert image_of({"image": json.loads(json.dumps(image.as_dict()))}, NAME) == image

    def test_without_any_nothing_says_so(self) -> None:
        case = Case()
        (image,) = case.land()
        assert "derivatives" not in image.as_dict()
        assert "derivatives" not in case.told()["image"]

    def test_they_carry_the_tags_of_their_master(self) -> None:
        case = Case()
        case.land(BANNER, tags={"sku": "42"})
        assert case.store.tags[f"{NAME}.banner.jpg"] == {"sku": "42"}

    def test_nothing_stays_on_the_workers_disk(self, spool: Path) -> None:
        Case().land(BANNER)
        assert list(spool.iterdir()) == []

    def test_done_again_nothing_is_made_again(self) -> None:
        case = Case()
        first = case.land(BANNER)
        case.store.calls.clear()
        assert case.land(BANNER) == first
        assert case.calls("put_file") == [NAME]
        assert case.calls("put_json") == []

    def test_an_interruption_before_the_sidecar_is_made_good(self) -> None:
        case = Case()
        case.store.refuse["put_json"] = DestinationError("put_object: S3 answered SlowDown (HTTP 503)")
        with pytest.raises(LandingError):
            case.land(BANNER)
        case.store.refuse.clear()
        (image,) = case.land(BANNER)
        assert case.told()["image"] == image.as_dict()
        assert len(list(case.store.pictures())) == 2


class TestWhatCannotBeMade:
    def test_the_master_and_the_others_land_and_it_is_told_by_how_much(self) -> None:
        case = Case()
        (image,) = case.land(IMPOSSIBLE, BANNER)
        assert [each.name for each in image.derivatives] == ["banner"]
        (why,) = image.unmade
        assert why.startswith(f"1 of 2 derivatives of {NAME} could not be made: tight is ")
        assert "bytes over its cap of 1,024" in why
        assert case.told()["image"] == image.as_dict()
        assert case.log.warnings == [f"{why}. Its master is landed as mem://bucket/{NAME}."]

    def test_a_master_that_cannot_be_decoded_lands_as_it_is(self) -> None:
        broken = MASTER.replace(b"IDAT", b"IDAt")
        case = Case(host=host_with(broken))
        (image,) = case.land(BANNER)
        assert case.store.objects[NAME] == broken
        assert image.derivatives == ()
        assert image.unmade[0].startswith(f"derivatives of {NAME}: the master cannot be decoded")

    def test_a_store_that_refuses_one_makes_it_worth_a_retry(self) -> None:
        case = Case()
        case.store.refuse[f"put_file {NAME}.banner.jpg"] = DestinationError("put_object: SlowDown (HTTP 503)")
        with pytest.raises(LandingError) as caught:
            case.land(BANNER)
        assert str(caught.value) == (
            f"Picture 0 of run {RUN} is stored as mem://bucket/{NAME}, but not all of its derivatives are: "
            "put_object: SlowDown (HTTP 503). It is paid, and a retry of the task lands the same run for $0."
        )
        case.store.refuse.clear()
        assert case.land(BANNER)[0].derivatives

    def test_a_full_disk_is_worth_a_retry_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> Iterator[Any]:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(derived, "derive_all", full)
        with pytest.raises(LandingError, match=r"No space left on device\. It is paid, and a retry"):
            Case().land(BANNER)


class TestNamesThatAreTaken:
    NAME = f"{NAME}.banner.jpg"

    def test_a_foreign_object_stays_and_the_derivative_lands_beside_it_with_a_warning(self) -> None:
        case = Case()
        case.store.objects[self.NAME] = b"retouched by hand"
        (image,) = case.land(BANNER)
        (made,) = image.derivatives
        assert made.uri == f"mem://bucket/{NAME}.banner-{made.sha256[:8]}.jpg"
        assert case.store.objects[self.NAME] == b"retouched by hand"
        warning = f"mem://bucket/{self.NAME} is taken by other bytes; the derivative lands as {made.uri}"
        assert case.log.warnings == [warning]
        assert case.complete([image], BANNER) == [image]
        assert case.calls("get_file") == []

    def test_replace_overwrites_it(self) -> None:
        case = Case()
        case.store.objects[self.NAME] = b"of yesterday"
        (image,) = case.land(BANNER, replace=True)
        assert image.derivatives[0].uri == f"mem://bucket/{self.NAME}"
        assert case.store.objects[self.NAME] != b"of yesterday"

    def test_but_never_a_picture_that_was_paid_for(self) -> None:
        case = Case()
        case.store.objects[self.NAME] = b"a master of another item"
        case.store.objects[f"{self.NAME}.json"] = b"{}"
        case.land(BANNER, replace=True)
        assert case.store.objects[self.NAME] == b"a master of another item"

    def test_where_no_other_name_will_do_it_is_an_error(self) -> None:
        case = Case()
        case.store.objects[self.NAME] = b"other"
        with pytest.raises(LandingError, match="is taken by other bytes; replace=True overwrites them"):
            case.land(BANNER, suffix=False)

    def test_one_that_is_declared_otherwise_now_takes_the_place_of_what_it_was(self) -> None:
        case = Case()
        images = case.land(BANNER)
        (image,) = case.complete(images, {**BANNER, "width": 50})
        assert case.pixels(self.NAME) == (50, 20)
        assert len(list(case.store.pictures())) == 2
        assert case.told()["image"] == image.as_dict()
        assert case.log.warnings == []

    def test_unless_somebody_retouched_it(self) -> None:
        case = Case()
        images = case.land(BANNER)
        case.store.objects[self.NAME] = b"retouched by hand"
        case.complete(images, {**BANNER, "width": 50})
        assert case.store.objects[self.NAME] == b"retouched by hand"


class TestLandedBefore:
    def test_what_is_all_there_is_neither_read_nor_made(self) -> None:
        case = Case()
        images = case.land(BANNER, BOX)
        assert case.complete(images, BANNER, BOX) == images
        assert {kind for kind, _ in case.store.calls} == {"stat"}

    def test_a_new_one_is_made_of_the_master_in_the_destination(self, spool: Path) -> None:
        case = Case()
        images = case.land(BANNER)
        (image,) = case.complete(images, BANNER, BOX)
        assert case.calls("get_file") == [NAME]
        assert case.calls("put_file") == [f"{NAME}.box.png"]
        assert [each.name for each in image.derivatives] == ["banner", "box"]
        assert case.told()["image"] == image.as_dict()
        assert (case.told()["created_at"], case.told()["cost_usd"]) == ("2026-11-22T10:30:00+00:00", "0.133")
        assert case.store.objects[NAME] == MASTER
        assert len(case.host.requests) == 1
        assert list(spool.iterdir()) == []

    @pytest.mark.parametrize("knows_hashes", [True, False])
    def test_one_that_was_deleted_is_made_again_with_the_same_bytes(self, knows_hashes: bool) -> None:
        case = Case(knows_hashes=knows_hashes)
        images = case.land(BANNER)
        del case.store.objects[f"{NAME}.banner.jpg"]
        assert case.complete(images, BANNER) == images

    def test_the_sidecar_tells_what_a_journal_does_not_keep(self) -> None:
        case = Case()
        images = case.land(BANNER)
        master = Landed(0, images[0].uri, NAME, "image/png", 160, 120, len(MASTER), sha(MASTER))
        assert case.complete([master], BANNER) == images
        assert case.calls("get_file") == []

    def test_without_sidecars_it_is_made_again_and_found_to_be_the_same(self) -> None:
        case = Case(sidecars=None)
        images = case.land(BANNER)
        master = Landed(0, images[0].uri, NAME, "image/png", 160, 120, len(MASTER), sha(MASTER))
        assert case.complete([master], BANNER) == images
        assert len(case.store.objects) == 2

    def test_a_sidecar_that_is_gone_is_written_anew(self) -> None:
        case = Case()
        images = case.land()
        del case.store.objects[f"{NAME}.json"]
        (image,) = case.complete(images, BANNER)
        assert case.told()["image"] == image.as_dict()

    def test_what_another_task_asked_for_stays_in_the_sidecar_but_not_in_the_result(self) -> None:
        case = Case()
        images = case.land(BANNER)
        (image,) = case.complete(images, BOX)
        assert [each.name for each in image.derivatives] == ["box"]
        assert [each["name"] for each in case.told()["image"]["derivatives"]] == ["banner", "box"]
        assert case.complete(images, BANNER) == images

    def test_a_bucket_that_was_copied_has_its_derivatives_where_it_is_now(self) -> None:
        case = Case()
        case.land(BANNER)
        case.store.root = "mem://copy/"
        found = find_landed(case.job(BANNER), case.store, case.store)
        assert found is not None
        assert found.images[0].derivatives[0].uri == f"mem://copy/{NAME}.banner.jpg"
        assert case.complete(found.images, BANNER) == found.images
        assert case.calls("get_file") == []

    def test_a_store_that_does_not_answer_is_worth_a_retry_and_costs_no_other_picture(self) -> None:
        case = Case(host=host_with(MASTER, png(4, width=160, height=120)))
        images = case.land(num_images=2)
        case.store.refuse[f"get_file {NAME}"] = DestinationError("get_object: SlowDown (HTTP 503)")
        with pytest.raises(LandingError) as caught:
            case.complete(images, BANNER)
        assert str(caught.value) == (
            f"Not all derivatives of mem://bucket/{NAME} are there: get_object: SlowDown (HTTP 503). The masters are "
            "paid and landed, and a retry of the task makes what is missing of them for $0."
        )
        landed = caught.value.landed  # type: ignore[attr-defined]
        assert [len(image.derivatives) for image in landed] == [0, 1]

    def test_a_master_that_is_changed_meanwhile_is_no_master(self) -> None:
        case = Case()
        images = case.land()
        case.store.objects[NAME] = png(9, width=160, height=120)
        with pytest.raises(LandingError, match="the master has other bytes than a moment ago"):
            case.complete(images, BANNER)

    @pytest.mark.parametrize("told", [None, {}, [], [None], [{"name": "banner"}], [{"upscaled": 1}]])
    def test_what_a_sidecar_tells_in_another_form_is_made_anew(self, told: Any) -> None:
        case = Case()
        images = case.land(BANNER)
        data = case.told()
        data["image"]["derivatives"] = told
        case.store.put_json(f"{NAME}.json", data)
        master = image_of({"image": data["image"]}, NAME)
        assert master is not None
        assert master.derivatives == ()
        assert case.complete([master], BANNER) == images


def test_the_same_declaration_has_the_same_recipe_in_every_release() -> None:
    (stories, moved) = parse_derivatives(["stories", {"preset": "stories", "name": "b", "focal_point": [0.5, 0.3]}])
    assert (stories.recipe, moved.recipe) == ("a72e90e43a71", "dc71b76f567b")


def test_no_more_masters_are_in_memory_at_once_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_ONE_A_CORE", threading.BoundedSemaphore(2))
    inside, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)
    real = derived.derive_all

    def watched(*arguments: Any) -> Iterator[Any]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        both.wait()  # two at a time, or it would never go on
        yield from real(*arguments)
        with lock:
            inside -= 1

    monkeypatch.setattr(derived, "derive_all", watched)
    cases = [Case() for _ in range(6)]
    threads = [threading.Thread(target=case.land, args=(BANNER,)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert most == 2
    assert all(f"{NAME}.banner.jpg" in case.store.objects for case in cases)
