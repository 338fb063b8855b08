# SPDX-License-Identifier: Apache-2.0
"""What ends a wait, and what does not. The sync loop and the trigger both ask this."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RunTimeoutError,
    RunUnreachableError,
    ServiceUnavailableError,
    TransportError,
)
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR, Done, GiveUp, Late, Poll, Sleep
from airflow_provider_runflow.runs.waiting import wait_for_run
from tests.unit.runs.engine_world import NOON, Lines, StandingClock, run

DEADLINE = NOON + timedelta(minutes=30)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def poll(said: list[str]) -> Poll:
    return Poll("run-1", DEADLINE, 5.0, middle, said.append)


class TestAfterARead:
    @pytest.mark.parametrize("status", ["succeeded", "partial_succeeded", "failed", "cancelled", "canceled"])
    def test_a_terminal_run_ends_the_wait_whatever_the_spelling(self, poll: Poll, status: str) -> None:
        assert isinstance(poll.on_run(run(status), NOON), Done)

    def test_a_run_that_finished_in_time_is_done_even_when_it_is_read_late(self, poll: Poll) -> None:
        assert isinstance(poll.on_run(run("succeeded"), DEADLINE + timedelta(hours=1)), Done)

    @pytest.mark.parametrize("status", ["queued", "dispatching", "running"])
    def test_a_run_that_goes_on_is_looked_at_again_after_the_interval(self, poll: Poll, status: str) -> None:
        assert poll.on_run(run(status), NOON) == Sleep(5.0)

    def test_an_unknown_status_is_taken_as_not_finished_and_told_once(self, poll: Poll, said: list[str]) -> None:
        for _ in range(3):
            assert isinstance(poll.on_run(run("reticulating"), NOON), Sleep)
        assert len(said) == 1
        assert "unknown status 'reticulating'" in said[0]

    def test_pollers_do_not_stay_in_phase(self, said: list[str]) -> None:
        waits = {Poll("r", DEADLINE, 5.0, jitter, said.append).on_run(run(), NOON) for jitter in (min, max, middle)}
        assert len(waits) == 3

    def test_the_last_look_is_at_the_deadline_itself(self, poll: Poll) -> None:
        assert poll.on_run(run("running"), DEADLINE - timedelta(seconds=2)) == Sleep(2.0)
        assert isinstance(poll.on_run(run("running"), DEADLINE), Late)


class TestAfterAnError:
    @pytest.mark.parametrize(
        "error",
        [
            TransportError("down"),
            ServiceUnavailableError("upstream", status=503),
            RateLimitedError("slow", status=429),
            MalformedResponseError("not JSON", status=200),
        ],
    )
    def test_trouble_never_ends_a_wait_before_its_deadline(self, poll: Poll, said: list[str], error: ApiError) -> None:
        now = NOON
        for _ in range(15):
            outcome = poll.on_error(error, now)
            assert isinstance(outcome, Sleep)
            assert outcome.seconds <= 60
            now += timedelta(seconds=outcome.seconds)
        assert all("The wait goes on" in line for line in said)
        assert isinstance(poll.on_error(error, DEADLINE), Late)

    def test_it_backs_off_and_is_back_to_the_interval_after_a_success(self, poll: Poll) -> None:
        waits = [poll.on_error(TransportError("down"), NOON) for _ in range(4)]
        assert [w.seconds for w in waits] == [7.5, 15.0, 30.0, 45.0]  # type: ignore[union-attr]
        assert poll.on_run(run("running"), NOON) == Sleep(5.0)

    def test_a_server_that_asks_for_a_pause_gets_it(self, poll: Poll) -> None:
        outcome = poll.on_error(RateLimitedError("slow", status=429, retry_after=90), NOON)
        assert outcome == Sleep(90)

    @pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError])
    def test_refused_credentials_are_read_again_once_and_then_given_up(self, poll: Poll, kind: type[ApiError]) -> None:
        first = poll.on_error(kind("no"), NOON)
        assert isinstance(first, Sleep)
        assert first.reconnect
        assert isinstance(poll.on_error(kind("no"), NOON), GiveUp)

    def test_a_key_that_works_again_forgives_the_first_refusal(self, poll: Poll) -> None:
        poll.on_error(AuthenticationError("no"), NOON)
        poll.on_run(run("running"), NOON)
        assert isinstance(poll.on_error(AuthenticationError("no"), NOON), Sleep)

    def test_a_run_that_is_not_found_for_a_moment_may_just_be_new(self, poll: Poll) -> None:
        assert isinstance(poll.on_error(NotFoundError("?"), NOON), Sleep)
        assert isinstance(poll.on_error(NotFoundError("?"), NOON + NOT_FOUND_FOR), GiveUp)

    def test_a_connection_that_cannot_be_read_is_read_again_until_the_deadline(self, poll: Poll) -> None:
        outcome = poll.on_unreadable_connection(ConfigurationError("secrets backend is down"), NOON)
        assert isinstance(outcome, Sleep)
        assert outcome.reconnect
        assert isinstance(poll.on_unreadable_connection(ConfigurationError("still"), DEADLINE), Late)


class TestTheSyncWait:
    def wait(self, *answers: object) -> object:
        clock, left = StandingClock(), list(answers)
        self.reconnects: list[bool] = []

        def read(reconnect: bool) -> object:
            self.reconnects.append(reconnect)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return wait_for_run(
            read,  # type: ignore[arg-type]
            "run-1",
            deadline=NOON + timedelta(seconds=60),
            interval=5,
            clock=clock,
            log=Lines(),
            uniform=middle,
        )

    def test_it_returns_the_run_that_ended(self) -> None:
        ended = self.wait(run("queued"), TransportError("down"), run("running"), run("succeeded"))
        assert ended.status_code == "succeeded"  # type: ignore[attr-defined]

    def test_at_the_deadline_it_says_that_the_run_goes_on_and_that_a_retry_is_free(self) -> None:
        with pytest.raises(RunTimeoutError, match="was still running when the wait ended") as error:
            self.wait(run("running"))
        assert "billed if it succeeds. A retry of the task attaches to it for $0" in str(error.value)

    def test_trouble_up_to_the_deadline_is_named(self) -> None:
        with pytest.raises(RunTimeoutError, match="could not be read when the wait ended: HTTP 503"):
            self.wait(run("running"), ServiceUnavailableError("upstream", status=503))

    def test_it_reads_the_connection_again_before_it_gives_up(self) -> None:
        with pytest.raises(RunUnreachableError, match=r"attaches to this run for \$0"):
            self.wait(AuthenticationError("bad key", status=401))
        assert self.reconnects == [False, True]
