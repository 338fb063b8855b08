# SPDX-License-Identifier: Apache-2.0
"""Each landing tells its assets and OpenLineage what is there now."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2BatchOperator, GptImage2Operator
from airflow_provider_runflow.operators.lineage import MAX_IMAGES
from tests.harness import HAS_TASK_STATE_STORE, Outcome
from tests.unit.operators.conftest import World

HEROES = Asset(name="heroes", uri="s3://brand-assets/heroes/")


def event_of(outcome: Outcome) -> dict[str, Any]:
    (event,) = outcome.message.outlet_events
    return dict(event)


def partitions_of(outcome: Outcome) -> set[str | None]:
    return {event.get("partition_key") for event in outcome.message.outlet_events}


def batch(world: World, items: int, **facts: Any) -> GptImage2BatchOperator:
    requests = [{"key": f"k{n}", "prompt": f"cat {n}"} for n in range(items)]
    return world.operator_of(GptImage2BatchOperator, requests=requests, quality="low", outlets=[HEROES], **facts)


def test_the_event_names_run_pictures_hashes_and_cost(world: World) -> None:
    outcome = world.run(world.operator(outlets=[HEROES]))
    assert outcome.state == "success", outcome.error
    extra, result = event_of(outcome)["extra"], world.result(outcome)
    (image,) = result["images"]
    assert {name: extra[name] for name in ("schema_version", "run_id", "cost_usd", "image_count")} == {
        "schema_version": 1,
        "run_id": result["run_id"],
        "cost_usd": result["cost_usd"],
        "image_count": 1,
    }
    assert extra["images"] == [
        {name: image[name] for name in ("uri", "sha256", "width", "height", "content_type")},
    ]


def test_the_event_names_what_was_made_of_each_picture(world: World) -> None:
    outcome = world.run(world.operator(outlets=[HEROES], derivatives=[{"name": "card", "width": 32, "height": 16}]))
    (made,) = world.result(outcome)["images"][0]["derivatives"]
    (image,) = event_of(outcome)["extra"]["images"]
    assert image["derivatives"] == [{name: made[name] for name in ("name", "uri", "sha256")}]


def test_a_retry_that_finds_everything_landed_tells_the_same(world: World) -> None:
    first = world.run(world.operator(outlets=[HEROES]))
    again = world.clear(first)
    assert event_of(again)["extra"] == event_of(first)["extra"]


def test_a_batch_names_its_manifest_and_the_first_pictures_only(world: World) -> None:
    outcome = world.run(batch(world, MAX_IMAGES + 3))
    extra = event_of(outcome)["extra"]
    assert extra["manifest_uri"] == world.result(outcome)["manifest_uri"]
    assert (extra["image_count"], len(extra["images"])) == (MAX_IMAGES + 3, MAX_IMAGES)
    assert extra["counts"]["succeeded"] == MAX_IMAGES + 3


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="partitions of asset events came with Airflow 3.3")
def test_a_partition_for_each_picture_when_that_is_wanted(world: World) -> None:
    keyed = world.run(world.operator(outlets=[HEROES], item_key="kettle", partition_assets=True))
    assert partitions_of(keyed) == {"kettle"}
    plain = world.run(world.operator(task_id="plain", outlets=[HEROES], item_key="kettle"))
    assert partitions_of(plain) == {None}
    many = world.run(batch(world, 3, task_id="many", partition_assets=True))
    assert partitions_of(many) == {"k0", "k1", "k2"}
    assert many.message.outlet_events[0]["extra"]["images"] == []  # the manifest names them, once


def test_an_outlet_that_is_no_asset_is_left_alone(world: World) -> None:
    from airflow.sdk import AssetAlias

    assert world.run(world.operator(outlets=[AssetAlias("heroes")])).state == "success"


def test_openlineage_is_told_what_landed_where(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Named:
        """Stands for a class of the OpenLineage client, which is not installed here."""

        def __init__(self, **facts: Any) -> None:
            self.__dict__.update(facts)

    facet, extractors = ModuleType("facet"), ModuleType("extractors")
    facet.Dataset = extractors.OperatorLineage = Named  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.providers.common.compat.openlineage.facet", facet)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", ModuleType("openlineage"))
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", extractors)
    told: list[Any] = []

    class Watched(GptImage2Operator):
        """Asks as Airflow's listener does: once the task has ended."""

        def post_execute(self, context: Any, result: Any = None) -> None:
            told.append(self.get_openlineage_facets_on_complete(None))

    outcome = world.run(world.operator_of(Watched, prompt="a cat", quality="low"))
    (dataset,) = told[-1].outputs
    uri = world.result(outcome)["images"][0]["uri"]
    assert (dataset.namespace, dataset.name) == ("file", uri.removeprefix("file://"))
