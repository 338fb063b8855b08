# SPDX-License-Identifier: Apache-2.0
"""What an older release left behind is read by this one: an upgrade loses nothing and never bills again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module, resources
from typing import Any

import jsonschema
import pytest
from airflow.sdk.io import attach

import airflow_provider_runflow
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.landing.sidecar import image_of
from airflow_provider_runflow.manifest import read_manifest
from airflow_provider_runflow.outcomes import Outcome
from tests.harness import HAS_TASK_STATE_STORE, Attempt, Resumption
from tests.unit.operators.conftest import World
from tests.unit.upgrade.releases import DESTINATION, KEPT, RELEASES, Left, disk, keep, operator, pictures

needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
of_each = pytest.mark.parametrize(
    ("release", "kind"), [(release, kind) for release in RELEASES for kind in ("single", "batch")]
)


@pytest.fixture(autouse=True)
def destination() -> Iterator[None]:
    attach("memory", fs=disk())
    yield
    if disk().exists(DESTINATION):
        disk().rm(DESTINATION, recursive=True)


def submitted_before(world: World, left: Left) -> None:
    """At Runflow there are the runs that the older release submitted."""
    runs = world.emulator.state.runs
    for run in left.deferred["runs"]:
        asked = {name: run[name] for name in ("client_ref", "metadata")}
        made = runs.pop(RunflowHook().create_run(run["model"], run["input"], **asked).id)
        runs[run["id"]] = replace(made, id=run["id"])


def put_back(world: World, state: dict[str, Any], task: Any) -> Attempt:
    attempt = Attempt(task, "manual__2026-03-02", -1, 1, task.retries or 0)
    world.airflow.states[attempt.scope] = state
    return attempt


@needs_a_journal
@of_each
def test_runs_under_way_are_attached_to_and_none_is_bought_again(world: World, release: str, kind: str) -> None:
    left, task = Left.by(release, kind), operator(world, kind)
    submitted_before(world, left)
    put_back(world, left.deferred["state"], task)
    before = world.posts
    ended = world.run(task, try_number=2)
    assert ended.state == "success", ended.error
    assert (before, world.posts) == (len(world.emulator.runs), before)
    assert len(pictures()) == before


@of_each
def test_a_task_that_deferred_before_the_upgrade_resumes_after_it(world: World, release: str, kind: str) -> None:
    left, task = Left.by(release, kind), operator(world, kind)
    submitted_before(world, left)
    attempt = put_back(world, left.deferred["state"], task)
    module, _, name = left.deferred["trigger"]["path"].rpartition(".")
    arguments = left.deferred["trigger"]["arguments"]
    trigger = getattr(import_module(module), name)(**arguments)
    assert trigger.serialize() == (left.deferred["trigger"]["path"], arguments)
    world.airflow._attempts[attempt.ti_id] = attempt
    kwargs = {**left.deferred["resumed_with"], "event": {"status": "finished", "reason": "terminal"}}
    world.clock.advance(300)
    ended = world.airflow.settle(world.airflow.resume(Resumption(attempt, "execute_complete", kwargs)))
    assert ended.state == "success", ended.error
    assert world.posts == len(world.emulator.runs) == len(pictures())


@needs_a_journal
@of_each
def test_what_had_landed_is_brought_for_nothing(world: World, release: str, kind: str) -> None:
    left, task = Left.by(release, kind), operator(world, kind)
    left.put_files_back()
    put_back(world, left.landed["state"], task)
    ended = world.run(task, try_number=2, max_tries=1, clear_number=1)
    assert ended.state == "success", ended.error
    assert world.posts == 0


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("without", [(), ("etag", "code", "try_number", "nsfw_detected")], ids=["as it was", "older"])
def test_manifests_and_sidecars_are_read(world: World, release: str, without: tuple[str, ...]) -> None:
    left = Left.by(release, "batch")
    documents = {
        name: [json.loads(line) for line in text.split("\n") if line] for name, text in left.documents().items()
    }
    for name, rows in documents.items():
        documents[name] = [stripped(row, without) for row in rows]
        disk().pipe_file(f"{DESTINATION}/{name}", "\n".join(map(json.dumps, documents[name])).encode())
    rows = read_manifest(f"{DESTINATION}/manifest.jsonl")
    assert [row.outcome for row in rows] == [Outcome.SUCCEEDED] * 3
    for name, told in documents.items():
        form = {"manifest.jsonl": "manifest-row", "manifest.json": "manifest"}.get(name, "sidecar")
        schema = resources.files("airflow_provider_runflow.landing") / "schemas" / f"{form}.v1.json"
        for each in told:
            jsonschema.validate(each, json.loads(schema.read_text()))
            assert form != "sidecar" or image_of(each, "any.png") is not None


def stripped(value: Any, names: tuple[str, ...]) -> Any:
    """JSON data without some properties, at any depth."""
    if isinstance(value, dict):
        return {name: stripped(each, names) for name, each in value.items() if name not in names}
    return [stripped(each, names) for each in value] if isinstance(value, list) else value


def test_this_release_has_left_something(world: World) -> None:
    if os.environ.get("KEEP_RELEASE") and world.deferrable:
        print(keep(world))
    kept = KEPT / f"{airflow_provider_runflow.__version__}.json"
    assert kept.exists(), "a new version keeps what it writes: CONTRIBUTING.md, A release"
