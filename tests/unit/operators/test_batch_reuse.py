# SPDX-License-Identifier: Apache-2.0
"""`reuse_within="destination"`: an unchanged campaign in a new DAG run costs nothing, and little time."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_runflow.landing import manifest
from airflow_provider_runflow.landing.job import Landed
from airflow_provider_runflow.manifest import ManifestRow
from airflow_provider_runflow.outcomes import Outcome as Ended
from airflow_provider_runflow.runs.identity import Request, TaskIdentity, make_scope
from airflow_provider_runflow.stores import open_store, task_state, task_state_log
from airflow_provider_runflow.stores.object_storage import ObjectStorageStore
from tests.harness import Outcome
from tests.unit.operators.conftest import World, named

KEYS = ["a", "b", "c", "d"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often a store was asked for what."""
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        real = getattr(ObjectStorageStore, name)

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return real(self, *args, **kwargs)

        monkeypatch.setattr(ObjectStorageStore, name, counting)

    for name in ("check", "names", "stat", "sha256", "read_json", "read_document", "put_file", "put_json"):
        count(name)
    return counted


def campaign(world: World, requests: Any, day: str, **changes: Any) -> Outcome:
    """One DAG run of a campaign."""
    return world.run(world.batch(requests, **{"reuse_within": "destination", **changes}), run_id=day)


def told(world: World, outcome: Outcome) -> dict[str, Any]:
    attempt = outcome.attempt
    found: dict[str, Any] = world.airflow.xcom(attempt.task, run_id=attempt.run_id)
    return found


class TestAnUnchangedCampaign:
    def test_makes_no_post_and_few_calls_to_the_store(self, world: World, calls: Counter[str]) -> None:
        campaign(world, KEYS, "monday")
        calls.clear()
        before = len(world.emulator.request_log)
        outcome = campaign(world, KEYS, "tuesday")
        result = told(world, outcome)
        assert (outcome.state, world.posts, len(world.billed)) == ("success", 4, 4)
        assert len(world.emulator.request_log) == before
        assert (result["counts"]["reused"], result["cost_usd"], result["status"]) == (4, None, "succeeded")
        assert world.summary()["reused_cost_usd"] == "0.036000"
        assert all(row["reused"] and row["cost_usd"] == "0.009000" for row in world.rows().values())
        # A look at each picture, and a handful for all.
        assert calls["stat"] == 4
        assert calls["put_file"] == calls["read_json"] - 1 == 0
        assert calls["names"] == calls["check"] == 1

    def test_of_another_order_and_a_third_day_is_unchanged_too(self, world: World) -> None:
        campaign(world, KEYS, "monday")
        campaign(world, KEYS[::-1], "tuesday")
        assert told(world, campaign(world, KEYS, "wednesday"))["counts"]["reused"] == 4
        assert world.posts == 4

    def test_with_one_edited_item_makes_one_post(self, world: World) -> None:
        campaign(world, KEYS, "monday")
        items = [named(key) for key in KEYS]
        items[1]["prompt"] = "a picture of b in the rain"
        outcome = campaign(world, items, "tuesday")
        assert (outcome.state, world.posts) == ("success", 5)
        assert (told(world, outcome)["cost_usd"], len(world.files())) == ("0.009000", 5)
        assert told(world, campaign(world, items, "wednesday"))["cost_usd"] is None

    def test_with_a_new_label_buys_nothing(self, world: World) -> None:
        campaign(world, KEYS, "monday")
        items = [{**named(key), "labels": {"season": "spring"}} for key in KEYS]
        campaign(world, items, "tuesday")
        assert world.posts == 4
        assert world.rows()["a"]["labels"] == {"season": "spring"}


class TestWhatTellsThatItIsPaid:
    def remove(self, world: World, pattern: str) -> None:
        for path in world.destination.rglob(pattern):
            path.unlink()

    def test_sidecars_when_the_manifest_is_gone(self, world: World) -> None:
        campaign(world, KEYS, "monday")
        self.remove(world, "manifest*")
        assert told(world, campaign(world, KEYS, "tuesday"))["counts"]["reused"] == 4
        assert world.posts == 4

    def test_the_manifest_where_there_are_no_sidecars(self, world: World) -> None:
        campaign(world, KEYS, "monday", sidecars=None)
        assert not world.sidecars()
        assert told(world, campaign(world, KEYS, "tuesday", sidecars=None))["counts"]["reused"] == 4
        assert world.posts == 4

    def test_the_manifest_alone_also_where_no_journal_is_and_the_rest_is_waited_for(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (task_state, task_state_log):
            monkeypatch.setattr(module, "task_state_store", lambda context: None)
        campaign(world, KEYS, "monday", sidecars=None)
        outcome = campaign(world, [*KEYS, "new"], "tuesday", sidecars=None)
        assert outcome.state == "success"
        assert (told(world, outcome)["counts"]["reused"], world.posts) == (4, 5)

    def test_a_damaged_manifest_counts_as_none_and_is_told_of(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        campaign(world, KEYS, "monday")
        (world.destination / "manifest.jsonl").write_text("{}\n")
        assert told(world, campaign(world, KEYS, "tuesday"))["counts"]["reused"] == 4
        assert "manifest.jsonl cannot be read (line 1: a row needs a key); sidecars tell" in capsys.readouterr().out

    def test_runflow_itself_when_the_pictures_are_gone_so_that_they_land_again_for_nothing(self, world: World) -> None:
        campaign(world, KEYS, "monday")
        self.remove(world, "*.png*")
        outcome = campaign(world, KEYS, "tuesday")
        assert (outcome.state, world.posts, len(world.files())) == ("success", 4, 4)

    def test_nothing_when_somebody_put_other_bytes_in_their_place(self, world: World) -> None:
        campaign(world, KEYS, "monday", replace=True)
        (world.destination / world.files()[0]).write_bytes(b"not it")
        outcome = campaign(world, KEYS, "tuesday", replace=True)
        assert (outcome.state, world.posts) == ("success", 4)
        assert (world.destination / world.files()[0]).read_bytes() != b"not it"

    def test_a_run_of_which_one_picture_is_missing_still_lands_whole(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="status", status=404, after=1, times=5)
        first = campaign(world, ["a"], "monday", num_images=2, sidecars=None, min_success=0)
        assert first.state == "success"
        assert len(world.rows()["a"]["images"]) == 1
        world.emulator.clear_faults()
        second = campaign(world, ["a"], "tuesday", num_images=2, sidecars=None, filename_pattern="{key}-{index}.{ext}")
        assert second.state == "success"
        assert (world.posts, len(world.rows()["a"]["images"])) == (1, 2)

    def test_what_is_still_in_flight_is_attached_to(self, world: World) -> None:
        world.emulator.configure(queue_seconds=600)
        assert campaign(world, KEYS, "monday", timeout=60).state == "failed"
        world.clock.advance(900)
        assert campaign(world, KEYS, "tuesday").state == "success"
        assert world.posts == 4


class TestWhatVanished:
    def test_is_reported_and_never_deleted(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        campaign(world, KEYS, "monday")
        outcome = campaign(world, KEYS[1:], "tuesday")
        assert told(world, outcome)["counts"]["vanished"] == 1
        assert world.summary()["vanished"] == ["a"]
        assert len(world.files()) == 4
        said = capsys.readouterr().out
        assert "1 items that landed here before are not asked for any more (a). Their pictures are left alone." in said


class TestWhoseManifestItIs:
    def test_another_tasks_is_never_overwritten_and_each_keeps_its_own(self, world: World) -> None:
        for task_id, keys in (("hero", "ab"), ("banner", "cd"), ("story", "ef"), ("banner", "cg")):
            outcome = world.run(world.batch(list(keys), task_id=task_id), run_id=f"{task_id}{keys}")
            assert outcome.state == "success"
            uri = told(world, outcome)["manifest_uri"]
            assert list(world.rows(uri.rpartition("/")[2])) == list(keys)
        assert len(list(world.destination.glob("manifest-*.jsonl"))) == 2
        assert list(world.rows()) == ["a", "b"]

    def test_a_later_dag_run_changes_nothing_of_what_an_earlier_one_says_that_it_made(self, world: World) -> None:
        monday = told(world, campaign(world, KEYS, "monday"))["manifest_uri"].rpartition("/")[2]
        before = world.rows(monday)
        changed = [named(KEYS[0]), {**named(KEYS[1]), "prompt": "another picture"}]
        tuesday = told(world, campaign(world, changed, "tuesday"))["manifest_uri"].rpartition("/")[2]
        assert world.rows(monday) == before
        assert world.rows(tuesday)[KEYS[1]]["prompt"] == "another picture"
        assert world.rows() == world.rows(tuesday)

    def test_a_task_that_is_cleared_writes_its_own_anew(self, world: World) -> None:
        uris = {told(world, campaign(world, KEYS, "monday"))["manifest_uri"] for _ in range(2)}
        assert len(uris) == 1

    def test_mapped_tasks_have_one_each(self, world: World) -> None:
        for index, keys in enumerate(("ab", "cd")):
            outcome = world.run(world.batch(list(keys)), map_index=index)
            assert outcome.state == "success"
        uris = {
            json.loads(path.read_text())["airflow"]["map_index"]: path.name
            for path in world.destination.glob("manifest*.json")
        }
        assert set(uris) == {0, 1}

    def test_one_that_is_no_manifest_of_ours_is_left_alone(self, world: World) -> None:
        world.destination.mkdir(parents=True)
        (world.destination / "manifest.json").write_text('{"theirs": true}')
        assert campaign(world, KEYS, "monday").state == "success"
        assert json.loads((world.destination / "manifest.json").read_text()) == {"theirs": True}


def left_behind(world: World, keys: list[str]) -> None:
    """What a campaign has left: written by hand, since buying it takes its time."""
    client_ref = campaign_ref(world)
    world.destination.mkdir(parents=True, exist_ok=True)
    data = b"a picture"
    sha256 = hashlib.sha256(data).hexdigest()
    rows = []
    for key in keys:
        (world.destination / f"{key}.png").write_bytes(data)
        wire = {"prompt": named(key)["prompt"], "quality": "low", "num_images": 1, "output_format": "png"}
        image = Landed(0, f"file://{world.destination}/{key}.png", "", "image/png", 64, 64, len(data), sha256)
        known = {"runflow_run_id": f"run-{key}", "client_ref": client_ref, "images": (image,)}
        fingerprint = Request("openai/gpt-image-2", wire).fingerprint
        rows.append(ManifestRow(key, Ended.SUCCEEDED, input=wire, fingerprint=fingerprint, **known))
    manifest.write_rows(open_store(str(world.destination)), manifest.ROWS, rows)


def campaign_ref(world: World) -> str:
    task = TaskIdentity("campaign", "hero", "monday")
    return make_scope("destination", namespace="", task=task, destination=str(world.destination)).client_ref


def test_600_unchanged_items_take_seconds_of_work_and_one_edited_one_is_one_post(
    world: World, calls: Counter[str]
) -> None:
    keys = [f"item{number}" for number in range(600)]
    left_behind(world, keys)
    calls.clear()
    began = time.process_time()
    outcome = campaign(world, keys, "tuesday", filename_pattern="{key}.{ext}")
    took = time.process_time() - began
    assert (outcome.state, told(world, outcome)["counts"]["reused"]) == ("success", 600)
    assert not world.emulator.request_log
    assert calls["stat"] == 600
    assert sum(calls.values()) - calls["stat"] - calls["sha256"] < 10
    # About 2 s on an idle core; a busy machine makes each cost more.
    assert took < 10
    items = [named(key) for key in keys[:3]]
    items[0]["prompt"] = "a picture of item0 at night"
    second = campaign(world, items, "wednesday", filename_pattern="{key}-{request}.{ext}")
    assert (second.state, world.posts) == ("success", 1)


def test_a_worker_that_airflow_took_for_dead_leaves_the_manifest_of_its_successor_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.emulator.add_fault(outcome="failed", times=1)
    second = world.retry(campaign(world, KEYS, "monday", retries=1))
    assert second.state == "success"
    before = world.summary()
    campaign(world, KEYS, "monday")  # the first try, once more
    assert world.summary() == before
    assert before["airflow"]["try_number"] == 2
    assert "A later try of this task has written its manifest already" in capsys.readouterr().out
    campaign(world, KEYS, "tuesday")
    assert world.summary()["airflow"]["try_number"] == 1
