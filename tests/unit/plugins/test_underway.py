# SPDX-License-Identifier: Apache-2.0
"""While a batch goes on, the light table shows each of its items, and the pictures that have landed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.plugins.airflow_access import Instance
from airflow_provider_runflow.plugins.cards import Sheet, make_sheet
from airflow_provider_runflow.plugins.underway import manifest_underway
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.plugins.world import DAG_ID, RUN, World, journal, png, record, sha256

pytestmark = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")

IMAGE = {
    "index": 0,
    "uri": "s3://brand/spring/cup.png",
    "content_type": "image/png",
    "width": 1024,
    "height": 768,
    "size_bytes": 9,
    "sha256": "a" * 64,
}
FACTS = {"items": 5, "waiting": 3, "outcomes": {}, "model": "openai/gpt-image-2", "destination": "s3://brand/spring/"}


def instance(state: str, kept: dict[str, Any], **facts: Any) -> Instance:
    xcoms = {"runflow_batch": {**FACTS, **facts}}
    return Instance(DAG_ID, RUN, "catalogue", -1, state, 1, "GptImage2BatchOperator", xcoms=xcoms, kept=kept)


def sheet(state: str, kept: dict[str, Any], **facts: Any) -> Sheet:
    told = instance(state, kept, **facts)
    return make_sheet([(told, manifest_underway(told))])


def test_each_item_has_a_card_that_says_how_far_it_is() -> None:
    kept = journal(record("cup", "landed", IMAGE), record("bowl", "submitted"), record("jug", "intent"))
    found = sheet("deferred", kept)
    assert [(card["key"], card["status"], card["prompt"]) for card in found.cards] == [
        ("cup", "landed", "cup on linen"),
        ("bowl", "waiting", "bowl on linen"),
        ("jug", "waiting", "jug on linen"),
        (None, "waiting", None),
    ]
    assert found.cards[1]["runflow_run_id"] == "run-of-bowl"
    assert found.cards[1]["labels"] == {"locale": "en"}
    assert found.counts == {"landed": 1, "waiting": 4}
    assert found.cost_usd == "0.009"
    assert found.moving


def test_items_that_are_not_submitted_yet_share_a_card() -> None:
    (rest,) = [card for card in sheet("running", journal(record("cup", "submitted"))).cards if card["key"] is None]
    assert (rest["count"], rest["progress"]["items"]) == (4, 5)


def test_when_all_are_on_record_there_is_no_card_for_the_rest() -> None:
    found = sheet("deferred", journal(record("cup", "submitted")), items=1)
    assert [card["key"] for card in found.cards] == ["cup"]


def test_of_a_batch_that_died_before_it_could_say_how_it_ended_what_waits_has_failed() -> None:
    kept = journal(record("cup", "landed", IMAGE), record("bowl", "submitted"))
    cup, bowl, rest = sheet("failed", kept).cards
    assert (cup["status"], bowl["status"], rest["status"]) == ("landed", "failed", "failed")
    assert "a retry lands what is paid for $0" in bowl["reason"]


@pytest.mark.parametrize("uri", ["s3://other/cup.png", "s3://brand/spring/../cup.png", "file:///etc/passwd", None])
def test_a_picture_outside_the_destination_is_not_shown(uri: str | None) -> None:
    (cup, _) = sheet("deferred", journal(record("cup", "landed", {**IMAGE, "uri": uri}))).cards
    assert cup["status"] == "not landed"
    assert cup["uri"] is None


def test_without_a_destination_no_picture_is_shown() -> None:
    told = instance("deferred", journal(record("cup", "landed", IMAGE)), destination=None)
    found = manifest_underway(told)
    assert found is not None
    assert found.rows[0].images == ()


@pytest.mark.parametrize("value", [7, "text", {"schema_version": 99}, {"schema_version": 1, "writers": ["gone"]}])
def test_a_journal_that_cannot_be_read_leaves_the_one_card_of_all_items(value: Any) -> None:
    (card,) = sheet("deferred", {"runflow.log": value}).cards
    assert (card["status"], card["count"]) == ("waiting", 5)


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="Airflow before 3.3 keeps no journal")
class TestInAirflow:
    def test_a_picture_that_has_landed_is_served_while_the_batch_goes_on(self, world: World) -> None:
        raw = png()
        image = world.stored("spring/cup.png", raw)
        world.instance(
            "catalogue",
            "running",
            operator="GptImage2BatchOperator",
            kept=journal(record("cup", "landed", image), record("bowl", "submitted")),
            runflow_batch={**FACTS, "items": 2, "destination": f"file://{world.bucket}/spring/"},
        )
        assert [(card["key"], card["status"]) for card in world.cards()] == [("cup", "landed"), ("bowl", "waiting")]
        answer = world.picture(sha256(raw), task_id="catalogue")
        assert (answer.status_code, answer.content) == (200, raw)

    def test_who_may_not_read_the_dag_gets_neither_names_nor_pixels(self, world: World) -> None:
        raw = png()
        image = world.stored("spring/cup.png", raw)
        world.instance(
            "catalogue",
            "running",
            operator="GptImage2BatchOperator",
            dag_id="secret_campaign",
            kept=journal(record("cup", "landed", image)),
            runflow_batch={**FACTS, "destination": f"file://{world.bucket}/spring/"},
        )
        answer = world.get("/api/dags/secret_campaign/pictures", who="eve", run_id=RUN)
        assert answer.status_code == 403
        found = world.picture(sha256(raw), who="eve", dag_id="secret_campaign", task_id="catalogue")
        assert found.status_code == 403

    def test_once_it_has_a_result_the_journal_is_not_read(self, world: World) -> None:
        world.instance(
            "catalogue",
            "failed",
            operator="GptImage2BatchOperator",
            kept=journal(record("cup", "submitted")),
            runflow_batch=FACTS,
            return_value={"status": "failed", "manifest_uri": None},
        )
        assert [card["key"] for card in world.cards()] == [None]
