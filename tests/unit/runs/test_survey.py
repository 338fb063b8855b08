# SPDX-License-Identifier: Apache-2.0
"""What a list costs, and whether it is worth it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_runflow.runs.survey import (
    FRESH_FOR,
    PAGE_BUDGET,
    REFUSED_FOR,
    WORTH_A_PROBE,
    Listing,
    Survey,
    Target,
    born_by_id,
    worth_a_page,
)
from tests.unit.runs.engine_world import NOON


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


class TestOnePageMore:
    @pytest.mark.parametrize(
        ("pages", "worth"),
        [
            ([], False),
            ([1], False),
            ([1, 1], True),
            ([2, 2], False),
            ([2, 2, 2], True),
            ([1, 9, 9, 9], False),
            ([10] * 13, True),
            ([PAGE_BUDGET + 1] * 1000, False),
        ],
    )
    def test_pays_where_it_saves_more_calls_than_it_takes_pages_to_get_there(
        self, pages: list[int], worth: bool
    ) -> None:
        assert worth_a_page([Target(page) for page in pages]) is worth

    def test_is_tried_where_nobody_knows_and_there_is_something_to_save(self) -> None:
        assert not worth_a_page([Target(None)] * (WORTH_A_PROBE - 1))
        assert worth_a_page([Target(None)] * WORTH_A_PROBE)

    def test_does_not_pay_for_runs_that_another_list_shows_as_cheaply(self) -> None:
        assert not worth_a_page([Target(None, worth=10 / 5000)] * 5000)
        assert not worth_a_page([Target(1 + n // 500, worth=10 / 5000) for n in range(5000)])


class TestWhereARunStands:
    def test_is_not_known_before_anything_was_read(self) -> None:
        assert Survey().page_of("r", NOON) is None

    def test_is_where_it_was_found_though_all_were_submitted_at_once(self) -> None:
        survey = Survey()
        survey.on_sweep({"r", "s"}, NOON)
        survey.on_page(1, ago(5), ["s"], NOON)
        survey.on_page(2, ago(5), ["r"], NOON)
        assert survey.page_of("r", ago(5)) == 2

    def test_is_told_by_its_age_else(self) -> None:
        survey = Survey()
        for number in (1, 2, 3):
            survey.on_page(number, ago(10 * number), [], NOON)
        assert [survey.page_of("r", ago(age)) for age in (1, 15, 25)] == [1, 2, 3]

    def test_is_further_back_than_anybody_has_read_by_as_much_as_it_is_older(self) -> None:
        survey = Survey()
        survey.on_page(1, ago(10), [], NOON)
        assert survey.page_of("r", ago(55)) == 6

    def test_is_on_the_last_page_where_the_list_was_read_to_its_end(self) -> None:
        survey = Survey()
        survey.on_page(1, ago(10), [], NOON)
        survey.on_page(2, None, [], NOON)
        assert survey.page_of("r", ago(10_000)) == 2

    def test_is_forgotten_after_a_while_and_for_runs_that_nobody_looks_for(self) -> None:
        survey = Survey()
        survey.on_page(1, ago(10), ["r", "s"], NOON)
        survey.on_sweep({"r"}, NOON + FRESH_FOR)
        assert (survey.page_of("r", ago(5)), survey.page_of("s", ago(500))) == (1, 50)
        survey.on_sweep({"r"}, NOON + FRESH_FOR + timedelta(seconds=1))
        assert survey.page_of("r", ago(5)) is None


class TestAListOfItsOwn:
    def test_takes_as_many_pages_as_it_has_runs_until_it_was_measured(self) -> None:
        survey = Survey()
        assert [survey.pages_of("c", count) for count in (1, 500, 501, 5000)] == [1, 1, 2, 10]
        survey.measured_ref("c", 12)
        assert survey.pages_of("c", 5000) == 12
        survey.forget_ref("c")
        assert survey.pages_of("c", 5000) == 10


class TestAListThat:
    def test_refuses_is_left_alone_for_a_while(self) -> None:
        listing = Listing("list")
        listing.on_refusal(NOON)
        assert not listing.usable(NOON + REFUSED_FOR - timedelta(seconds=1))
        assert listing.usable(NOON + REFUSED_FOR)

    def test_fails_is_asked_less_and_less_often(self) -> None:
        listing, pauses = Listing("list"), []
        for _ in range(12):
            listing.on_failure(NOON, 5)
            pauses.append(next(s for s in range(0, 3600, 5) if listing.usable(NOON + timedelta(seconds=s))))
        assert pauses[:3] == [10, 20, 40]
        assert pauses[-1] == REFUSED_FOR.total_seconds()

    def test_answers_again_may_be_asked_again(self) -> None:
        listing = Listing("list")
        listing.on_failure(NOON, 5)
        listing.on_answer()
        assert listing.usable(NOON)


def test_a_runs_id_tells_about_when_it_was_created() -> None:
    assert born_by_id("01909a2e-5000-7abc-8000-000000000001") == datetime(
        2024, 7, 10, 1, 7, 24, 800000, tzinfo=timezone.utc
    )


@pytest.mark.parametrize(
    "run_id", ["", "r-1", "01909a2e-5000-4abc-8000-000000000001", "zzzzzzzz-zzzz-7abc-8000-00000000000z"]
)
def test_an_id_of_another_kind_tells_nothing(run_id: str) -> None:
    assert born_by_id(run_id) is None
