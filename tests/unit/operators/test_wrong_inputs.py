# SPDX-License-Identifier: Apache-2.0
"""The table of wrong inputs at two moments: when the DAG is parsed, or before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.flux import Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import in_dag
from tests.unit.operators.conftest import World
from tests.unit.operators.wrong_inputs import ANY_MODEL, RIGHT, RIGHT_OF_ANY_MODEL, TABLE, page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "wrong-inputs.md"


def names(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)[:50]


@pytest.mark.parametrize(("kind", "wrong", "message"), TABLE, ids=names)
def test_a_wrong_literal_is_an_error_when_the_dag_is_parsed(
    kind: type[RunflowRunOperator], wrong: dict[str, Any], message: str
) -> None:
    with in_dag(), pytest.raises(InvalidRequestError) as caught:
        kind(task_id="hero", **{**RIGHT[kind], **wrong})
    assert str(caught.value) == f"{kind.model}: {message}"


@pytest.mark.parametrize(("kind", "wrong", "message"), TABLE, ids=names)
def test_a_template_that_renders_to_something_wrong_is_an_error_before_anything_is_submitted(
    world: World, kind: type[RunflowRunOperator], wrong: dict[str, Any], message: str
) -> None:
    ((name, value),) = wrong.items()
    templates = {name: "{{ params.wrong }}", "params": {"wrong": value}, "native": True}
    outcome = world.run(world.operator_of(kind, **{**RIGHT[kind], **templates}))
    assert (outcome.state, world.posts) == ("failed", 0)
    assert str(outcome.error) == (
        f"{kind.model}: {message[:-1]}. Nothing was submitted by this attempt, so it costs nothing. It is not retried: "
        "correct the DAG or the connection, then clear the task."
    )


def test_the_table_has_every_parameter_of_every_model() -> None:
    there = {(kind, name) for kind, wrong, _ in TABLE for name in wrong}
    open_to_the_server = {
        (GptImage15EditOperator, "background"),
        (Flux11ProUltraOperator, "output_format"),
    }
    assert there == {(kind, name) for kind in RIGHT for name in kind.input_fields} - open_to_the_server


@pytest.mark.parametrize(("wrong", "message"), ANY_MODEL, ids=names)
def test_of_any_other_model_only_what_holds_for_all_is_checked(wrong: dict[str, Any], message: str) -> None:
    with in_dag(), pytest.raises(InvalidRequestError) as caught:
        RunflowModelOperator(task_id="hero", **{**RIGHT_OF_ANY_MODEL, **wrong})
    # From Python 3.13 on its JSON encoder says at the end which value it is.
    assert str(caught.value).startswith(message.removesuffix(")."))


def test_the_page_of_wrong_inputs_shows_the_table() -> None:
    assert PAGE.read_text() == page(), "python -m tests.unit.operators.wrong_inputs > docs/wrong-inputs.md"
