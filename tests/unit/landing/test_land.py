# SPDX-License-Identifier: Apache-2.0
"""landing/land.py: paid pictures get into the destination, none overwrites another, none is lost."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.exceptions import DestinationError, LandingError, OutputsGoneError
from airflow_provider_runflow.landing.job import Job, Landed
from airflow_provider_runflow.landing.land import land, requested_size
from tests.unit.landing.fakes import (
    JPEG,
    NOW,
    RUN,
    SECRET,
    Host,
    Lines,
    MemoryStore,
    Sleeps,
    host_with,
    job,
    png,
    sha,
    url,
)

NAME = "hero-3f2a9c0d1e4b-0.png"


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Spool directories are made here, so that a test can see whether they are gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Case:
    """One landing, with everything that it is given."""

    def __init__(self, host: Host, *, store: MemoryStore | None = None, sidecars: Any = "beside") -> None:
        self.host = host
        self.store = store or MemoryStore()
        self.sidecars = self.store if sidecars == "beside" else sidecars
        self.log = Lines()
        self.sleeps = Sleeps()
        self.fresh = [url(index, "X-Amz-Signature=f4e5h") for index in range(len(host.answers))]
        self.reads = 0

    def reread(self) -> list[str]:
        self.reads += 1
        return list(self.fresh)

    def run(self, of: Job | None = None) -> list[Landed]:
        with self.host.client() as client:
            return land(
                of or job(),
                RUN,
                [url(index) for index in range(len(self.host.answers))],
                "0.133",
                self.store,
                self.sidecars,
                client,
                reread=self.reread,
                sleep=self.sleeps,
                log=self.log,
                now=lambda: NOW,
            )

    def error(self, of: Job | None = None) -> LandingError:
        with pytest.raises(LandingError) as caught:
            self.run(of)
        assert SECRET not in str(caught.value)
        return caught.value

    def sidecar(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.sidecars.objects[f"{name}.json"])
        return told


class TestOneLanding:
    def test_stores_the_bytes_as_they_are_and_a_sidecar_after_them(self) -> None:
        case = Case(host_with(png()))
        images = case.run()
        assert images == [Landed(0, f"mem://bucket/{NAME}", NAME, "image/png", 16, 8, len(png()), sha(png()))]
        assert case.store.objects[NAME] == png()
        assert case.store.types[NAME] == "image/png"
        assert case.store.calls == [("put_file", NAME), ("put_json", f"{NAME}.json")]
        assert case.sidecar(NAME)["image"] == images[0].as_dict()
        assert case.sidecar(NAME)["created_at"] == "2026-11-22T10:30:00+00:00"

    def test_writes_one_line_per_picture_without_secrets(self) -> None:
        case = Case(host_with(png()))
        case.run()
        assert case.log.infos == [
            f"Landed: mem://bucket/{NAME}, 16x8 pixels, {len(png())} bytes, sha256 {sha(png())[:12]}…"
        ]
        assert case.log.warnings == []

    def test_takes_all_pictures_of_the_run_in_order(self) -> None:
        case = Case(host_with(png(0), png(1), png(2)))
        images = case.run(job(num_images=3))
        assert [(image.index, image.sha256) for image in images] == [(i, sha(png(i))) for i in range(3)]
        assert case.sidecar("hero-3f2a9c0d1e4b-2.png")["images_in_run"] == 3

    def test_puts_sidecars_in_another_place(self) -> None:
        case = Case(host_with(png()), sidecars=MemoryStore("mem://private/"))
        case.run()
        assert list(case.store.objects) == [NAME]
        assert case.sidecar(NAME)["image"]["uri"] == f"mem://bucket/{NAME}"

    def test_writes_no_sidecars_when_told_so(self) -> None:
        case = Case(host_with(png()), sidecars=None)
        case.run()
        assert list(case.store.objects) == [NAME]

    def test_leaves_nothing_on_the_workers_disk(self, spool: Path) -> None:
        Case(host_with(png())).run()
        assert list(spool.iterdir()) == []

    def test_uses_the_run_id_in_a_name_that_asks_for_it(self) -> None:
        images = Case(host_with(png())).run(job(filename_pattern="{runflow_run_id}/{index}.{ext}"))
        assert images[0].name == f"{RUN}/0.png"


class TestDoneAgain:
    def test_the_same_bytes_under_the_name_are_left_alone_with_their_sidecar(self) -> None:
        case = Case(host_with(png()))
        first = case.run()
        case.store.calls.clear()
        assert case.run() == first
        assert ("put_json", f"{NAME}.json") not in case.store.calls
        assert case.log.infos[-1].startswith(f"Already there: mem://bucket/{NAME}")

    def test_an_interruption_between_picture_and_sidecar_is_made_good(self) -> None:
        case = Case(host_with(png()))
        case.store.refuse["put_json"] = DestinationError("put_object of x: S3 answered SlowDown (HTTP 503)")
        error = case.error()
        assert f"is stored as mem://bucket/{NAME}, but its sidecar is not written: put_object of x" in str(error)
        case.store.refuse.clear()
        case.run()
        assert case.sidecar(NAME)["runflow_run_id"] == RUN

    def test_a_store_that_knows_no_hashes_is_read_to_compare(self) -> None:
        case = Case(host_with(png()), store=MemoryStore(knows_hashes=False))
        case.run()
        case.run()
        assert list(case.store.pictures()) == [NAME]

    def test_replace_does_not_store_the_same_bytes_again(self) -> None:
        case = Case(host_with(png()))
        case.run(job(replace=True))
        case.run(job(replace=True))
        assert [call for call in case.store.calls if call[0] == "put_file"] == [("put_file", NAME)]


class TestNoPictureOverwritesAnother:
    def test_a_name_taken_meanwhile_gives_a_suffixed_one_and_a_warning(self) -> None:
        case = Case(host_with(png(1)))
        case.store.objects[NAME] = png(7)
        images = case.run()
        suffixed = f"hero-3f2a9c0d1e4b-0-{sha(png(1))[:8]}.png"
        assert images[0].name == suffixed
        assert case.store.objects[NAME] == png(7)
        assert case.sidecar(suffixed)["image"]["uri"] == f"mem://bucket/{suffixed}"
        assert case.log.warnings == [
            f"mem://bucket/{NAME} is taken by another picture; picture 0 of run {RUN} is paid, "
            f"so it lands as mem://bucket/{suffixed}"
        ]

    def test_a_retry_finds_the_suffixed_one_and_adds_nothing(self) -> None:
        case = Case(host_with(png(1)))
        case.store.objects[NAME] = png(7)
        assert case.run() == case.run()
        assert len(list(case.store.pictures())) == 2

    def test_replace_overwrites_because_the_user_said_so(self) -> None:
        case = Case(host_with(png(1)))
        case.store.objects[NAME] = png(7)
        case.run(job(replace=True))
        assert case.store.objects[NAME] == png(1)

    @pytest.mark.parametrize("replace", [True, False])
    def test_two_pictures_of_one_run_never_share_a_name(self, replace: bool) -> None:
        case = Case(host_with(png(0), png(1)))
        images = case.run(job(filename_pattern="{task_id}.{ext}", replace=replace))
        assert [image.name for image in images] == ["hero.png", f"hero-{sha(png(1))[:8]}.png"]
        assert len(list(case.store.pictures())) == 2

    def test_where_no_other_name_will_do_it_is_an_error(self) -> None:
        case = Case(host_with(png(1)))
        case.store.objects[NAME] = png(7)
        text = str(case.error(job(suffix=False)))
        assert f"mem://bucket/{NAME} is taken by another picture; use another name, or replace=True" in text
        assert list(case.store.pictures()) == [NAME]
        case.run(job(suffix=False, replace=True))
        assert case.store.objects[NAME] == png(1)

    def test_a_suffixed_name_that_is_taken_as_well_is_an_error(self) -> None:
        case = Case(host_with(png(1)))
        case.store.objects[NAME] = png(7)
        case.store.objects[f"hero-3f2a9c0d1e4b-0-{sha(png(1))[:8]}.png"] = png(8)
        assert "is taken by other bytes, too. It is paid" in str(case.error())


class TestNotAsAskedFor:
    def test_another_format_lands_under_its_true_extension_and_type(self) -> None:
        case = Case(host_with(JPEG))
        (image,) = case.run()
        assert (image.name, image.content_type) == ("hero-3f2a9c0d1e4b-0.jpg", "image/jpeg")
        assert case.store.objects[image.name] == JPEG
        assert case.log.warnings == [
            f"Picture 0 of run {RUN} was asked for as png but is image/jpeg; it lands as what it is"
        ]

    @pytest.mark.parametrize("ext", ["jpeg", "jpg", ".JPG", ""])
    def test_jpeg_and_jpg_are_one_and_an_unknown_format_is_not_missed(self, ext: str) -> None:
        case = Case(host_with(JPEG))
        case.run(job(ext=ext))
        assert case.log.warnings == []

    def test_another_size_is_landed_with_a_warning(self) -> None:
        case = Case(host_with(png(width=32)))
        case.run()
        assert case.log.warnings == [
            f"Picture 0 of run {RUN} was asked for at 16x8 pixels but is 32x8; it lands as received"
        ]

    @pytest.mark.parametrize(
        ("given", "size"),
        [
            ({"image_size": "1088x1360"}, (1088, 1360)),
            ({"image_size": {"width": 16, "height": 8}}, (16, 8)),
            ({"width": 1440, "height": 960}, (1440, 960)),
            ({"image_size": "landscape_4_3"}, None),
            ({"image_size": "auto", "width": 5, "height": 5}, None),
            ({"image_size": {"width": "16"}}, None),
            ({}, None),
        ],
    )
    def test_only_an_explicit_size_is_expected(self, given: dict[str, Any], size: Any) -> None:
        assert requested_size(given) == size


class TestWhenSomePicturesFail:
    def test_the_others_land_and_the_error_lists_both(self) -> None:
        case = Case(host_with(png(0), httpx.Response(503), png(2)))
        error = case.error(job(num_images=3))
        assert type(error) is LandingError
        assert [image.index for image in error.landed] == [0, 2]  # type: ignore[attr-defined]
        assert str(error) == (
            f"1 of 3 pictures of run {RUN} are not landed: picture 1 was not downloaded from "
            "bucket.storage.example:443: HTTP 503 (5 tries). "
            "All are paid, and a retry of the task lands the same run for $0. "
            "Landed: picture 0 as mem://bucket/hero-3f2a9c0d1e4b-0.png, "
            "picture 2 as mem://bucket/hero-3f2a9c0d1e4b-2.png."
        )

    def test_one_that_is_gone_beside_one_that_may_come_is_worth_a_retry(self) -> None:
        case = Case(host_with(httpx.Response(404), httpx.Response(503)))
        error = case.error(job(num_images=2))
        assert not isinstance(error, OutputsGoneError)
        assert "Landed: none." in str(error)

    def test_all_that_is_missing_gone_for_good_is_not_worth_a_retry(self) -> None:
        case = Case(host_with(png(0), httpx.Response(404), httpx.Response(410)))
        error = case.error(job(num_images=3))
        assert isinstance(error, OutputsGoneError)
        assert "All are paid, and a retry finds the same. Landed: picture 0 as" in str(error)

    def test_a_single_picture_keeps_its_own_message(self) -> None:
        error = Case(host_with(httpx.Response(404))).error()
        assert isinstance(error, OutputsGoneError)
        assert str(error).startswith(f"Picture 0 of run {RUN} is gone: ")
        assert error.landed == []  # type: ignore[attr-defined]

    def test_an_upload_that_is_refused_says_that_the_picture_is_paid(self, spool: Path) -> None:
        case = Case(host_with(png(0), png(1)))
        case.store.refuse[f"put_file {NAME}"] = DestinationError(
            "put_object of s3://b/x: S3 answered AccessDenied (HTTP 403): no."
        )
        error = case.error(job(num_images=2))
        assert (
            "picture 0 was downloaded but not stored in mem://bucket/: "
            "put_object of s3://b/x: S3 answered AccessDenied (HTTP 403): no. "
            "All are paid, and a retry of the task lands the same run for $0."
        ) in str(error)
        assert list(case.store.pictures()) == ["hero-3f2a9c0d1e4b-1.png"]
        assert list(spool.iterdir()) == []

    def test_whatever_else_a_store_raises_is_a_landing_error_too(self) -> None:
        case = Case(host_with(png()))
        case.store.refuse["put_file"] = RuntimeError(f"boom at https://h/x?{SECRET}")
        assert "not stored in mem://bucket/: RuntimeError: boom at https://h/x. It is paid" in str(case.error())

    def test_no_temporary_directory_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/does/not/exist")
        error = Case(host_with(png())).error()
        assert "the worker has no temporary directory" in str(error)
        assert "It is paid, and a retry of the task lands the same run for $0." in str(error)

    def test_a_run_without_pictures_is_one(self) -> None:
        error = Case(host_with()).error()
        assert str(error) == (
            f"Run {RUN} lists no pictures, but may be paid; a retry of the task lands the same run for $0."
        )
        assert error.landed == []  # type: ignore[attr-defined]


def test_urls_expire_together_so_one_read_serves_all_pictures() -> None:
    def answers(index: int) -> Any:
        return [httpx.Response(403), png(index)] if index == 0 else png(index)

    case = Case(host_with(*(answers(index) for index in range(3))))
    case.run(job(num_images=3))
    assert case.reads == 1
    assert [request.url.query for request in case.host.requests] == [
        SECRET.encode(),
        *[b"X-Amz-Signature=f4e5h"] * 3,
    ]


def test_an_execution_timeout_passes_through_and_leaves_no_spool(spool: Path) -> None:
    class Timeout(BaseException):
        """As Airflow's: no Exception, so that nobody swallows it."""

    case = Case(host_with(png()))
    case.store.refuse["put_file"] = Timeout()  # type: ignore[assignment]
    with pytest.raises(Timeout):
        case.run()
    assert list(spool.iterdir()) == []


def test_no_query_reaches_any_log_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    case = Case(host_with([httpx.Response(403), png(0)], httpx.Response(503)))
    case.error(job(num_images=2))
    for text in (caplog.text, *case.log.infos, *case.log.warnings):
        assert "Signature" not in text
