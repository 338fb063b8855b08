# SPDX-License-Identifier: Apache-2.0
"""``@task.runflow_image``: the function says what the picture shows; everything else is the operator's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import task

from airflow_provider_runflow.decorators.runflow_image import runflow_image_task
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.flux import Flux11ProOperator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator, GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import HAS_TASK_STATE_STORE, in_dag
from tests.unit.operators.conftest import World, deferrable, world

__all__ = ["deferrable", "world"]

CUP = "https://shop.example/cup.jpg"


def make(world: World, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The task that a decorated function becomes in this world."""
    ours = {"destination": str(world.destination), "deferrable": world.deferrable}
    with in_dag():
        return runflow_image_task(**{**ours, **options})(function)(*args).operator


def sent(world: World) -> dict[str, Any]:
    return world.emulator.runs[-1].input


class TestWhatTheFunctionReturns:
    def test_a_text_is_the_prompt(self, world: World) -> None:
        def hero() -> str:
            return "a cat"

        outcome = world.run(make(world, hero, quality="low"))
        assert world.result(outcome)["cost_usd"] == "0.009000"
        assert sent(world) == {"prompt": "a cat", "quality": "low", "num_images": 1, "output_format": "png"}
        assert len(world.files()) == 1

    def test_a_dict_is_parameters_which_win_over_those_of_the_decorator(self, world: World) -> None:
        def hero() -> dict[str, Any]:
            return {"prompt": "a cat", "quality": "low", "image_size": "square_hd"}

        world.run(make(world, hero, quality="high", num_images=2))
        assert sent(world) == {
            "prompt": "a cat",
            "quality": "low",
            "num_images": 2,
            "image_size": "square_hd",
            "output_format": "png",
        }

    def test_it_is_data_not_a_template(self, world: World) -> None:
        world.run(make(world, lambda: "Save {{ percent }}%\n", task_id="hero"))
        assert sent(world)["prompt"] == "Save {{ percent }}%\n"

    def test_arguments_are_templates_and_the_context_is_there(self, world: World) -> None:
        def hero(animal: str, ds: str | None = None) -> str:
            return f"a {animal} on {ds}"

        world.run(make(world, hero, "{{ params.animal }}", params={"animal": "fox"}))
        assert sent(world)["prompt"] == "a fox on 2026-03-02"

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (None, "hero returned NoneType: a task of @task.runflow_image must return the prompt"),
            (["a cat"], "hero returned list"),
            ("  ", "prompt='  ': must not be empty"),
            ({}, "openai/gpt-image-2: prompt is required"),
            ({"promt": "a cat"}, "openai/gpt-image-2: promt: no such parameter. Did you mean prompt?"),
            ({"prompt": "a cat", "destination": "s3://elsewhere"}, "destination: no such parameter"),
            ({"prompt": "a cat", "quality": "ultra"}, "quality='ultra': must be 'low', 'medium' or 'high'"),
        ],
        ids=repr,
    )
    def test_anything_else_costs_nothing_and_says_why(self, world: World, returned: Any, message: str) -> None:
        def hero() -> Any:
            return returned

        outcome = world.run(make(world, hero))
        assert message in str(outcome.error)
        assert (outcome.state, world.posts) == ("failed", 0)

    def test_an_error_of_the_function_is_the_tasks_own(self, world: World) -> None:
        def hero() -> str:
            raise KeyError("no brief")

        outcome = world.run(make(world, hero, retries=1))
        assert isinstance(outcome.error, KeyError)
        assert (outcome.state, world.posts) == ("up_for_retry", 0)

    def test_the_ui_shows_the_prompt_also_after_a_wait(self, world: World) -> None:
        world.run(make(world, lambda: "a cat", task_id="hero"))
        (rendered,) = world.airflow.rendered.values()
        assert rendered["prompt"] == "a cat"


class TestPaidOnce:
    @pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
    def test_a_retry_asks_the_function_again_but_buys_nothing_more(self, world: World) -> None:
        asked: list[int] = []

        def hero() -> str:
            asked.append(1)
            return f"a cat, take {len(asked)}"

        world.emulator.add_fault(route="output", effect="status", status=503, times=5)
        first = world.run(make(world, hero, retries=1, item_key="hero"))
        second = world.retry(first)
        assert (first.state, second.state) == ("up_for_retry", "success")
        assert (world.posts, sent(world)["prompt"]) == (1, "a cat, take 1")

    def test_resuming_does_not_ask_the_function(self, world: World) -> None:
        asked: list[int] = []

        def hero() -> str:
            asked.append(1)
            return "a cat"

        world.run(make(world, hero))
        assert len(asked) == 1

    def test_resuming_without_its_kwargs_asks_it_as_dag_test_needs(self, world: World) -> None:
        if not world.deferrable:
            pytest.skip("only a deferral is resumed")
        outcome = world.airflow.run(make(world, lambda: "a cat", task_id="hero"))
        resumption = world.airflow.fire(outcome)
        resumption.next_kwargs.pop("pending")
        assert world.airflow.resume(resumption).state == "success"
        assert (world.posts, len(world.files())) == (1, 1)


class TestTheModel:
    @pytest.mark.parametrize(
        ("model", "kind", "returned", "wire"),
        [
            ("black-forest-labs/flux-1-1-pro", Flux11ProOperator, "a cat", {"prompt": "a cat"}),
            (
                "openai/gpt-image-2/edit",
                GptImage2EditOperator,
                {"prompt": "on marble", "references": CUP},
                {
                    "prompt": "on marble",
                    "image_urls": [CUP],
                    "quality": "high",
                    "num_images": 1,
                    "output_format": "png",
                },
            ),
        ],
    )
    def test_it_chooses_the_operator(
        self, world: World, model: str, kind: type, returned: Any, wire: dict[str, Any]
    ) -> None:
        operator = make(world, lambda: returned, model=model, task_id="hero")
        assert isinstance(operator, kind)
        assert world.run(operator).state == "success"
        assert sent(world) == wire

    def test_the_references_may_stand_at_the_decorator(self, world: World) -> None:
        world.run(make(world, lambda: "on marble", model="openai/gpt-image-2/edit", references=[CUP], task_id="hero"))
        assert sent(world)["image_urls"] == [CUP]

    def test_a_signature_that_the_function_returns_is_shown_nowhere(self, world: World) -> None:
        signed = f"{CUP}?X-Amz-Signature={'c' * 64}"
        told = {"prompt": "on marble", "references": [signed]}
        world.run(make(world, lambda: told, model="openai/gpt-image-2/edit", task_id="hero"))
        assert sent(world)["image_urls"] == [signed]
        shown = (world.airflow.rendered, world.airflow.states, world.airflow.xcoms)
        assert "c" * 64 not in str(shown)
        assert CUP in str(world.airflow.rendered)

    def test_what_neither_of_the_two_gave_is_missed_by_name(self, world: World) -> None:
        outcome = world.run(make(world, lambda: "on marble", model="openai/gpt-image-2/edit", task_id="hero"))
        assert "references is required" in str(outcome.error)

    def test_one_without_an_operator_of_its_own_takes_the_parameters_as_they_are(self, world: World) -> None:
        operator = make(
            world, lambda: {"prompt": "a {{ cat }}"}, model="acme/sketch", input={"strength": 7}, task_id="hero"
        )
        assert isinstance(operator, RunflowModelOperator)
        outcome = world.run(operator)
        (rendered,) = world.airflow.rendered.values()
        assert rendered["input"] == {"strength": 7, "prompt": "a {{ cat }}"}
        assert "MODEL_NOT_FOUND" in str(outcome.error)

    def test_a_wrong_literal_at_the_decorator_is_an_error_when_the_dag_is_parsed(self, world: World) -> None:
        with pytest.raises(InvalidRequestError, match="quality='ultra'"):
            make(world, lambda: "a cat", quality="ultra", task_id="hero")


class TestInADag:
    def test_airflow_offers_it_as_task_runflow_image(self) -> None:
        with in_dag() as dag:

            @task.runflow_image(quality="low", deferrable=True)  # type: ignore[attr-defined]
            def hero(animal: str) -> str:
                """A hero image."""
                return f"a {animal}"

            @task.runflow_image  # type: ignore[attr-defined]
            def plain() -> str:
                return "a cat"

            hero("fox") >> plain()
        one, two = dag.get_task("hero"), dag.get_task("plain")
        assert isinstance(one, GptImage2Operator)
        assert (one.quality, one.deferrable, one.multiple_outputs) == ("low", True, True)
        assert (one.operator_name, one.doc_md) == ("@task.runflow_image", "A hero image.")
        assert two.upstream_task_ids == {"hero"}

    def test_it_maps(self, world: World) -> None:
        def hero(animal: str) -> str:
            return f"a {animal}"

        with in_dag():
            decorated = runflow_image_task(destination=str(world.destination), deferrable=world.deferrable)(hero)
            mapped = decorated.partial().expand(animal=["fox", "cat"]).operator
        for index, animal in enumerate(("fox", "cat")):
            one = mapped.unmap({"op_kwargs": {"animal": animal}})
            assert world.run(one, map_index=index).state == "success"
        assert [run.prompt for run in world.emulator.runs] == ["a fox", "a cat"]

    def test_the_dag_can_be_serialized(self, airflow_db: None) -> None:
        from tests.harness import register

        with in_dag("decorated") as dag:
            runflow_image_task(destination="s3://b/p")(lambda: "a cat").override(task_id="hero")()
        assert register(dag).task_ids == ["hero"]
