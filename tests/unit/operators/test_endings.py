# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/outcomes.md, brought about on workers and deferred."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.outcomes import Outcome
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.operators.conftest import World
from tests.unit.operators.endings import ENDINGS, Ending, page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "outcomes.md"


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.cause)
def test_it_ends_as_the_page_says(world: World, ending: Ending) -> None:
    if ending.kind is exceptions.JournalError and not HAS_TASK_STATE_STORE:
        pytest.skip("before Airflow 3.3 there is no journal that could not be written")
    ended = ending.act(world)
    assert ended.state == ending.state, ended.error
    world.clock.advance(600)  # a cancelled run is debited when it would have ended
    assert len(world.billed) == ending.billed
    if ending.kind is None:
        return
    error = ended.error if isinstance(ended.error, exceptions.RunflowError) else getattr(ended.error, "__cause__", None)
    assert type(error) is ending.kind, error
    shown = world.airflow.xcom(ended.attempt.task, "runflow_end")
    assert (shown["outcome"], error.outcome) == (ending.outcome.value, ending.outcome)


def test_every_outcome_is_on_the_page() -> None:
    assert {ending.outcome for ending in ENDINGS} == set(Outcome)


def test_the_page_is_made_of_the_rows() -> None:
    assert PAGE.read_text() == page(), "python -m tests.unit.operators.endings > docs/outcomes.md"
