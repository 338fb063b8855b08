# SPDX-License-Identifier: Apache-2.0
"""`check_balance`: what the account cannot pay is not submitted, not even in part; else Runflow's 402 stops it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.operators.conftest import World


def with_balance(world: World, amount: str) -> World:
    world.emulator.configure(balance=Decimal(amount))
    return world


def reads(world: World) -> int:
    return int(world.emulator.ledger(world.clock.now())["requests"]["other"])


def test_a_request_that_the_balance_does_not_cover_is_not_submitted(world: World) -> None:
    outcome = world.run(with_balance(world, "0.10").operator(quality="high", check_balance=True, retries=3))
    assert (outcome.state, world.posts) == ("failed", 0)
    text = str(outcome.error)
    assert "check_balance: the request costs about $0.133, and the balance of connection 'runflow_default' is" in text
    assert "Nothing was submitted. Top up the balance, then clear the task." in text


def test_a_campaign_that_the_balance_covers_in_part_is_not_begun(world: World) -> None:
    outcome = world.run(with_balance(world, "0.04").batch([f"k{n}" for n in range(10)], check_balance=True, retries=3))
    assert (outcome.state, world.posts, reads(world)) == ("failed", 0, 1)
    assert "check_balance: 10 requests cost about $0.090" in str(outcome.error)


def test_without_it_a_balance_of_nothing_buys_nothing_and_is_asked_once_an_item_in_flight(world: World) -> None:
    items = [f"k{n}" for n in range(40)]
    outcome = world.run(with_balance(world, "0").batch(items, max_in_flight=4, retries=3))
    assert (outcome.state, world.billed) == ("failed", [])
    assert 1 <= world.posts <= 4  # the rest was never sent
    assert "HTTP 402" in str(outcome.error)


def test_with_it_a_balance_of_nothing_sends_nothing(world: World) -> None:
    assert world.run(with_balance(world, "0").batch(["a", "b"], check_balance=True)).state == "failed"
    assert world.posts == 0


def test_a_balance_that_suffices_is_asked_for_once_a_batch(world: World) -> None:
    assert world.run(with_balance(world, "0.027").batch(["a", "b", "c"], check_balance=True)).state == "success"
    assert (world.posts, reads(world)) == (3, 1)


def test_what_an_earlier_try_bought_needs_no_balance(world: World) -> None:
    world.emulator.add_fault(route="create", prompt_contains="of b", outcome="failed", times=1)
    operator = with_balance(world, "0.02").batch(["a", "b"], check_balance=True, retries=1)
    first = world.run(operator)
    assert (first.state, len(world.billed)) == ("up_for_retry", 1)
    again = world.retry(first)  # 0.011 are left, which is enough for one more
    assert (again.state, len(world.billed)) == ("success", 2)


@pytest.mark.skipif(
    not HAS_TASK_STATE_STORE, reason="without a journal nothing tells what is paid before it is looked for"
)
def test_a_retry_that_cannot_pay_lands_what_is_paid(world: World) -> None:
    world.emulator.add_fault(route="output", effect="status", status=503, times=5)
    world.emulator.add_fault(route="create", prompt_contains="of b", outcome="failed")
    first = world.run(with_balance(world, "0.02").batch(["a", "b"], check_balance=True, retries=2))
    assert (first.state, world.files("*.png")) == ("up_for_retry", [])
    world.emulator.configure(balance=Decimal("0.009"))  # all of it spent
    assert world.retry(first).state == "failed"
    assert len(world.files("*.png")) == len(world.billed) == 1
    assert world.rows()["b"]["outcome"] == "insufficient_credit"


def test_a_key_that_may_not_read_the_balance_goes_on_without(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.emulator.add_fault(route="balance", effect="status", status=403)
    assert world.run(world.operator(check_balance=True)).state == "success"
    assert "check_balance: the balance cannot be read" in caplog.text + capsys.readouterr().out
