# SPDX-License-Identifier: Apache-2.0
"""The address of a landed picture, and copying exactly the approved one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError
from airflow_provider_runflow.pictures import copy_picture, picture_markdown, picture_url

RUN = "manual__2026-03-02T06:00:00+00:00"
MASTER = b"\x89PNG\r\n\x1a\n the bytes of a picture"
DIGEST = hashlib.sha256(MASTER).hexdigest()


class TestTheAddress:
    def test_it_is_one_of_this_airflow_and_holds_no_signature(self) -> None:
        address = urlsplit(picture_url("final", dag_id="campaign", run_id=RUN))
        assert (address.scheme, address.netloc, address.path) == ("", "", "/runflow/dags/campaign/picture")
        assert parse_qs(address.query) == {"run_id": [RUN], "task_id": ["final"], "map_index": ["-1"], "index": ["0"]}

    def test_it_is_below_the_path_that_airflow_is_served_under(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example/airflow/")
        assert picture_url("final", dag_id="a", run_id=RUN).startswith("/airflow/runflow/dags/a/picture?")

    def test_it_names_item_map_index_and_size(self) -> None:
        query = parse_qs(
            urlsplit(picture_url("drafts", 2, key="a&b=c", map_index=3, thumbnail=True, dag_id="d", run_id="r")).query
        )
        assert (query["key"], query["map_index"], query["index"]) == (["a&b=c"], ["3"], ["2"])
        assert query["size"] == ["thumbnail"]

    def test_markdown_of_any_text_stays_one_picture(self) -> None:
        text = picture_markdown("final", "a] (x)\n\n<b>*bold*</b>", dag_id="d", run_id="r")
        assert text.startswith("![a\\] (x) \\<b\\>\\*bold\\*\\</b\\>](/runflow/dags/d/picture?")
        assert "\n" not in text


class TestCopying:
    @pytest.fixture
    def image(self, tmp_path: Path) -> dict[str, Any]:
        path = tmp_path / "landed" / "a.png"
        path.parent.mkdir()
        path.write_bytes(MASTER)
        return {"uri": f"file://{path}", "sha256": DIGEST, "content_type": "image/png"}

    def test_exactly_the_bytes_arrive_and_doing_it_again_changes_nothing(
        self, image: dict[str, Any], tmp_path: Path
    ) -> None:
        told = [copy_picture(image, f"file://{tmp_path}/shop", approved_sha256=DIGEST) for _ in range(2)]
        assert told[0] == told[1]
        assert (tmp_path / "shop" / "a.png").read_bytes() == MASTER
        assert told[0]["sha256"] == DIGEST

    def test_another_picture_than_the_approved_one_is_refused(self, image: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match=r"another picture .* than the approved one"):
            copy_picture(image, f"file://{tmp_path}/shop", approved_sha256="0" * 64)
        assert not (tmp_path / "shop").exists()

    def test_what_took_its_place_in_the_bucket_is_refused(self, image: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "landed" / "a.png").write_bytes(MASTER + b"!")
        with pytest.raises(DestinationError, match="not the picture that was landed"):
            copy_picture(image, f"file://{tmp_path}/shop")
        assert not (tmp_path / "shop").exists()

    def test_another_picture_of_that_name_is_left_alone(self, image: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / "a.png").write_bytes(b"other")
        with pytest.raises(DestinationError, match="is another picture"):
            copy_picture(image, f"file://{tmp_path}/shop")
        assert (tmp_path / "shop" / "a.png").read_bytes() == b"other"

    def test_what_was_not_landed_cannot_be_copied(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match="was not landed"):
            copy_picture({"uri": None, "sha256": None}, f"file://{tmp_path}/shop")
