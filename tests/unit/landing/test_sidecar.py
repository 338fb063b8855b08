# SPDX-License-Identifier: Apache-2.0
"""landing/sidecar.py: the JSON beside a picture keeps its published form, holds no secret, and can be read back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import Any

import jsonschema
import pytest

from airflow_provider_runflow.landing import sidecar
from airflow_provider_runflow.landing.job import Job, Landed
from tests.unit.landing.fakes import NOW, RUN, SECRET, job

IMAGE = Landed(0, "s3://b/p/hero-0.png", "hero-0.png", "image/png", 16, 8, 120, "ab" * 32)


def schema() -> dict[str, Any]:
    file = resources.files("airflow_provider_runflow.landing") / "schemas" / "sidecar.v1.json"
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def build(of: Job | None = None, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"run_id": RUN, "cost_usd": "0.133", "images_in_run": 1, "created_at": NOW}
    return sidecar.build(of or job(), IMAGE, **{**given, **changes})


class TestTheForm:
    def test_is_the_published_schema(self) -> None:
        jsonschema.validate(build(), schema())
        full = job(variation="b", labels={"sku": "42"}, alt_text="A shoe", item_key="42", map_index=3)
        jsonschema.validate(build(full, cost_usd=None), schema())

    def test_what_is_not_known_of_a_run_that_was_bought_elsewhere_is_null(self) -> None:
        unknown = dict.fromkeys(("model", "prompt", "client_ref", "fingerprint", "fingerprint_version", "ordinal"))
        told = build(job(**unknown, run_id=RUN, input={}))
        jsonschema.validate(told, schema())
        assert told["model"] is told["request"]["fingerprint"] is None

    def test_every_property_is_in_the_schema_and_required_but_those_that_not_every_picture_has(self) -> None:
        def check(data: dict[str, Any], form: dict[str, Any]) -> None:
            assert (
                set(data) == set(form["properties"]) - {"derivatives", "etag", "nsfw_detected"} == set(form["required"])
            )
            for key, value in data.items():
                if "properties" in form["properties"][key]:
                    check(value, form["properties"][key])

        check(build(), schema())

    def test_the_schema_itself_is_legal(self) -> None:
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize("cost", ["0.133", "0", "1E-7", "12", ".5"])
    def test_money_is_text_as_decimal_writes_it(self, cost: str) -> None:
        jsonschema.validate(build(cost_usd=cost), schema())

    def test_says_in_a_way_machines_read_that_a_machine_made_it(self) -> None:
        assert build()["digital_source_type"].endswith("/digitalsourcetype/trainedAlgorithmicMedia")

    def test_the_time_is_utc(self) -> None:
        local = NOW.astimezone(timezone(timedelta(hours=2)))
        assert isinstance(local, datetime)
        assert build(created_at=local)["created_at"] == "2026-11-22T10:30:00+00:00"

    def test_the_name_is_the_pictures_own_with_json(self) -> None:
        assert sidecar.sidecar_name("a/hero-0.png") == "a/hero-0.png.json"

    def test_labels_are_text_whatever_the_brief_had(self) -> None:
        made = build(job(labels={"year": 2026}))
        assert made["labels"] == {"year": "2026"}

    def test_facts_that_airflow_did_not_give_are_null(self) -> None:
        assert build(job(airflow={}))["airflow"] == {
            "dag_id": None,
            "task_id": None,
            "run_id": None,
            "map_index": None,
        }


class TestSecrets:
    def test_urls_in_the_input_lose_their_query_however_deep(self) -> None:
        signed = f"https://b.s3.example/in.png?{SECRET}"
        made = build(job(input={"image_urls": [signed], "mask": {"url": signed}, "note": "why? because"}))
        assert SECRET not in json.dumps(made)
        assert made["input"] == {
            "image_urls": ["https://b.s3.example/in.png"],
            "mask": {"url": "https://b.s3.example/in.png"},
            "note": "why? because",
        }

    def test_a_data_uri_is_shortened(self) -> None:
        made = build(job(input={"mask_url": "data:image/png;base64," + "A" * 500}))
        assert made["input"]["mask_url"] == "data:image/png;base64,(500 characters)"

    def test_a_prompt_that_mentions_a_url_stays_as_it_was_sent(self) -> None:
        text = "A poster that says https://shop.example/?sale=1 in red"
        assert build(job(input={"prompt": text}))["input"]["prompt"] == text

    def test_numbers_and_nothing_stay(self) -> None:
        assert sidecar.without_queries({"n": 1, "f": 0.5, "b": True, "x": None}) == {
            "n": 1,
            "f": 0.5,
            "b": True,
            "x": None,
        }


class TestReadingBack:
    def test_ours_is_the_same_scope_item_and_fingerprint(self) -> None:
        assert sidecar.is_ours(build(), job())
        assert sidecar.is_ours(build(job(ordinal=1)), job(ordinal=2))
        for other in ({"client_ref": "x"}, {"item_key": "x"}, {"fingerprint": "x"}):
            assert not sidecar.is_ours(build(), job(**other))

    @pytest.mark.parametrize("told", [None, {}, {"request": None}, {"request": "text"}, {"request": []}])
    def test_what_is_no_sidecar_is_not_ours(self, told: Any) -> None:
        assert not sidecar.is_ours(told, job())

    def test_of_a_run_that_was_named_ours_is_the_same_run(self) -> None:
        named = job(run_id=RUN, client_ref=None, fingerprint=None)
        assert sidecar.is_ours(build(job(item_key="9")), named)
        assert not sidecar.is_ours(build(run_id="another-run"), named)
        assert not sidecar.is_ours(None, named)

    def test_the_picture_comes_back(self) -> None:
        assert sidecar.image_of(json.loads(json.dumps(build())), "hero-0.png") == IMAGE

    @pytest.mark.parametrize(
        "image", [None, [], {}, {"index": 0}, {**IMAGE.as_dict(), "width": "16"}, {**IMAGE.as_dict(), "index": True}]
    )
    def test_another_form_is_no_picture(self, image: Any) -> None:
        assert sidecar.image_of({"image": image}, "x") is None


def test_a_landed_picture_as_json_has_exactly_these_keys() -> None:
    assert IMAGE.as_dict() == {
        "index": 0,
        "uri": "s3://b/p/hero-0.png",
        "content_type": "image/png",
        "width": 16,
        "height": 8,
        "size_bytes": 120,
        "sha256": "ab" * 32,
    }
