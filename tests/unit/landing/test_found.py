# SPDX-License-Identifier: Apache-2.0
"""landing/found.py: what a destination is asked before anything is paid."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError, NameTakenError
from airflow_provider_runflow.landing.job import Job
from airflow_provider_runflow.landing.land import check_before_money, find_landed, land, still_there
from tests.unit.landing.fakes import JPEG, NOW, RUN, Lines, MemoryStore, Sleeps, host_with, job, png, url

NAME = "hero-3f2a9c0d1e4b-0.png"


def landed(of: Job, *pictures: bytes, store: MemoryStore | None = None, run_id: str = RUN) -> MemoryStore:
    """A store in which a request's pictures were landed before."""
    store = store or MemoryStore()
    with host_with(*pictures).client() as client:
        land(
            of,
            run_id,
            [url(index) for index in range(len(pictures))],
            "0.133",
            store,
            store,
            client,
            reread=list,
            sleep=Sleeps(),
            log=Lines(),
            now=lambda: NOW,
        )
    store.calls.clear()
    return store


def edit(store: MemoryStore, name: str, **changes: Any) -> None:
    store.objects[name] = json.dumps({**json.loads(store.objects[name]), **changes}).encode()


class TestBeforeMoney:
    def test_an_empty_destination_is_fine(self) -> None:
        store = MemoryStore()
        check_before_money(job(), store, store)
        assert store.calls == [("check", ""), ("stat", NAME)]

    def test_another_place_for_sidecars_is_checked_too(self) -> None:
        beside = MemoryStore("mem://private/")
        beside.refuse["check"] = DestinationError("mem://private/: no such bucket.")
        with pytest.raises(DestinationError) as caught:
            check_before_money(job(), MemoryStore(), beside)
        assert str(caught.value) == "mem://private/: no such bucket. Nothing was submitted."

    @pytest.mark.parametrize("operation", ["check", "stat"])
    def test_a_destination_that_refuses_says_that_nothing_was_submitted(self, operation: str) -> None:
        store = MemoryStore()
        store.refuse[operation] = DestinationError("S3 answered AccessDenied.")
        with pytest.raises(DestinationError, match=r"AccessDenied. Nothing was submitted."):
            check_before_money(job(), store, store)

    def test_a_name_that_another_picture_has_is_an_error(self) -> None:
        store = MemoryStore()
        store.objects["hero.png"] = png(7)
        with pytest.raises(NameTakenError) as caught:
            check_before_money(job(filename_pattern="hero.{ext}"), store, store)
        assert str(caught.value) == (
            "mem://bucket/hero.png is taken by another picture. Nothing was submitted. "
            "Use another filename_pattern or destination, or replace=True to overwrite it."
        )
        assert caught.value.retry == "never"

    def test_every_picture_of_the_run_is_looked_for(self) -> None:
        store = MemoryStore()
        store.objects["hero-2.png"] = png(7)
        with pytest.raises(NameTakenError, match=r"-2\.png is taken"):
            check_before_money(job(filename_pattern="hero-{index}.{ext}", num_images=3), store, store)

    def test_the_other_requests_sidecar_tells_who_has_the_name(self) -> None:
        pattern = "hero.{ext}"
        store = landed(job(filename_pattern=pattern), png())
        with pytest.raises(NameTakenError, match=r"another request \(dag shop, task hero, run manual__1\)"):
            check_before_money(job(filename_pattern=pattern, fingerprint="0" * 64), store, store)

    def test_this_requests_own_picture_does_not_stop_it(self) -> None:
        store = landed(job(), png())
        check_before_money(job(), store, store)

    def test_without_sidecars_the_error_says_that_nobody_can_tell(self) -> None:
        pattern = "hero.{ext}"
        store = landed(job(filename_pattern=pattern), png())
        with pytest.raises(NameTakenError, match="without sidecars nothing can tell whether it is this request's own"):
            check_before_money(job(filename_pattern=pattern), store, None)

    def test_a_name_that_holds_the_request_is_its_own_without_a_sidecar(self) -> None:
        store = MemoryStore()
        store.objects[NAME] = png()
        check_before_money(job(), store, None)
        check_before_money(job(), store, store)

    def test_replace_asks_for_no_name(self) -> None:
        store = MemoryStore()
        store.objects[NAME] = png(7)
        check_before_money(job(replace=True), store, store)
        assert store.calls == [("check", "")]

    def test_a_name_with_the_run_id_cannot_be_known_yet(self) -> None:
        store = MemoryStore()
        check_before_money(job(filename_pattern="{runflow_run_id}-{index}.{ext}"), store, store)
        assert store.calls == [("check", "")]

    def test_a_name_that_breaks_a_rule_with_these_values_is_found_before_anything_is_asked(self) -> None:
        store = MemoryStore()
        with pytest.raises(InvalidRequestError, match="begins with a dot"):
            check_before_money(job(filename_pattern="{key}.{ext}"), store, store)
        assert store.calls == []


class TestFindLanded:
    def test_gives_back_what_was_landed(self) -> None:
        of = job(num_images=2)
        store = landed(of, png(0), png(1))
        found = find_landed(of, store, store)
        assert found is not None
        assert [image.name for image in found.images] == ["hero-3f2a9c0d1e4b-0.png", "hero-3f2a9c0d1e4b-1.png"]
        assert (found.runflow_run_id, found.cost_usd) == (RUN, "0.133")

    def test_finds_nothing_in_an_empty_destination(self) -> None:
        store = MemoryStore()
        assert find_landed(job(), store, store) is None

    def test_knows_that_a_run_delivered_fewer_pictures_than_asked_for(self) -> None:
        store = landed(job(num_images=4), png(0), png(1))
        found = find_landed(job(num_images=4), store, store)
        assert found is not None
        assert len(found.images) == 2

    def test_finds_a_picture_that_came_in_another_format_than_asked_for(self) -> None:
        store = landed(job(), JPEG)
        found = find_landed(job(), store, store)
        assert found is not None
        assert found.images[0].uri == "mem://bucket/hero-3f2a9c0d1e4b-0.jpg"

    def test_finds_it_after_the_bucket_was_copied(self) -> None:
        store = landed(job(), png())
        store.root = "mem://copy/"
        found = find_landed(job(), store, store)
        assert found is not None
        assert found.images[0].uri == f"mem://copy/{NAME}"

    def test_finds_sidecars_in_another_place(self) -> None:
        beside = landed(job(), png())
        store = MemoryStore()
        store.objects[NAME] = png()
        assert find_landed(job(), store, beside) is not None

    @pytest.mark.parametrize("change", [{"client_ref": "x"}, {"item_key": "x"}, {"fingerprint": "x"}])
    def test_another_requests_pictures_are_not_found(self, change: dict[str, str]) -> None:
        pattern = {"filename_pattern": "hero.{ext}"}
        store = landed(job(**pattern), png())
        assert find_landed(job(**pattern, **change), store, store) is None

    def test_one_missing_picture_is_not_all(self) -> None:
        of = job(num_images=2)
        store = landed(of, png(0), png(1))
        del store.objects["hero-3f2a9c0d1e4b-1.png"]
        assert find_landed(of, store, store) is None

    @pytest.mark.parametrize("knows_hashes", [True, False])
    def test_altered_bytes_of_the_same_size_are_not_it(self, knows_hashes: bool) -> None:
        store = landed(job(), png(1))
        store.knows_hashes = knows_hashes
        store.objects[NAME] = store.objects[NAME][:-1] + b"\0"
        assert find_landed(job(), store, store) is None

    def test_pictures_of_two_runs_do_not_make_one_set(self) -> None:
        of = job(num_images=2)
        store = landed(of, png(0), png(1))
        edit(store, "hero-3f2a9c0d1e4b-1.png.json", runflow_run_id="another")
        assert find_landed(of, store, store) is None

    @pytest.mark.parametrize(
        "change", [{"image": None}, {"runflow_run_id": None}, {"runflow_run_id": ""}, {"image": {"index": 3}}]
    )
    def test_a_sidecar_that_was_tampered_with_proves_nothing(self, change: dict[str, Any]) -> None:
        store = landed(job(), png())
        edit(store, f"{NAME}.json", **change)
        assert find_landed(job(), store, store) is None

    def test_a_cost_in_another_form_is_no_cost(self) -> None:
        store = landed(job(), png())
        edit(store, f"{NAME}.json", cost_usd=0.133, images_in_run="one")
        found = find_landed(job(), store, store)
        assert found is not None
        assert found.cost_usd is None

    def test_of_a_run_that_was_named_the_run_alone_tells(self) -> None:
        of = job(filename_pattern="{runflow_run_id}-{index}.{ext}", run_id=RUN)
        store = landed(replace(of, run_id=None), png(0), png(1))
        other = {"client_ref": None, "item_key": "", "fingerprint": None, "task_id": "another"}
        found = find_landed(replace(of, **other), store, store)
        assert found is not None
        assert [image.name for image in found.images] == [f"{RUN}-0.png", f"{RUN}-1.png"]
        assert find_landed(replace(of, filename_pattern="{index}.{ext}"), store, store) is None
        renamed = landed(job(filename_pattern="{index}.{ext}"), png(0), run_id="another-run")
        assert find_landed(replace(of, filename_pattern="{index}.{ext}"), renamed, renamed) is None

    def test_without_sidecars_or_with_the_run_id_in_the_name_nothing_is_asked(self) -> None:
        store = MemoryStore()
        assert find_landed(job(), store, None) is None
        assert find_landed(job(filename_pattern="{runflow_run_id}.{ext}"), store, store) is None
        assert store.calls == []


class TestStillThere:
    def remembered(self, store: MemoryStore) -> list[dict[str, Any]]:
        found = find_landed(job(num_images=2), store, store)
        assert found is not None
        store.calls.clear()
        return [json.loads(json.dumps(image.as_dict())) for image in found.images]

    @pytest.fixture
    def store(self) -> MemoryStore:
        return landed(job(num_images=2), png(0), png(1))

    def test_with_the_same_bytes(self, store: MemoryStore) -> None:
        images = self.remembered(store)
        assert still_there(images, store)
        assert [operation for operation, _ in store.calls] == ["stat", "stat"]

    def test_not_when_one_is_deleted_or_altered(self, store: MemoryStore) -> None:
        images = self.remembered(store)
        store.objects["hero-3f2a9c0d1e4b-1.png"] = png(9)
        assert not still_there(images, store)
        del store.objects["hero-3f2a9c0d1e4b-1.png"]
        assert not still_there(images, store)

    def test_not_when_the_destination_is_another_one_now(self, store: MemoryStore) -> None:
        images = self.remembered(store)
        store.root = "mem://other/"
        assert not still_there(images, store)

    def test_not_for_nothing_and_not_for_another_form(self, store: MemoryStore) -> None:
        assert not still_there([], store)
        for image in self.remembered(store):
            for key in ("uri", "size_bytes", "sha256"):
                assert not still_there([{**image, key: None}], store)
        assert not still_there([{"uri": "mem://bucket/", "size_bytes": 1, "sha256": "x"}], store)
