# SPDX-License-Identifier: Apache-2.0
"""Waiting on a worker: what ends the wait, what does not, and what is said about the money when it ends badly."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    ConfigurationError,
    RunTimeoutError,
    RunUnreachableError,
)
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.unit.client.fakes import RUN_ID, Script, ok, run, says
from tests.unit.hooks.conftest import World
from tests.unit.hooks.connections import KEY

RUNNING, SUCCEEDED = ok(run("running")), ok(run("succeeded", cost="0.133"))


def wait(**changes: Any) -> Any:
    return RunflowHook().wait_for_run(RUN_ID, **changes)


def keys(script: Script) -> list[str]:
    return [request.headers["Authorization"].removeprefix("Bearer ") for request in script.requests]


class TestTheEnd:
    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            ("succeeded", "succeeded"),
            ("partial_succeeded", "partial_succeeded"),
            ("failed", "failed"),
            ("canceled", "cancelled"),
            ("cancelled", "cancelled"),
        ],
    )
    def test_a_terminal_run_is_returned_at_once(self, world: World, sent: str, status: str) -> None:
        script = world.answers(ok(run(sent)))
        start = world.now
        assert wait().status_code == status
        assert (len(script.requests), world.passed(start)) == (1, 0)

    def test_the_run_is_looked_at_every_interval_until_it_ends(self, world: World) -> None:
        script = world.answers(ok(run("queued")), ok(run("dispatching")), RUNNING, RUNNING, SUCCEEDED)
        start = world.now
        assert str(wait(poll_interval=10).cost) == "0.133"
        assert len(script.requests) == 5
        assert world.passed(start) == pytest.approx(4 * 10 * 1.1)
        assert world.log.lines == []

    def test_an_unknown_status_is_waited_for_and_told_once(self, world: World) -> None:
        odd = ok(run("reticulating"))
        world.answers(odd, odd, odd, SUCCEEDED)
        assert wait().status_code == "succeeded"
        (line,) = world.log.lines
        assert "unknown status 'reticulating'; taken as not finished" in line


class TestTheDeadline:
    @pytest.mark.parametrize("timeout", [60, 60.0, timedelta(minutes=1)])
    def test_the_message_says_what_happens_to_the_money(self, world: World, timeout: Any) -> None:
        world.answers(RUNNING)
        with pytest.raises(RunTimeoutError) as caught:
            wait(timeout=timeout, poll_interval=7)
        assert str(caught.value) == (
            f"Runflow run {RUN_ID} was still running when the wait ended. It goes on and is billed if it succeeds. "
            "A retry of the task attaches to it for $0."
        )
        assert isinstance(caught.value, AfterMoneyError)
        assert caught.value.retry == "default"

    def test_the_last_look_is_at_the_deadline_itself(self, world: World) -> None:
        world.answers(world.until(60, RUNNING, SUCCEEDED))
        start = world.now
        assert wait(timeout=60, poll_interval=45).status_code == "succeeded"
        assert world.passed(start) == 60

    def test_a_run_that_was_never_seen_is_said_to_be_unreadable_and_why(self, world: World) -> None:
        world.answers(says(500))
        with pytest.raises(RunTimeoutError, match="could not be read when the wait ended: HTTP 500"):
            wait(timeout=60)

    def test_a_time_out_of_nothing_looks_once(self, world: World) -> None:
        script = world.answers(RUNNING)
        with pytest.raises(RunTimeoutError):
            wait(timeout=0)
        assert len(script.requests) == 1

    def test_a_run_that_finished_is_returned_however_late_it_is(self, world: World) -> None:
        world.answers(SUCCEEDED)
        assert wait(timeout=0).status_code == "succeeded"


class TestTroubleThatPasses:
    @pytest.mark.parametrize(
        "trouble",
        [
            says(500),
            says(503, {"code": "MODEL_UNAVAILABLE", "message": "provider downtime"}),
            says(429),
            says(429, **{"Retry-After": "90"}),
            says(429, **{"Retry-After": "inf"}),
            httpx.ConnectError("refused"),
            httpx.ReadTimeout("slow"),
            httpx.RemoteProtocolError("cut"),
            httpx.Response(200, content=b"<html>"),
            httpx.Response(200, content=b"[" * 100_000),
            ok({"status_code": "running"}),
            ok([]),
        ],
        ids=lambda trouble: repr(trouble)[:40],
    )
    def test_ten_minutes_of_it_do_not_end_the_wait(self, world: World, trouble: Any) -> None:
        world.answers(world.until(600, trouble, SUCCEEDED))
        start = world.now
        assert wait().status_code == "succeeded"
        assert 600 <= world.passed(start) <= 700
        assert "The wait goes on until 10:30 UTC, next look in" in world.log.lines[0]
        assert world.log.lines[-1] == f"Runflow run {RUN_ID} can be read again."
        assert KEY not in "".join(world.log.lines)

    def test_looks_become_rarer_while_it_lasts_and_normal_again_after_it(self, world: World) -> None:
        looks: list[float] = []
        start = world.now

        def answer(request: httpx.Request) -> httpx.Response:
            looks.append(world.passed(start))
            if looks[-1] < 3600:
                return says(400)
            return RUNNING if looks[-1] < 3700 else SUCCEEDED

        world.answers(answer)
        wait(poll_interval=5, timeout=7200)
        pauses = [later - earlier for earlier, later in pairwise(looks)]
        assert pauses[:4] == [10, 20, 40, 60]
        assert set(pauses[4:60]) == {60}
        assert pauses[-1] == pytest.approx(5.5)

    def test_a_pause_that_runflow_asks_for_is_obeyed_up_to_the_deadline(self, world: World) -> None:
        script = world.answers(says(429, **{"Retry-After": "100"}), SUCCEEDED)
        start = world.now
        wait()
        assert (world.passed(start), len(script.requests)) == (100, 2)
        world.answers(says(429, **{"Retry-After": "86400"}))
        start = world.now
        with pytest.raises(RunTimeoutError):
            wait(timeout=120)
        assert world.passed(start) == 120

    def test_a_run_that_is_unknown_for_less_than_a_minute_after_its_creation_is_waited_for(self, world: World) -> None:
        world.answers(world.until(50, says(404), SUCCEEDED))
        assert wait().status_code == "succeeded"


class TestARunThatRunflowKeepsDenying:
    def test_after_a_minute_the_wait_ends_and_says_where_the_money_is(self, world: World) -> None:
        world.answers(says(404, {"code": "RUN_NOT_FOUND", "message": "No such run."}))
        start = world.now
        with pytest.raises(RunUnreachableError) as caught:
            wait()
        assert 60 <= world.passed(start) <= 120
        assert str(caught.value) == (
            f"Runflow does not know run {RUN_ID}: Connection 'runflow_default': HTTP 404 RUN_NOT_FOUND: No such run "
            f"(GET /v1/runs/{RUN_ID}). "
            "It belongs to another account, or is no longer kept, so whether it was billed is not known here. Nothing "
            "more is submitted. Correct the connection and clear the task: if the run is there, the task attaches to "
            "it for $0."
        )
        assert caught.value.retry == "never"
        assert not any("billed" in line for line in world.log.lines)

    def test_the_minute_starts_anew_after_every_time_it_was_seen(self, world: World) -> None:
        start = world.now
        world.answers(*[says(404), says(404), RUNNING] * 10, SUCCEEDED)
        assert wait(poll_interval=5).status_code == "succeeded"
        assert world.passed(start) > 300


class TestRefusedCredentials:
    @pytest.mark.parametrize("status", [401, 403])
    def test_a_rotated_key_is_picked_up_while_waiting(self, world: World, status: int) -> None:
        def only_the_new_key(request: httpx.Request) -> httpx.Response:
            return SUCCEEDED if request.headers["Authorization"] == "Bearer rf_rotated" else says(status)

        script = world.answers(only_the_new_key)
        hook = RunflowHook()
        hook.get_conn()
        world.connect(password="rf_rotated")
        assert hook.wait_for_run(RUN_ID).status_code == "succeeded"
        assert keys(script) == [KEY, "rf_rotated"]
        assert "Reading the connection again." in world.log.lines[0]

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_second_refusal_ends_the_wait_and_leaves_the_run_alone(self, world: World, status: int) -> None:
        script = world.answers(says(status))
        with pytest.raises(RunUnreachableError) as caught:
            wait()
        assert len(script.requests) == 2
        assert len(world.lookups) == 2
        assert "It goes on and is billed if it succeeds." in str(caught.value)
        assert "clear the task: it attaches to this run for $0" in str(caught.value)
        assert KEY not in str(caught.value)

    def test_trouble_in_between_does_not_make_a_second_refusal_a_first_one(self, world: World) -> None:
        world.answers(says(401), says(404), says(401))
        with pytest.raises(RunUnreachableError):
            wait()

    def test_a_refusal_now_and_then_never_ends_the_wait(self, world: World) -> None:
        world.answers(*[says(401), RUNNING] * 5, SUCCEEDED)
        assert wait().status_code == "succeeded"
        assert len(world.lookups) == 6


class TestAConnectionThatVanishesMeanwhile:
    def test_the_wait_goes_on_and_ends_well_once_it_is_back(self, world: World) -> None:
        def sealed_for_two_minutes(request: httpx.Request) -> httpx.Response:
            if request.headers["Authorization"] == "Bearer rf_rotated":
                return SUCCEEDED
            world.disconnect()
            return says(401)

        world.answers(sealed_for_two_minutes)
        start = world.now
        real_sleep = world.clock.sleep

        def sleep(seconds: float) -> None:
            real_sleep(seconds)
            if world.passed(start) > 120:
                world.connect(password="rf_rotated")

        world.monkeypatch.setattr(world.clock, "sleep", sleep)
        assert wait().status_code == "succeeded"
        assert any(
            "cannot be read" in line and "goes on until 10:30 UTC, next look in" in line for line in world.log.lines
        )

    def test_at_the_deadline_the_error_speaks_of_the_run_that_bills_and_not_of_the_connection(
        self, world: World
    ) -> None:
        def gone(request: httpx.Request) -> httpx.Response:
            world.disconnect()
            return says(401)

        world.answers(gone)
        with pytest.raises(RunTimeoutError, match="It goes on and is billed if it succeeds"):
            wait(timeout=300)

    def test_a_connection_that_never_worked_ends_the_wait_at_once(self, world: World) -> None:
        world.disconnect()
        start = world.now
        with pytest.raises(ConfigurationError):
            wait()
        assert world.passed(start) == 0
