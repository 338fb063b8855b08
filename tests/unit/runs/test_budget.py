# SPDX-License-Identifier: Apache-2.0
"""A task's money: counted before it is spent, at the dearest that is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import BudgetExceededError, InvalidRequestError
from airflow_provider_runflow.runs.budget import Budget, read_limit
from airflow_provider_runflow.runs.identity import Request

CAT = Request("openai/gpt-image-2", {"prompt": "a cat"})
DIME = Decimal("0.10")


def budget(limit: str | None, price: Decimal | None = DIME) -> Budget:
    return Budget(None if limit is None else Decimal(limit), lambda request: price)


def test_what_could_pass_the_limit_is_not_submitted() -> None:
    money = budget("0.25")
    money.reserve("a", CAT)
    money.reserve("b", CAT)
    with pytest.raises(BudgetExceededError, match=r"max_cost_usd=0.25: \$0.20 of this task is billed or in flight"):
        money.reserve("c", CAT)
    assert money.spent == Decimal("0.20")


def test_exactly_the_limit_may_be_spent() -> None:
    money = budget("0.20")
    money.reserve("a", CAT)
    money.reserve("b", CAT)


def test_a_request_that_was_refused_gives_its_money_back() -> None:
    money = budget("0.10")
    money.reserve("a", CAT)
    money.release("a")
    money.reserve("b", CAT)


def test_a_request_that_is_sent_again_takes_its_money_once() -> None:
    money = budget("0.10")
    money.reserve("a", CAT)
    money.reserve("a", CAT)
    assert money.spent == DIME


def test_a_bill_takes_the_place_of_its_estimate() -> None:
    money = budget("1")
    money.reserve("a", CAT)
    money.count("run-1", CAT, None, slot="a")
    assert money.spent == DIME
    money.count("run-1", CAT, Decimal("0.04"))
    assert money.spent == Decimal("0.04")
    money.count("run-1", CAT, None)  # read again, from a list that does not tell
    assert money.spent == Decimal("0.04")


def test_a_run_dearer_than_its_estimate_makes_all_that_come_dearer() -> None:
    money = budget("0.50")
    money.count("run-1", CAT, Decimal("0.20"))
    money.reserve("b", CAT)
    assert money.spent == Decimal("0.40")
    with pytest.raises(BudgetExceededError):
        money.reserve("c", CAT)


def test_a_failed_run_costs_nothing_and_frees_its_money() -> None:
    money = budget("0.10")
    money.count("run-1", CAT, None)
    money.count("run-1", CAT, Decimal(0))
    money.reserve("a", CAT)


def test_a_limit_needs_a_price() -> None:
    with pytest.raises(InvalidRequestError, match="nothing here knows what openai/gpt-image-2 costs"):
        budget("1", price=None).reserve("a", CAT)


def test_without_a_limit_nothing_is_counted_and_no_price_is_needed() -> None:
    money = budget(None, price=None)
    money.reserve("a", CAT)
    money.count("run-1", CAT, Decimal(5))
    assert money.spent == 0


@pytest.mark.parametrize("value", [2.5, "2.50", Decimal("2.5"), 0, "0"])
def test_an_amount_is_a_number_or_a_text(value: Any) -> None:
    assert read_limit("max_cost_usd", value) == Decimal(str(value))


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_no_limit(value: Any) -> None:
    assert read_limit("max_cost_usd", value) is None


@pytest.mark.parametrize("value", ["a lot", -1, "NaN", "Infinity", True, [1]])
def test_anything_else_is_an_error(value: Any) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"max_cost_usd=.*: must be an amount of USD, 0 or more, such as 2.50"
    ):
        read_limit("max_cost_usd", value)
