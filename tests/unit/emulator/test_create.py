# SPDX-License-Identifier: Apache-2.0
"""Creating runs: what is accepted, what is refused, and what an idempotency key is good for."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.unit.emulator.api import MODEL, Api, error, refused_fields

RUN_FIELDS = {
    "id", "flow_id", "model_id", "comfyui_workflow_id", "target_type", "target_version", "org_id", "status_code",
    "source_code", "input", "output", "context", "duration_ms", "cost", "cost_breakdown", "nodes_total",
    "nodes_completed", "resolved_template_id", "batch_id", "client_ref", "jurisdiction_code", "flow_version_id",
    "request_id", "created_by", "created_at", "started_at", "completed_at", "callback_url", "metadata", "has_logs",
    "has_node_runs", "links", "failure_code", "failure_message", "failure_stage_code", "node_runs",
}  # fmt: skip


class TestCreate:
    def test_a_valid_request_is_answered_with_201_and_the_full_queued_run(self, api: Api) -> None:
        response = api.create(
            "A red fox",
            quality="low",
            body={"client_ref": "campaign-1", "metadata": {"a": 1}, "callback_url": "https://example.test/hook"},
        )
        run = response.json()
        assert response.status_code == 201
        assert run.keys() == RUN_FIELDS
        assert run["status_code"] == "queued"
        assert run["input"] == {"prompt": "A red fox", "quality": "low"}
        assert (run["client_ref"], run["metadata"]) == ("campaign-1", {"a": 1})
        assert run["callback_url"] == "https://example.test/hook"
        assert run["output"] is run["cost"] is run["completed_at"] is None
        assert run["created_at"] == "2026-11-22T10:00:00.000000Z"

    def test_run_ids_are_uuids_of_version_7_in_the_order_of_creation(self, api: Api) -> None:
        ids = [api.created() for _ in range(5)]
        assert {uuid.UUID(run_id).version for run_id in ids} == {7}
        assert sorted(ids) == ids

    def test_the_same_seed_and_the_same_requests_give_the_same_answers(self) -> None:
        first, second = Api(seed=3), Api(seed=3)
        assert first.create().content == second.create().content

    def test_an_unknown_model_is_404(self, api: Api) -> None:
        for slug in ("openai/gpt-image-9", "openai/gpt-image-2/draw", "gpt-image-2/x/y/z"):
            response = api.http.post(f"/v1/models/{slug}/runs", json={"input": {"prompt": "A fox"}})
            assert error(response) == (404, "MODEL_NOT_FOUND")

    def test_a_model_path_without_owner_is_no_route(self, api: Api) -> None:
        assert error(api.http.post("/v1/models/gpt-image-2/runs", json={})) == (404, "NOT_FOUND")
        assert error(api.http.get(f"/v1/models/{MODEL}/runs")) == (405, "METHOD_NOT_ALLOWED")

    @pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b""])
    def test_a_body_that_is_no_json_object_is_422(self, api: Api, body: bytes) -> None:
        response = api.http.post(f"/v1/models/{MODEL}/runs", content=body)
        assert refused_fields(response).keys() == {"body"}

    @pytest.mark.parametrize(
        ("body", "refused"),
        [
            ({}, {"body.input": "missing"}),
            ({"input": "A fox"}, {"body.input": "dict_type"}),
            ({"input": {}}, {"body.input.prompt": "missing"}),
            ({"input": {"prompt": 7}}, {"body.input.prompt": "string_type"}),
            ({"input": {"prompt": "A"}}, {"body.input.prompt": "string_too_short"}),
            ({"input": {"prompt": "A" * 32_001}}, {"body.input.prompt": "string_too_long"}),
            ({"input": {"prompt": "A fox"}, "client_ref": "x" * 256}, {"body.client_ref": "string_too_long"}),
            ({"input": {"prompt": "A fox"}, "callback_url": "x" * 2049}, {"body.callback_url": "string_too_long"}),
            ({"input": {"prompt": "A fox"}, "metadata": [1]}, {"body.metadata": "dict_type"}),
        ],
    )
    def test_what_is_wrong_with_a_body_is_named_field_by_field(
        self, api: Api, body: dict[str, Any], refused: dict[str, str]
    ) -> None:
        assert refused_fields(api.http.post(f"/v1/models/{MODEL}/runs", json=body)) == refused

    @pytest.mark.parametrize(
        ("given", "where", "kind"),
        [
            ({"quality": "ultra"}, "quality", "literal_error"),
            ({"output_format": "gif"}, "output_format", "literal_error"),
            ({"num_images": 0}, "num_images", "greater_than_equal"),
            ({"num_images": 5}, "num_images", "less_than_equal"),
            ({"num_images": True}, "num_images", "int_type"),
            ({"num_images": "2"}, "num_images", "int_type"),
            ({"sync_mode": True}, "sync_mode", "not_emulated"),
            ({"sync_mode": "no"}, "sync_mode", "bool_type"),
            ({"seed": 7}, "seed", "extra_forbidden"),
            ({"image_size": "banner"}, "image_size", "literal_error"),
            ({"image_size": 1024}, "image_size", "type_error"),
            ({"image_size": {"width": 1024}}, "image_size.height", "missing"),
            ({"image_size": {"width": 1080, "height": 1360}}, "image_size.width", "multiple_of"),
            ({"image_size": {"width": 3856, "height": 1600}}, "image_size.width", "less_than_equal"),
            ({"image_size": {"width": 3200, "height": 1024}}, "image_size", "aspect_ratio"),
            ({"image_size": {"width": 512, "height": 512}}, "image_size", "pixels"),
            ({"image_size": {"width": 3840, "height": 3840}}, "image_size", "pixels"),
        ],
    )
    def test_an_input_outside_the_documented_limits_is_refused(
        self, api: Api, given: dict[str, Any], where: str, kind: str
    ) -> None:
        assert refused_fields(api.create(**given)) == {f"body.input.{where}": kind}
        assert api.emulator.runs == []

    def test_several_mistakes_are_told_at_once(self, api: Api) -> None:
        refused = refused_fields(api.create("A", quality="x", num_images=9))
        assert refused.keys() == {"body.input.prompt", "body.input.quality", "body.input.num_images"}

    @pytest.mark.parametrize(
        "size",
        ["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9", "auto",
         {"width": 1088, "height": 1360}, {"width": 3840, "height": 1280}, None],
    )  # fmt: skip
    def test_every_preset_and_a_legal_free_size_are_accepted(self, api: Api, size: Any) -> None:
        assert api.create(image_size=size).status_code == 201

    def test_four_images_a_request_are_the_limit_until_it_is_loosened(self, api: Api) -> None:
        assert api.create(num_images=4).status_code == 201
        api.emulator.configure(max_images=10)
        assert api.create(num_images=10).status_code == 201
        assert refused_fields(api.create(num_images=11)) == {"body.input.num_images": "less_than_equal"}


class TestIdempotencyKey:
    def test_the_same_key_and_body_replay_the_first_answer_and_create_nothing(self, api: Api) -> None:
        first = api.create(key="k1")
        api.clock.advance(60)  # the run has finished by now, the replay has not noticed
        second = api.create(key="k1")
        assert second.status_code == 201
        assert second.content == first.content
        assert len(api.emulator.runs) == 1

    def test_the_same_key_with_another_body_is_409(self, api: Api) -> None:
        api.create("A red fox", key="k1")
        assert error(api.create("A blue fox", key="k1")) == (409, "CONFLICT")

    def test_without_a_key_every_post_creates(self, api: Api) -> None:
        assert api.created() != api.created()

    def test_a_refusal_is_not_remembered(self, api: Api) -> None:
        assert api.create("A", key="k1").status_code == 422
        assert api.create("A red fox", key="k1").status_code == 201

    def test_keys_belong_to_one_organisation(self, api: Api) -> None:
        first = api.created(key="k1")
        api.http.headers["X-Organization-Id"] = "another"
        assert api.created(key="k1") != first

    def test_a_key_is_forgotten_after_its_lifetime(self) -> None:
        api = Api(idempotency_ttl=3600)
        first = api.created(key="k1")
        api.clock.advance(3599)
        assert api.created(key="k1") == first
        api.clock.advance(1)
        assert api.created(key="k1") != first

    def test_the_middleware_can_be_switched_off(self) -> None:
        api = Api(idempotency=False)
        assert api.created(key="k1") != api.created(key="k1")


class TestKeysAndOrganisations:
    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer ", "Bearer not-well-formed", "Basic abc", "rf_live_x"]
    )
    def test_a_missing_or_malformed_key_is_401(self, api: Api, header: str | None) -> None:
        client = api.client(None)
        headers = {} if header is None else {"Authorization": header}
        assert error(client.get("/v1/runs", headers=headers)) == (401, "UNAUTHORIZED")

    def test_any_well_formed_key_is_accepted_until_some_are_named(self, api: Api) -> None:
        assert api.client("anything_2").get("/v1/auth/me").status_code == 200
        api.emulator.configure(api_keys=["rf_live_one", "rf_live_two"])
        assert api.client("rf_live_two").get("/v1/auth/me").status_code == 200
        assert error(api.client("anything_2").get("/v1/auth/me")) == (401, "UNAUTHORIZED")

    def test_a_key_without_scope_may_read_but_not_create(self) -> None:
        api = Api(key="rf_noscope_1")
        assert error(api.create()) == (403, "PERMISSION_DENIED")
        assert api.list()["items"] == []
        assert "runs:create" not in api.http.get("/v1/auth/me").json()["scopes"]

    def test_a_run_of_another_organisation_is_unknown_and_not_listed(self, api: Api) -> None:
        run_id = api.created(body={"client_ref": "x"})
        other = api.client(**{"X-Organization-Id": "another"})
        assert error(other.get(f"/v1/runs/{run_id}")) == (404, "RUN_NOT_FOUND")
        assert other.get("/v1/runs", params={"q": "client_ref.EQ:'x'"}).json()["items"] == []

    def test_an_organisation_keeps_its_uuid_and_may_be_named_by_it(self, api: Api) -> None:
        def org_id(name: str) -> str:
            body = api.client(**{"X-Organization-Id": name}).get("/v1/auth/me").json()
            return str(body["org_id"])

        first = org_id("acme")
        assert first == org_id("acme") != org_id("other")
        assert org_id(first) == first

    def test_health_needs_no_key(self, api: Api) -> None:
        response = api.client(None).get("/v1/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
