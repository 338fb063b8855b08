# SPDX-License-Identifier: Apache-2.0
"""Uploads in three steps, as strict as the reference and as S3, and what a reference stands for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.emulator.catalogue import GPT_IMAGE_2
from airflow_provider_runflow.emulator.inputs import Text
from tests.unit.emulator.api import BASE, Api, error, refused_fields

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 20
WANTED = {"filename": "fox.png", "mime_type": "image/png", "size_bytes": len(PNG)}
UNKNOWN = "5b9a2d0e-0000-4000-8000-000000000009"


@pytest.fixture
def api() -> Api:
    """A model that takes a reference beside its prompt."""
    api = Api()
    inputs = {**GPT_IMAGE_2.inputs, "image_url": Text(1, 2000)}
    api.emulator = Emulator(models={GPT_IMAGE_2.slug: replace(GPT_IMAGE_2, inputs=inputs)}, picture_size=(24, 16))
    api.transport = emulator_transport(api.emulator, api.clock)
    api.http = api.client()
    return api


def ticket(api: Api, **changes: Any) -> httpx.Response:
    return api.http.post("/v1/asset-uploads", json={**WANTED, **changes})


def put(api: Api, url: str, content: bytes = PNG, **headers: str) -> httpx.Response:
    return api.client(None).put(url, content=content, headers={"Content-Type": "image/png", **headers})


def confirm(api: Api, asset_id: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
    return api.http.post(f"/v1/asset-uploads/{asset_id}/confirmations", json={} if body is None else body)


def uploaded(api: Api, content: bytes = PNG) -> dict[str, Any]:
    made = ticket(api).json()
    assert put(api, made["upload_url"], content).status_code == 200
    record: dict[str, Any] = confirm(api, made["asset_id"]).json()
    return record


class TestTheThreeSteps:
    def test_give_a_record_and_the_bytes_back(self, api: Api) -> None:
        first = ticket(api)
        assert first.status_code == 201
        assert first.json().keys() == {"asset_id", "upload_url"}
        assert put(api, first.json()["upload_url"]).status_code == 200
        last = confirm(api, first.json()["asset_id"], {"folder_id": None})
        assert last.status_code == 201
        record = last.json()
        assert (record["name"], record["mime_type"], record["size_bytes"]) == ("fox.png", "image/png", len(PNG))
        answer = api.download(record["url"])
        assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")

    def test_the_record_has_the_fields_of_the_reference(self, api: Api) -> None:
        assert uploaded(api).keys() == {
            "id", "org_id", "folder_id", "name", "r2_key", "url", "thumbnail_url", "mime_type", "size_bytes",
            "asset_type", "source_type", "source_id", "created_by", "created_at", "updated_at", "deleted_at",
            "deleted_by", "created_by_user",
        }  # fmt: skip

    def test_reading_it_signs_the_url_anew_for_seven_days(self, api: Api) -> None:
        record = uploaded(api)
        again = api.http.get(f"/v1/assets/{record['id']}").json()
        assert again["url"] != record["url"]
        assert {**again, "url": ""} == {**record, "url": ""}
        assert parse_qs(urlsplit(record["url"]).query)["X-Amz-Expires"] == ["604800"]

    def test_size_and_type_are_what_the_storage_has_and_not_what_was_said(self, api: Api) -> None:
        made = ticket(api, size_bytes=5).json()
        put(api, made["upload_url"], PNG)
        assert confirm(api, made["asset_id"]).json()["size_bytes"] == len(PNG)

    def test_a_second_confirmation_changes_nothing(self, api: Api) -> None:
        record = uploaded(api)
        again = confirm(api, record["id"]).json()
        assert again["id"] == record["id"]

    def test_the_supported_types_are_listed(self, api: Api) -> None:
        items = api.http.get("/v1/assets/types").json()["items"]
        assert "image/png" in [item["mime_type"] for item in items]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"filename": None}, {"body.filename": "missing"}),
            ({"filename": ""}, {"body.filename": "string_too_short"}),
            ({"filename": "a" * 501}, {"body.filename": "string_too_long"}),
            ({"mime_type": "text/plain"}, {"body.mime_type": "value_error"}),
            ({"mime_type": 1}, {"body.mime_type": "string_type"}),
            ({"size_bytes": 0}, {"body.size_bytes": "greater_than_equal"}),
            ({"size_bytes": 52_428_801}, {"body.size_bytes": "less_than_equal"}),
            ({"size_bytes": "5"}, {"body.size_bytes": "int_type"}),
            ({"size_bytes": None, "mime_type": None}, {"body.size_bytes": "missing", "body.mime_type": "missing"}),
        ],
    )
    def test_a_wrong_first_step_names_its_fields(
        self, api: Api, changes: dict[str, Any], fields: dict[str, str]
    ) -> None:
        assert refused_fields(ticket(api, **changes)) == fields

    def test_50_mib_are_allowed(self, api: Api) -> None:
        assert ticket(api, size_bytes=52_428_800).status_code == 201

    def test_a_key_without_the_scope(self, api: Api) -> None:
        response = api.client("rf_noscope_x").post("/v1/asset-uploads", json=WANTED)
        assert error(response) == (403, "PERMISSION_DENIED")
        assert "assets:create" in response.json()["message"]

    def test_a_confirmation_of_nothing(self, api: Api) -> None:
        assert confirm(api, ticket(api).json()["asset_id"]).status_code == 422
        assert error(confirm(api, UNKNOWN)) == (404, "ASSET_NOT_FOUND")

    def test_an_asset_that_was_not_confirmed_is_none(self, api: Api) -> None:
        made = ticket(api).json()
        put(api, made["upload_url"])
        assert error(api.http.get(f"/v1/assets/{made['asset_id']}")) == (404, "ASSET_NOT_FOUND")

    def test_an_asset_of_another_organisation_does_not_exist(self, api: Api) -> None:
        record = uploaded(api)
        other = api.client(**{"X-Organization-Id": "other"})
        assert error(other.get(f"/v1/assets/{record['id']}")) == (404, "ASSET_NOT_FOUND")
        assert error(other.post(f"/v1/asset-uploads/{record['id']}/confirmations", json={})) == (404, "ASSET_NOT_FOUND")


class TestTheStorage:
    """As S3: it knows the signature and nothing else."""

    def code(self, response: httpx.Response) -> tuple[int, str]:
        return response.status_code, response.text.partition("<Code>")[2].partition("</Code>")[0]

    def test_an_authorization_header_is_refused(self, api: Api) -> None:
        url = ticket(api).json()["upload_url"]
        assert self.code(put(api, url, Authorization="Bearer rf_live_test")) == (400, "InvalidArgument")

    def test_another_content_type_does_not_fit_the_signature(self, api: Api) -> None:
        url = ticket(api).json()["upload_url"]
        assert self.code(put(api, url, **{"Content-Type": "image/jpeg"})) == (403, "SignatureDoesNotMatch")

    def test_an_upload_url_is_no_download_url_and_the_other_way_round(self, api: Api) -> None:
        assert self.code(api.download(ticket(api).json()["upload_url"])) == (403, "SignatureDoesNotMatch")
        assert self.code(put(api, uploaded(api)["url"])) == (403, "SignatureDoesNotMatch")

    def test_a_url_without_its_query_is_denied(self, api: Api) -> None:
        assert self.code(put(api, ticket(api).json()["upload_url"].partition("?")[0])) == (403, "AccessDenied")

    def test_an_upload_url_expires(self, api: Api) -> None:
        url = ticket(api).json()["upload_url"]
        api.clock.advance(3602)
        assert self.code(put(api, url)) == (403, "AccessDenied")

    def test_a_body_without_a_declared_length_is_refused(self, api: Api) -> None:
        url = ticket(api).json()["upload_url"]
        response = api.client(None).put(url, content=iter([PNG]), headers={"Content-Type": "image/png"})
        assert self.code(response) == (411, "MissingContentLength")


class TestReferences:
    def create(self, api: Api, reference: str, **more: Any) -> httpx.Response:
        return api.create(image_url=reference, quality="low", **more)

    def test_a_reference_is_taken_and_reads_give_a_fresh_url_in_its_place(self, api: Api) -> None:
        record = uploaded(api)
        made = self.create(api, f"runflow://assets/{record['id']}")
        assert made.status_code == 201
        url = api.run(made.json()["id"])["input"]["image_url"]
        assert url.startswith(f"{BASE}/assets/{record['id']}.png?X-Amz-")
        assert api.download(url).content == PNG
        row = api.list(fields="id,input")["items"][0]
        assert row["input"]["image_url"].startswith(f"{BASE}/assets/")
        assert api.run(made.json()["id"])["input"]["image_url"] != url

    @pytest.mark.parametrize("asset_id", [UNKNOWN, "", "../x"])
    def test_an_unknown_reference_is_422_and_costs_nothing(self, api: Api, asset_id: str) -> None:
        response = self.create(api, f"runflow://assets/{asset_id}")
        assert refused_fields(response) == {"body.input.image_url": "value_error"}
        assert response.json()["errors"][0]["msg"] == f"asset not found or expired: runflow://assets/{asset_id}"
        assert api.emulator.runs == []

    def test_a_reference_of_another_organisation_is_unknown(self, api: Api) -> None:
        record = uploaded(api)
        api.http = api.client(**{"X-Organization-Id": "other"})
        assert self.create(api, f"runflow://assets/{record['id']}").status_code == 422

    def test_an_inline_data_uri_is_stored_and_read_back_as_a_url(self, api: Api) -> None:
        inline = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        made = self.create(api, inline, body={"metadata": {"logo": inline}})
        run = api.run(made.json()["id"])
        assert api.download(run["input"]["image_url"]).content == PNG
        assert run["metadata"]["logo"].startswith(f"{BASE}/assets/")

    def test_the_same_key_and_body_are_answered_alike_whatever_is_stored_meanwhile(self, api: Api) -> None:
        record = uploaded(api)
        first = self.create(api, f"runflow://assets/{record['id']}", key="k")
        uploaded(api)
        assert self.create(api, f"runflow://assets/{record['id']}", key="k").json()["id"] == first.json()["id"]


class TestFaults:
    def test_each_step_can_be_hit(self, api: Api) -> None:
        for route in ("asset_upload", "asset_put", "asset_confirm"):
            api.emulator.add_fault(route=route, effect="status", status=503, times=1)
        assert ticket(api).status_code == 503
        made = ticket(api).json()
        assert put(api, made["upload_url"]).status_code == 503
        assert put(api, made["upload_url"]).status_code == 200
        assert confirm(api, made["asset_id"]).status_code == 503
        assert confirm(api, made["asset_id"]).status_code == 201

    def test_an_upload_url_can_be_dead_on_arrival(self, api: Api) -> None:
        api.emulator.add_fault(route="asset_upload", effect="expired", times=1)
        assert put(api, ticket(api).json()["upload_url"]).status_code == 403
        assert put(api, ticket(api).json()["upload_url"]).status_code == 200

    def test_a_reset_forgets_the_files(self, api: Api) -> None:
        record = uploaded(api)
        api.emulator.reset()
        assert api.http.get(f"/v1/assets/{record['id']}").status_code == 404


def test_two_emulators_with_one_seed_give_the_same_ids() -> None:
    ids = []
    for _ in range(2):
        http = httpx.Client(
            transport=emulator_transport(Emulator(seed=3), VirtualClock()),
            base_url=BASE,
            headers={"Authorization": "Bearer rf_live_test"},
        )
        ids.append(http.post("/v1/asset-uploads", json=WANTED).json()["asset_id"])
    assert ids[0] == ids[1]
