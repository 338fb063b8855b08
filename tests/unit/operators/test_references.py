# SPDX-License-Identifier: Apache-2.0
"""Pictures to work from: a presigned address is used, renewed at each try, and shown nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import HAS_TASK_STATE_STORE, Outcome
from tests.unit.operators.conftest import World

ADDRESS = "https://private.s3.example/cup.jpg"
SECRET = "X-Amz-Credential=AKIA&X-Amz-Signature="
FIRST, SECOND = (f"{SECRET}{letter * 64}" for letter in "ab")


@pytest.fixture(params=["typed", "any model"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def task(world: World, kind: str, query: str, **changes: Any) -> RunflowRunOperator:
    """An edit of a picture whose address is signed with this query."""
    address = f"{ADDRESS}?{query}"
    if kind == "typed":
        facts: dict[str, Any] = {"prompt": "on marble", "references": [address], "mask": address}
        return world.operator_of(GptImage2EditOperator, **{**facts, **changes})
    given = {"prompt": "on marble", "image_urls": [address], "mask_url": address}
    return world.operator_of(RunflowModelOperator, **{"model": "openai/gpt-image-2/edit", "input": given, **changes})


def again(world: World, outcome: Outcome, task: RunflowRunOperator) -> Outcome:
    """The next try, which reads the DAG file anew."""
    attempt = outcome.attempt
    return world.run(task, try_number=attempt.try_number + 1, max_tries=attempt.max_tries)


class TestASignatureIsASecret:
    def test_it_is_sent_to_runflow_and_shown_nowhere(
        self,
        world: World,
        kind: str,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        world.emulator.configure(queue_seconds=20)
        started = world.airflow.run(task(world, kind, FIRST))
        outcome = world.airflow.settle(started)
        assert outcome.state == "success"
        assert world.emulator.runs[0].input["image_urls"] == [f"{ADDRESS}?{FIRST}"]
        shown = {
            "rendered fields": world.airflow.rendered,
            "journal": world.airflow.states,
            "deferral": str(started.message),
            "XComs": world.airflow.xcoms,
            "sidecars": world.sidecars(),
            "logs": caplog.text + capsys.readouterr().out,
        }
        for where, what in shown.items():
            assert "a" * 64 not in str(what), where
        assert world.sidecars()[0]["input"]["image_urls"] == [ADDRESS]
        assert ADDRESS in str(world.airflow.rendered)

    def test_an_error_does_not_show_it_either(self, world: World) -> None:
        wrong = [f"{ADDRESS}?{FIRST}", f"http://b.example/2.jpg?{FIRST}"]
        outcome = world.run(task(world, "typed", FIRST, references="{{ params.wrong }}", params={"wrong": wrong}))
        assert "item 1, 'http://b.example/2.jpg'" in str(outcome.error)
        assert "Signature" not in str(outcome.error)

    def test_a_subclass_that_sets_a_parameter_itself_has_the_last_word(self, world: World) -> None:
        class Rewritten(GptImage2EditOperator):
            def execute(self, context: Any) -> dict[str, Any]:
                self.references = [f"https://b.example/new.jpg?{SECOND}"]
                return super().execute(context)

        world.run(world.operator_of(Rewritten, prompt="on marble", references=[f"{ADDRESS}?{FIRST}"]))
        assert world.emulator.runs[0].input["image_urls"] == [f"https://b.example/new.jpg?{SECOND}"]


class TestAnAddressIsSignedAnewAtEachTry:
    def test_a_retry_attaches_to_the_run_of_the_first_signature(
        self, world: World, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.emulator.add_fault(route="output", effect="status", status=503, times=5)
        first = world.run(task(world, kind, FIRST, retries=1))
        second = again(world, first, task(world, kind, SECOND, retries=1))
        assert (first.state, second.state) == ("up_for_retry", "success")
        assert (world.posts, len(world.billed)) == (1, 1)
        assert "renders another request" not in capsys.readouterr().out

    def test_it_does_so_without_a_journal_too(self, world: World, kind: str) -> None:
        world.emulator.add_fault(route="output", effect="status", status=503, times=5)
        first = world.run(task(world, kind, FIRST, retries=1))
        world.airflow.states.clear()
        assert again(world, first, task(world, kind, SECOND, retries=1)).state == "success"
        assert (world.posts, len(world.billed)) == (1, 1)

    @pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
    def test_what_never_arrived_is_submitted_with_the_signature_of_now(self, world: World, kind: str) -> None:
        world.emulator.add_fault(route="create", effect="drop_before", times=5)
        first = world.run(task(world, kind, FIRST, retries=1))
        (record,) = (json.dumps(states) for states in world.airflow.states.values())
        assert ADDRESS in record
        second = again(world, first, task(world, kind, SECOND, retries=1))
        assert (first.state, second.state) == ("up_for_retry", "success")
        assert world.emulator.runs[0].input["mask_url"] == f"{ADDRESS}?{SECOND}"
        assert len(world.billed) == 1

    def test_another_path_is_another_picture(self, world: World) -> None:
        first = world.run(task(world, "typed", FIRST))
        other = task(world, "typed", FIRST, references=[f"{ADDRESS}.new?{FIRST}"])
        attempt = first.attempt
        world.run(other, try_number=2, max_tries=attempt.max_tries + 1, clear_number=1)
        assert len(world.billed) == 2


def test_a_rendered_list_of_references_is_read(world: World) -> None:
    listed = {"listed": [ADDRESS, "https://b.example/2.jpg"]}
    world.run(
        world.operator_of(GptImage2EditOperator, prompt="on marble", references="{{ params.listed }}", params=listed)
    )
    assert world.emulator.runs[0].input["image_urls"] == listed["listed"]
