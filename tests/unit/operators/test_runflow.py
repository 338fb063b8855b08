# SPDX-License-Identifier: Apache-2.0
"""RunflowModelOperator: any model, its input as data."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import Outcome, in_dag
from tests.unit.operators.conftest import KEY, World

MODEL = "openai/gpt-image-1.5"
COPY = "Save {{ percent }}% {% now %} {# or never #} {{ conn.runflow_default.password }} \\o/\n"


def run(world: World, prompt: Any = "a cat", **changes: Any) -> Outcome:
    given = {"model": MODEL, "input": {"prompt": prompt, "quality": "low"}, **changes}
    return world.run(world.operator_of(RunflowModelOperator, **given))


def sent(world: World) -> dict[str, Any]:
    return world.emulator.runs[-1].input


class TestInputIsData:
    @pytest.mark.parametrize("text", [COPY, "hero.prompt.j2", "{{", " spaces \n\n", "日本語 ☕"])
    def test_a_text_is_sent_letter_by_letter(self, world: World, text: str) -> None:
        assert run(world, text).state == "success"
        assert sent(world) == {"prompt": text, "quality": "low"}

    def test_a_brief_cannot_read_a_connection(self, world: World) -> None:
        run(world, "{{ conn.runflow_default.password }}")
        assert KEY not in str(sent(world))

    def test_the_output_of_another_task_is_filled_in_but_not_rendered(self, world: World) -> None:
        with in_dag():
            first = GptImage2Operator(task_id="first", prompt="a cat", destination=str(world.destination))
            second = RunflowModelOperator(
                task_id="second",
                model=MODEL,
                input={"prompt": first.output["brief"]},
                destination=str(world.destination),
            )
        assert second.upstream_task_ids == {"first"}
        scope = ("campaign", "manual__2026-03-02", "first", -1)
        world.airflow.xcoms[scope] = {"brief": COPY}
        assert world.run(second).state == "success"
        assert sent(world) == {"prompt": COPY}

    def test_the_whole_input_may_be_the_output_of_another_task(self, world: World) -> None:
        with in_dag():
            first = GptImage2Operator(task_id="first", prompt="a cat")
            second = RunflowModelOperator(
                task_id="second", model=MODEL, input=first.output["brief"], destination=str(world.destination)
            )
        world.airflow.xcoms["campaign", "manual__2026-03-02", "first", -1] = {"brief": {"prompt": COPY}}
        assert world.run(second).state == "success"
        assert sent(world) == {"prompt": COPY}

    def test_a_mapped_input_is_data_too(self, world: World) -> None:
        with in_dag():
            mapped = RunflowModelOperator.partial(
                task_id="many", model=MODEL, destination=str(world.destination), deferrable=world.deferrable
            ).expand(input=[{"prompt": COPY}])
        one = mapped.unmap({"input": {"prompt": COPY}})
        assert world.run(one, map_index=0).state == "success"
        assert sent(world) == {"prompt": COPY}

    def test_templates_are_rendered_when_that_is_asked_for(self, world: World) -> None:
        run(world, "{{ ds }}", render_items=True)
        assert sent(world)["prompt"] == "2026-03-02"

    def test_the_model_may_be_a_template(self, world: World) -> None:
        run(world, model="{{ params.model }}", params={"model": MODEL})
        assert world.emulator.runs[0].model.slug == MODEL

    def test_tuples_and_numbers_become_the_json_that_is_sent(self, world: World) -> None:
        given = {"prompt": "a cat", "aspect_ratio": "1:1", "num_images": 2}
        run(world, model="black-forest-labs/flux-1-1-pro-ultra", input=given)
        assert sent(world) == given
        assert len(world.files()) == 2


class TestAnUnknownModel:
    def test_it_is_refused_by_runflow_before_anything_is_paid(self, world: World) -> None:
        outcome = run(world, model="acme/unheard-of")
        assert "MODEL_NOT_FOUND" in str(outcome.error)
        assert (outcome.state, world.billed) == ("failed", [])

    def test_a_picture_lands_as_what_it_is_when_nothing_told_its_format(self, world: World) -> None:
        outcome = run(world, model="black-forest-labs/flux-1-1-pro-ultra", input={"prompt": "a cat"})
        assert world.result(outcome)["images"][0]["content_type"] == "image/jpeg"
        assert world.files()[0].endswith(".jpg")


class TestCheckSchema:
    def asked(self, world: World) -> int:
        return sum(entry.method == "GET" and "/v1/models/" in entry.path for entry in world.emulator.request_log)

    def test_runflow_is_not_asked_unless_that_is_wanted(self, world: World) -> None:
        run(world)
        assert self.asked(world) == 0

    def test_what_the_model_takes_is_submitted(self, world: World) -> None:
        assert run(world, check_schema=True).state == "success"
        assert (self.asked(world), world.posts) == (1, 1)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"promt": "a cat"}, "promt: no such parameter. Did you mean prompt? prompt is required."),
            ({"prompt": "a cat", "seed": 7}, "seed: no such parameter. It takes prompt, quality, image_size,"),
        ],
    )
    def test_what_it_does_not_take_is_not_even_submitted(
        self, world: World, given: dict[str, Any], message: str
    ) -> None:
        outcome = run(world, input=given, check_schema=True)
        assert message in str(outcome.error)
        assert "Nothing was submitted" in str(outcome.error)
        assert (outcome.state, world.posts) == ("failed", 0)

    def test_a_model_that_does_not_exist_is_told_from_the_question(self, world: World) -> None:
        outcome = run(world, model="acme/unheard-of", check_schema=True)
        assert "MODEL_NOT_FOUND" in str(outcome.error)
        assert (outcome.state, world.posts) == ("failed", 0)

    def test_a_retry_that_attaches_does_not_ask_again(self, world: World) -> None:
        world.emulator.add_fault(route="output", effect="status", status=503, times=5)
        first = run(world, check_schema=True, retries=1)
        assert world.retry(first).state == "success"
        assert (self.asked(world), world.posts) == (1, 1)
