# SPDX-License-Identifier: Apache-2.0
"""Scopes, keys and fingerprints. The golden values may never change: a change bills every picture again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models import model_ids
from airflow_provider_runflow.runs.identity import (
    FINGERPRINT_VERSION,
    Request,
    TaskIdentity,
    idempotency_key,
    make_scope,
    request_token,
    run_metadata,
    unsigned,
)

TASK = TaskIdentity("spring", "hero", "scheduled__2026-03-02T06:00:00+00:00")
# What each operator asked for, and the fingerprint that this had: `tests/unit/operators/test_golden_requests.py` too.
GOLDEN = json.loads((Path(__file__).parent / "golden_requests.json").read_text())
GOLDEN_INPUT = {"prompt": "a cat", "quality": "low", "num_images": 1, "output_format": "png"}
REQUEST = Request("openai/gpt-image-2", GOLDEN_INPUT)


class TestGoldenValues:
    """Made by version 0.1.0. If one of these fails, the change under test would make every user pay again."""

    @pytest.mark.parametrize("golden", GOLDEN["requests"], ids=lambda golden: golden["name"])
    def test_a_fingerprint_is_what_it_always_was(self, golden: dict[str, Any]) -> None:
        assert GOLDEN["fingerprint_version"] == FINGERPRINT_VERSION
        request = Request(golden["model"], golden["input"], golden["variation"])
        assert request.fingerprint == golden["fingerprint"]

    def test_each_model_is_among_them(self) -> None:
        assert {golden["model"] for golden in GOLDEN["requests"]} >= set(model_ids())

    @pytest.mark.parametrize(
        ("reuse_within", "client_ref"),
        [
            ("retries", "af.spring.hero.scheduled__2026-03-02T06-00-00-00-00.go-0.4142ce74170f1b433ae8806f5c05f830"),
            ("dag_run", "af.spring.hero.scheduled__2026-03-02T06-00-00-00-00.5c6190b68f4e40ea6166007de4a086a3"),
            ("destination", "af.s3-brand-heroes.5e5d01458336e2da05aec7364b5f6f2f"),
        ],
    )
    def test_a_scope_is_what_it_always_was(self, reuse_within: str, client_ref: str) -> None:
        scope = make_scope(reuse_within, namespace="production", task=TASK, destination="s3://brand/heroes/")
        assert scope.client_ref == client_ref

    def test_an_idempotency_key_and_a_file_token_are_what_they_always_were(self) -> None:
        scope = make_scope("dag_run", namespace="production", task=TASK)
        assert (
            idempotency_key(scope, "f" * 64, 0) == "rf-f8ba8938f9b93bcfdc3fc1d6ac35c9d998c57063d9962fd06ae203445ab1602e"
        )
        assert request_token(scope, "f" * 64) == "0c1e4e2b7e13"


class TestFingerprint:
    def test_the_order_of_parameters_does_not_matter(self) -> None:
        turned = dict(reversed(GOLDEN_INPUT.items()))
        assert Request("m/n", turned).fingerprint == Request("m/n", GOLDEN_INPUT).fingerprint

    @pytest.mark.parametrize(
        "other",
        [
            Request("m/other", GOLDEN_INPUT),
            Request("m/n", {**GOLDEN_INPUT, "prompt": "a Cat"}),
            Request("m/n", {**GOLDEN_INPUT, "num_images": 2}),
            Request("m/n", GOLDEN_INPUT, "2"),
        ],
        ids=["model", "prompt", "count", "variation"],
    )
    def test_whatever_buys_another_picture_changes_it(self, other: Request) -> None:
        assert other.fingerprint != Request("m/n", GOLDEN_INPUT).fingerprint


class TestAddresses:
    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("https://b.example/a.png?X-Amz-Signature=1", "https://b.example/a.png"),
            ("http://b.example/a.png#top", "http://b.example/a.png"),
            ("HTTPS://b.example?a=1#b?c", "HTTPS://b.example"),
            ("https://b.example/a.png", "https://b.example/a.png"),
            ("see https://b.example/?a=1", "see https://b.example/?a=1"),
            ("https://b.example/?a=1 and more", "https://b.example/?a=1 and more"),
            ("what? a cat", "what? a cat"),
            ("runflow://assets/1?x", "runflow://assets/1?x"),
            ([{"url": "https://b.example/?a=1"}], [{"url": "https://b.example/"}]),
            (("https://b.example/?a",), ["https://b.example/"]),
            (7, 7),
            (None, None),
        ],
        ids=repr,
    )
    def test_an_address_counts_without_its_query_and_no_other_text_is_touched(self, value: Any, kept: Any) -> None:
        assert unsigned(value) == kept

    def test_so_another_signature_is_the_same_request_and_another_path_is_not(self) -> None:
        def fingerprint(address: str) -> str:
            return Request("m/n", {"prompt": "a cat", "image_urls": [address]}).fingerprint

        assert fingerprint("https://b.example/a.png?sig=1") == fingerprint("https://b.example/a.png?sig=2")
        assert fingerprint("https://b.example/a.png?sig=1") == fingerprint("https://b.example/a.png")
        assert fingerprint("https://b.example/a.png") != fingerprint("https://b.example/b.png")


class TestHowManyPictures:
    @pytest.mark.parametrize(
        ("given", "asked"),
        [
            ({}, 1),
            ({"num_images": 4}, 4),
            ({"num_images": 0}, 1),
            ({"num_images": "many"}, 1),
            ({"num_images": None}, 1),
        ],
        ids=str,
    )
    def test_a_request_of_any_model_asks_for_one_unless_it_says_a_number(
        self, given: dict[str, Any], asked: int
    ) -> None:
        assert Request("m/n", given).num_images == asked


class TestScope:
    def test_nothing_of_a_single_try_is_in_it(self) -> None:
        first = TaskIdentity("spring", "hero", "r", go=3, first_try=True)
        later = TaskIdentity("spring", "hero", "r", go=3, first_try=False)
        for within in ("retries", "dag_run"):
            one, two = (make_scope(within, namespace="n", task=task).client_ref for task in (first, later))
            assert one == two

    def test_only_within_retries_a_clear_makes_another_scope(self) -> None:
        before, after = (TaskIdentity("spring", "hero", "r", go=go) for go in (2, 5))

        def ref(within: str, task: TaskIdentity) -> str:
            return make_scope(within, namespace="n", task=task, destination="s3://b/p").client_ref

        assert ref("retries", before) != ref("retries", after)
        assert ref("dag_run", before) == ref("dag_run", after)
        assert ref("destination", before) == ref("destination", after)

    def test_mapped_instances_share_the_reference_and_differ_by_item(self) -> None:
        one, two = (make_scope("dag_run", namespace="n", task=TaskIdentity("d", "t", "r", map_index=i)) for i in (0, 1))
        assert one.client_ref == two.client_ref
        assert (one.item_key, two.item_key) == ("0", "1")
        assert idempotency_key(one, "f", 0) != idempotency_key(two, "f", 0)

    def test_an_item_key_wins_over_the_map_index(self) -> None:
        scope = make_scope("dag_run", namespace="n", task=TaskIdentity("d", "t", "r", map_index=7), item_key="mug")
        assert scope.item_key == "mug"

    def test_a_destination_is_one_scope_for_every_dag_run_with_or_without_a_slash(self) -> None:
        refs = {
            make_scope("destination", namespace="n", task=TaskIdentity("d", "t", run), destination=place).client_ref
            for run in ("monday", "tuesday")
            for place in ("s3://b/p", "s3://b/p/")
        }
        assert len(refs) == 1

    def test_two_installations_never_share_a_scope(self) -> None:
        refs = {make_scope("dag_run", namespace=n, task=TASK).client_ref for n in ("production", "staging")}
        assert len(refs) == 2

    @pytest.mark.parametrize("run_id", ["it's * a 'quoted' run", "r" * 250, "läuft", "a/b?c#d", "a\x00b"])
    def test_any_legal_run_id_makes_a_reference_that_the_list_endpoint_can_filter_by(self, run_id: str) -> None:
        ref = make_scope("dag_run", namespace="n", task=TaskIdentity("d" * 250, "t" * 250, run_id)).client_ref
        assert len(ref) <= 255
        assert ref.isascii()
        assert "'" not in ref
        assert ref.isprintable()

    def test_parts_cannot_be_shifted_into_each_other(self) -> None:
        refs = {
            make_scope("dag_run", namespace="n", task=TaskIdentity(dag, task, "r")).client_ref
            for dag, task in (("a", "b.c"), ("a.b", "c"), ("a-b", "c"), ("a.b.c", ""))
        }
        assert len(refs) == 4

    def test_a_destination_scope_without_a_destination_is_an_error(self) -> None:
        with pytest.raises(InvalidRequestError, match="reuse_within='destination' needs a destination"):
            make_scope("destination", namespace="n", task=TASK)

    def test_another_scope_is_an_error_that_names_the_three(self) -> None:
        with pytest.raises(InvalidRequestError, match="'week': must be 'retries', 'dag_run' or 'destination'"):
            make_scope("week", namespace="n", task=TASK)


class TestMetadata:
    def test_it_is_constant_within_the_scope_since_another_body_would_void_the_key(self) -> None:
        runs = [TaskIdentity("d", "t", run, map_index=2, go=go) for run, go in (("monday", 0), ("tuesday", 4))]
        bodies = [
            run_metadata(make_scope("destination", namespace="n", task=t, destination="s3://b/p"), REQUEST, 0, None)
            for t in runs
        ]
        assert bodies[0] == bodies[1]

    def test_it_names_the_take_and_where_no_journal_does_the_go_and_the_clears(self) -> None:
        scope = make_scope("dag_run", namespace="n", task=replace(TASK, go=4, clears=2))
        take = Request(REQUEST.model, REQUEST.input, "2")
        told = run_metadata(scope, take, 0, None, with_go=True)["airflow"]
        assert told.items() >= {"variation": "2", "go": 4, "clears": 2}.items()
        assert not {"variation", "go", "clears"} & run_metadata(scope, REQUEST, 0, None)["airflow"].keys()

    def test_the_users_own_airflow_key_is_an_error(self) -> None:
        scope = make_scope("dag_run", namespace="n", task=TASK)
        with pytest.raises(InvalidRequestError, match="'airflow' is taken"):
            run_metadata(scope, REQUEST, 0, {"airflow": 1})
