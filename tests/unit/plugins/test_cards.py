# SPDX-License-Identifier: Apache-2.0
"""What the contact sheet shows of a task instance, in each of its states."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.landing.manifest import row_from_json
from airflow_provider_runflow.plugins.airflow_access import Instance
from airflow_provider_runflow.plugins.cards import OPERATORS, make_sheet
from airflow_provider_runflow.plugins.landed import Manifest, Row
from tests.unit.plugins.world import FACTS, result, row

IMAGE = {
    "index": 0,
    "uri": "s3://b/a.png",
    "content_type": "image/png",
    "width": 1024,
    "height": 768,
    "size_bytes": 9,
    "sha256": "a" * 64,
}


def instance(state: str | None, **xcoms: Any) -> Instance:
    return Instance("campaign", "r1", "hero", -1, state, 1, "GptImage2Operator", xcoms=xcoms)


def manifest(*rows: dict[str, Any]) -> Manifest:
    return Manifest(tuple(Row(row_from_json(each), tuple(each["images"])) for each in rows))


def only(state: str | None, **xcoms: Any) -> dict[str, Any]:
    (card,) = make_sheet([(instance(state, **xcoms), None)]).cards
    return card


class TestASingleRun:
    def test_each_picture_has_a_card_with_what_was_asked_and_what_came(self) -> None:
        told = {**result([IMAGE, {**IMAGE, "index": 1, "sha256": "b" * 64}]), "cost_usd": "0.018"}
        sheet = make_sheet([(instance("success", runflow_run=FACTS, return_value=told), None)])
        first, second = sheet.cards
        assert (first["status"], first["prompt"], first["quality"]) == ("landed", "A brass sign", "low")
        assert (first["width"], first["height"], first["size_bytes"]) == (1024, 768, 9)
        assert (first["index"], second["index"], first["in_run"]) == (0, 1, 2)
        assert sheet.cost_usd == "0.018"
        assert sheet.counts == {"landed": 2}
        assert not sheet.moving

    @pytest.mark.parametrize("state", ["scheduled", "queued", "running", "deferred", "up_for_retry"])
    def test_while_it_goes_on_it_waits(self, state: str) -> None:
        card = only(state, runflow_run=FACTS)
        assert (card["status"], card["prompt"], card["state"]) == ("waiting", "A brass sign", state)
        assert make_sheet([(instance(state), None)]).moving

    def test_a_blocked_one_says_why(self) -> None:
        end = {"outcome": "blocked", "reason": "content policy"}
        card = only("failed", runflow_run=FACTS, runflow_end=end)
        assert (card["status"], card["outcome"], card["reason"]) == ("blocked", "blocked", "content policy")

    def test_one_that_skipped_because_it_was_blocked_is_blocked(self) -> None:
        assert only("skipped", runflow_end={"outcome": "blocked", "reason": "policy"})["status"] == "blocked"

    def test_a_failed_one_says_why_or_where_to_look(self) -> None:
        assert only("failed", runflow_end={"outcome": "invalid", "reason": "too large"})["reason"] == "too large"
        assert "log" in only("failed")["reason"]

    def test_what_landed_in_part_shows_both(self) -> None:
        end = {"outcome": "partial", "reason": "1 of 2"}
        shown = make_sheet([(instance("failed", return_value=result([IMAGE]), runflow_end=end), None)])
        assert shown.counts == {"landed": 1, "failed": 1}

    def test_what_was_left_at_runflow_is_not_landed(self) -> None:
        left = dict.fromkeys(IMAGE, None) | {"index": 0}
        assert only("success", return_value=result([left]))["status"] == "not landed"

    @pytest.mark.parametrize("state", [None, "skipped", "upstream_failed", "removed"])
    def test_what_did_not_run_has_no_card(self, state: str | None) -> None:
        assert make_sheet([(instance(state), None)]).cards == []

    def test_no_query_of_an_address_reaches_the_browser(self) -> None:
        signed = "https://bucket.test/a.png?X-Amz-Signature=abc"
        end = {"outcome": "failed", "reason": f"could not read {signed}"}
        sheet = make_sheet(
            [(instance("failed", return_value=result([{**IMAGE, "uri": signed}]), runflow_end=end), None)]
        )
        assert "Signature" not in str(sheet.cards)


class TestABatch:
    def test_each_picture_and_each_item_without_one_has_a_card(self) -> None:
        rows = manifest(
            row("cup", IMAGE), row("bowl", outcome="blocked", reason="no"), row("plate", outcome="timed_out")
        )
        cards = make_sheet([(instance("success", return_value={"cost_usd": "0.009"}), rows)]).cards
        assert [(card["key"], card["status"]) for card in cards] == [
            ("cup", "landed"),
            ("bowl", "blocked"),
            ("plate", "failed"),
        ]
        assert cards[0]["labels"] == {"locale": "en"}
        assert cards[2]["outcome"] == "timed_out"

    def test_while_it_waits_one_card_stands_for_all_items(self) -> None:
        facts = {"items": 2000, "waiting": 1500, "outcomes": {"succeeded": 500}, "model": "openai/gpt-image-2"}
        sheet = make_sheet([(instance("deferred", runflow_batch=facts), None)])
        assert sheet.counts == {"waiting": 2000}
        assert sheet.cards[0]["progress"] == {"items": 2000, "waiting": 1500, "outcomes": {"succeeded": 500}}

    def test_garbage_in_xcoms_breaks_nothing(self) -> None:
        for value in (None, 7, "text", [], {"images": 3}, {"images": [3, None]}, {"cost_usd": "x"}):
            told = {"runflow_run": value, "runflow_end": value, "return_value": value}
            make_sheet([(instance("failed", **told), None)])


def test_the_operators_that_are_known_by_name_are_those_of_the_package() -> None:
    from importlib import import_module

    from airflow_provider_runflow.decorators.runflow_image import task_class
    from airflow_provider_runflow.operators.base import RunflowRunOperator
    from airflow_provider_runflow.operators.batch import RunflowBatchOperator
    from airflow_provider_runflow.transfers.base import RunflowTransferOperator

    for name in ("flux", "gpt_image_1_5", "gpt_image_2", "runflow"):
        import_module(f"airflow_provider_runflow.operators.{name}")
    for name in ("runflow_to_s3", "runflow_to_object_storage"):
        import_module(f"airflow_provider_runflow.transfers.{name}")

    def public(base: type) -> set[str]:
        ours = {each for each in base.__subclasses__() if each.__module__.startswith("airflow_provider_runflow.")}
        return {each.__name__ for each in ours} | {name for each in ours for name in public(each)}

    found = public(RunflowRunOperator) | public(RunflowBatchOperator) | public(RunflowTransferOperator)
    made = {name for name in OPERATORS if name.endswith("FromFunction")}
    assert {name.removesuffix("FromFunction") for name in made} == public(RunflowRunOperator) & (OPERATORS - made)
    bases = {"TakesReferences", "ReadsReferences", "RunflowImageTask"}
    assert {name for name in found if not name.endswith("FromFunction")} - bases == OPERATORS - made
    assert task_class("gpt_image_2:GptImage2Operator").__name__ in made
