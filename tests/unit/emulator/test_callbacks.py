# SPDX-License-Identifier: Apache-2.0
"""Callbacks: when they are due, what they say, who signed them, and when they are given up. Nothing is sent here."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from airflow_provider_runflow.emulator.callbacks import MAX_ATTEMPTS, Delivery, Result
from airflow_provider_runflow.emulator.courier import deliver
from tests.unit.emulator.api import BASE, Api, error, urls

URL = "http://127.0.0.1:9/hook"


def wanted(api: Api, **how: Any) -> str:
    return api.created(body={"callback_url": URL, "metadata": {"campaign": "spring"}}, **how)


def due(api: Api) -> list[Delivery]:
    return api.emulator.callbacks_due(api.clock.now(), BASE)


def tried(api: Api, delivery: Delivery, result: Result) -> None:
    api.emulator.callback_tried(delivery, result, api.clock.now())


def history(api: Api, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get(f"/v1/runs/{run_id}/callback").json()
    return found


def secret(api: Api, **body: Any) -> dict[str, Any]:
    response = api.http.post("/v1/callback-secrets", json=body)
    assert response.status_code == 201
    made: dict[str, Any] = response.json()
    return made


class TestWhenOneIsDue:
    def test_not_before_the_run_has_ended_and_then_until_it_was_delivered(self, api: Api) -> None:
        run_id = wanted(api)
        assert due(api) == []
        assert history(api, run_id) == []
        api.clock.advance(31)
        (delivery,) = due(api)
        assert (delivery.run.id, delivery.url) == (run_id, URL)
        tried(api, delivery, Result(204))
        assert due(api) == []

    def test_a_run_without_an_address_is_told_to_nobody(self, api: Api) -> None:
        api.finished()
        assert due(api) == []

    def test_what_was_not_taken_is_tried_again_after_growing_pauses_and_then_given_up(self, api: Api) -> None:
        run_id = wanted(api)
        api.clock.advance(31)
        waits = []
        for _ in range(MAX_ATTEMPTS):
            waited = 0
            while not due(api):
                api.clock.advance(1)
                waited += 1
                assert waited < 60
            waits.append(waited)
            tried(api, due(api)[0], Result(500, "no"))
        assert waits == [0, 1, 2, 4, 8]
        api.clock.advance(3600)
        assert due(api) == []
        (told,) = history(api, run_id)
        assert (told["status_code"], told["attempt_count"], told["max_attempts"]) == ("failed", 5, 5)

    def test_a_reset_forgets_what_was_due(self, api: Api) -> None:
        wanted(api)
        api.clock.advance(31)
        api.emulator.reset()
        assert due(api) == []


class TestWhatItSays:
    def payload(self, api: Api, **how: Any) -> dict[str, Any]:
        wanted(api, **how)
        api.clock.advance(31)
        body: dict[str, Any] = json.loads(due(api)[0].body)
        return body

    def test_it_has_the_fields_of_the_reference_and_neither_cost_nor_client_ref(self, api: Api) -> None:
        payload = self.payload(api)
        assert payload.keys() == {
            "event", "run_id", "status", "output", "duration_ms", "created_at", "completed_at", "metadata",
        }  # fmt: skip
        assert (payload["event"], payload["status"]) == ("run.completed", "succeeded")
        assert payload["metadata"] == {"campaign": "spring"}
        assert api.download(urls(payload)[0]).status_code == 200

    def test_times_are_written_with_an_offset_and_never_with_z(self, api: Api) -> None:
        payload = self.payload(api)
        assert payload["created_at"].endswith("+00:00")
        assert payload["completed_at"].endswith("+00:00")

    @pytest.mark.parametrize(
        ("outcome", "event", "status"),
        [
            ("failed", "run.failed", "failed"),
            ("partial", "run.partial_succeeded", "partial_succeeded"),
            ("cancelled", "run.cancelled", "canceled"),
        ],
    )
    def test_each_end_has_its_event(self, outcome: str, event: str, status: str) -> None:
        payload = self.payload(Api({"outcome": outcome}), num_images=2)
        assert (payload["event"], payload["status"]) == (event, status)

    def test_a_failure_carries_an_error_envelope_and_a_cancelled_run_nothing(self) -> None:
        assert self.payload(Api({"outcome": "blocked"}))["output"]["error"]["code"] == "CONTENT_POLICY_VIOLATION"
        assert self.payload(Api({"outcome": "cancelled"}))["output"] is None

    def test_its_bytes_are_frozen_when_it_is_first_due(self, api: Api) -> None:
        wanted(api)
        api.clock.advance(31)
        before = due(api)[0].body
        tried(api, due(api)[0], Result(500))
        api.clock.advance(7200)
        assert due(api)[0].body == before


class TestWhoSignedIt:
    def test_nobody_before_there_is_a_secret(self, api: Api) -> None:
        wanted(api)
        api.clock.advance(31)
        headers = due(api)[0].headers
        assert "Runflow-Signature" not in headers
        assert headers["Runflow-Request-Id"]

    def test_then_the_newest_secret_of_the_organisation_over_the_raw_bytes(self, api: Api) -> None:
        old, new = secret(api), secret(api, label="rotated")
        wanted(api)
        api.clock.advance(31)
        (delivery,) = due(api)
        expected = hmac.new(new["plain_secret"].encode(), delivery.body, hashlib.sha256).hexdigest()
        assert delivery.headers["Runflow-Signature"] == expected
        assert old["plain_secret"] != new["plain_secret"]

    def test_a_secret_is_shown_once_with_the_fields_of_the_reference(self, api: Api) -> None:
        made = secret(api, label="airflow")
        assert made.keys() == {
            "plain_secret", "id", "org_id", "key_prefix", "is_current", "label", "disabled_at", "last_used_at",
            "created_at", "updated_at",
        }  # fmt: skip
        assert made["plain_secret"].startswith("whsec_")
        assert made["label"] == "airflow"

    def test_a_label_that_is_too_long_is_422(self, api: Api) -> None:
        assert api.http.post("/v1/callback-secrets", json={"label": "a" * 256}).status_code == 422

    def test_another_organisation_signs_with_its_own(self, api: Api) -> None:
        secret(api)
        api.http = api.client(**{"X-Organization-Id": "other"})
        wanted(api)
        api.clock.advance(31)
        assert "Runflow-Signature" not in due(api)[0].headers


class TestTheHistory:
    def test_tells_every_try(self, api: Api) -> None:
        made = secret(api)
        run_id = wanted(api)
        api.clock.advance(31)
        tried(api, due(api)[0], Result(error="ConnectionRefusedError: [Errno 111]"))
        api.clock.advance(1)
        tried(api, due(api)[0], Result(200, "thanks", milliseconds=7))
        (told,) = history(api, run_id)
        assert (told["run_id"], told["callback_url"], told["signing_secret_id"]) == (run_id, URL, made["id"])
        assert json.loads(told["payload_bytes"]) == told["payload"]
        assert told["status_code"] == "delivered"
        tries = [(item["attempt_number"], item["status_code"], item["error_message"]) for item in told["attempts"]]
        assert tries == [(1, None, "ConnectionRefusedError: [Errno 111]"), (2, 200, None)]
        assert made["plain_secret"] not in json.dumps(told)

    def test_of_an_unknown_run_is_404(self, api: Api) -> None:
        assert error(api.http.get("/v1/runs/none/callback")) == (404, "RUN_NOT_FOUND")


class TestWhereItMayGo:
    @pytest.mark.parametrize(
        "url",
        [
            "https://hooks.example.com/runflow",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://0.0.0.0/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:x/",
            "http://[broken",
            "not a url",
        ],
    )
    def test_to_loopback_addresses_only(self, api: Api, url: str) -> None:
        api.created(body={"callback_url": url})
        api.clock.advance(31)
        assert deliver(due(api)[0]) == Result(error="not sent: the emulator calls loopback addresses only")

    def test_nobody_at_home_is_a_result_too(self, api: Api) -> None:
        wanted(api)  # port 9 is where nobody listens
        api.clock.advance(31)
        result = deliver(due(api)[0])
        assert result.status is None
        assert "ConnectionRefusedError" in (result.error or "")
