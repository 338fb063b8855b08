# SPDX-License-Identifier: Apache-2.0
"""landing/manifest.py: what a batch made keeps its published form, holds no secret, and can be read back."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError
from airflow_provider_runflow.landing import manifest
from airflow_provider_runflow.landing.job import Landed
from airflow_provider_runflow.manifest import ManifestRow, read_manifest
from airflow_provider_runflow.operators.batch_report import Report
from airflow_provider_runflow.outcomes import Outcome
from tests.unit.landing.fakes import NOW, MemoryStore

IMAGE = Landed(0, "mem://bucket/cup-0.png", "", "image/png", 16, 8, 120, "ab" * 32)
FULL = ManifestRow(
    key="cup_de",
    outcome=Outcome.SUCCEEDED,
    model="openai/gpt-image-2",
    prompt='a "cup"\u2028 for 猫 \U0001f431',
    input={"prompt": "a cup", "image_urls": ["https://x.example/c.png?X-Amz-Signature=5ec4e7"]},
    labels={"product": "cup", "locale": "de"},
    alt_text="A cup",
    variation="2",
    runflow_run_id="run-1",
    cost_usd=Decimal("0.0000001"),
    client_ref="af.shop",
    fingerprint="f" * 64,
    images=(IMAGE,),
)
FAILED = ManifestRow(key="pot", outcome=Outcome.BLOCKED, reason="no", dropped=True, reused=True)


def schema(name: str) -> dict[str, Any]:
    file = resources.files("airflow_provider_runflow.landing") / "schemas" / name
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def report(*rows: ManifestRow, **changes: Any) -> Report:
    task = {"dag_id": "shop", "task_id": "hero", "run_id": "manual__1", "map_index": -1}
    given: dict[str, Any] = {"enough": len(rows), "model": "m", "client_ref": "af.shop", "airflow": task}
    given["try_number"] = 2
    return Report(rows=rows, created_at=NOW, **{**given, **changes})


class TestTheForm:
    @pytest.mark.parametrize("row", [FULL, FAILED])
    def test_of_a_row_is_the_published_schema_with_every_property(self, row: ManifestRow) -> None:
        form = schema("manifest-row.v1.json")
        jsonschema.validate(row.to_json(), form)
        # Rows of the first release have no code.
        assert set(row.to_json()) == set(form["properties"]) == {*form["required"], "code"}
        assert set(form["properties"]["outcome"]["enum"]) == {outcome.value for outcome in Outcome}

    def test_of_the_totals_is_the_published_schema_with_every_property(self) -> None:
        form = schema("manifest.v1.json")
        for made in (report(FULL, FAILED, vanished=["old"]), report(FAILED, model=None)):
            told = made.summary("mem://bucket/manifest.jsonl")
            jsonschema.validate(told, form)
            assert set(told) == set(form["properties"]) == set(form["required"])
        assert datetime.fromisoformat(told["created_at"]) == NOW

    @pytest.mark.parametrize("name", ["manifest-row.v1.json", "manifest.v1.json"])
    def test_the_schemas_themselves_are_legal(self, name: str) -> None:
        jsonschema.Draft202012Validator.check_schema(schema(name))

    def test_money_is_text_without_an_exponent(self) -> None:
        assert FULL.to_json()["cost_usd"] == "0.0000001"

    def test_no_address_keeps_its_query(self) -> None:
        assert "Signature" not in json.dumps(FULL.to_json())


class TestReadingBack:
    def test_gives_the_same_rows_in_the_same_order(self) -> None:
        store = MemoryStore()
        rows = [
            FULL,
            FAILED,
            ManifestRow(key="z", outcome=Outcome.FAILED),
            ManifestRow(key="a", outcome=Outcome.FAILED),
        ]
        manifest.write_rows(store, "manifest.jsonl", rows)
        unsigned = ManifestRow(
            **{**vars(FULL), "input": {"prompt": "a cup", "image_urls": ["https://x.example/c.png"]}}
        )
        assert manifest.read_rows(store, "manifest.jsonl") == [unsigned, *rows[1:]]
        assert store.types["manifest.jsonl"] == "application/x-ndjson"
        assert store.objects["manifest.jsonl"].count(b"\n") == 4

    def test_of_nothing_is_nothing(self) -> None:
        assert manifest.read_rows(MemoryStore(), "manifest.jsonl") is None

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2: Expecting"),
            ("[]", "line 2: a row needs a key"),
            ('{"key": "a"}', "line 2: schema_version None; this package reads up to 1"),
            ('{"key": "a", "schema_version": 2}', "line 2: schema_version 2; this package reads up to 1"),
            ('{"key": "a", "schema_version": 1, "images": [{}]}', "line 2: a picture of 'a' lacks a field"),
            ('{"key": "a", "schema_version": true}', "line 2: schema_version True"),
            ('{"key": "a", "schema_version": 1, "images": 7}', "line 2: "),
            ('{"key": "a", "schema_version": 1, "labels": []}', "line 2: "),
        ],
    )
    def test_what_is_damaged_names_its_line(self, line: str, message: str) -> None:
        text = json.dumps(FAILED.to_json()) + "\n" + line
        with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("{", r"\{")):
            list(manifest.parse_rows(text))

    def test_what_a_newer_package_adds_does_not_stop_this_one(self) -> None:
        newer = {**FAILED.to_json(), "outcome": "delayed", "mood": "good", "cost_usd": "lots"}
        (row,) = manifest.parse_rows(json.dumps(newer))
        assert (row.outcome, row.cost_usd) == (Outcome.FAILED, None)


class TestReadManifest:
    def test_gives_typed_rows(self, tmp_path: Path) -> None:
        from airflow_provider_runflow.stores import open_store

        manifest.write_rows(open_store(str(tmp_path)), "manifest.jsonl", [FULL, FAILED])
        first, second = read_manifest(f"file://{tmp_path}/manifest.jsonl")
        assert (first.uris, first.cost_usd, first.labels["locale"]) == ([IMAGE.uri], Decimal("0.0000001"), "de")
        assert (second.outcome, second.uris) == (Outcome.BLOCKED, [])

    def test_of_nothing_or_of_something_else_says_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(DestinationError, match="there is no such manifest"):
            read_manifest(f"file://{tmp_path}/manifest.jsonl")
        (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
        with pytest.raises(InvalidRequestError, match=r"is no manifest of this package \(line 1: a row needs a key\)"):
            read_manifest(f"file://{tmp_path}/other.jsonl")

    @pytest.mark.parametrize("uri", [None, 7, "", "s3://bucket/manifest.json", "manifest.jsonl", "https://x/a.jsonl"])
    def test_an_address_that_is_none_is_an_error(self, uri: Any) -> None:
        with pytest.raises(InvalidRequestError):
            read_manifest(uri)


class TestTheResult:
    def test_of_10000_items_is_small(self) -> None:
        rows = [
            ManifestRow(key=f"product-{number}_de_instagram", outcome=Outcome.FAILED, reason="why " * 500)
            for number in range(10_000)
        ]
        told = report(*rows).result("s3://bucket/heroes/manifest.jsonl")
        assert len(json.dumps(told)) < 8 * 1024
        assert (told["failed"], len(told["failures"])) == (10_000, 5)

    def test_says_what_this_task_paid_and_not_what_was_paid_before(self) -> None:
        reused = ManifestRow(**{**vars(FULL), "key": "b", "reused": True, "cost_usd": Decimal(3)})
        made = report(FULL, reused)
        assert (made.cost_usd, made.summary("x")["reused_cost_usd"], made.status) == ("0.0000001", "3", "succeeded")
        assert report(reused).told() == "1 items: 1 succeeded (1 of them paid before); $0."
