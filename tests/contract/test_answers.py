# SPDX-License-Identifier: Apache-2.0
"""The questions that no source answers, asked; the answers are kept as fixtures beside this file.

Of the emulator they are its choices, and a change of one is noticed here. Of the real service they are news.
"""

from __future__ import annotations

import pytest

from tests.contract.answers import Answers
from tests.contract.questions import NOT_ASKED, QUESTIONS, Question
from tests.contract.world import MOST_PICTURES, World

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_has_an_answer(question: Question, world: World, answers: Answers) -> None:
    answer, seen = question.ask(world)
    answers.add(question.name, question.text, answer, seen)
    if str(answer).startswith(NOT_ASKED):
        pytest.skip(str(answer))
    if answers.expected is not None:
        assert answers.answer(question.name) == answers.expected[question.name], (
            "the emulator answers otherwise than before: if that is right, delete tests/contract/answers-emulator.json "
            "and run this again"
        )


def test_no_more_was_bought_than_was_said(world: World) -> None:
    assert world.posts <= MOST_PICTURES
