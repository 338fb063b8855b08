# SPDX-License-Identifier: Apache-2.0
"""Deferring, resuming, being killed: what goes to the triggerer, and what the worker makes of what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.policies import RunflowRetryPolicy
from tests.harness import HAS_TASK_STATE_STORE, Resumption
from tests.unit.operators.conftest import KEY, World


@pytest.fixture
def deferrable() -> bool:
    return True


class TestWhatIsDeferred:
    def test_the_trigger_gets_json_scalars_and_no_key(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(poll_interval=7, timeout=600))
        kwargs = outcome.trigger_kwargs
        assert {type(value) for value in kwargs.values()} <= {str, int, float, bool}
        assert kwargs["poll_interval"] == 7
        assert kwargs["deadline"] == world.clock.now().timestamp() + 600
        assert KEY not in json.dumps(kwargs)

    def test_airflows_own_timeout_is_later_than_the_triggers_deadline(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(timeout=600))
        assert outcome.message.trigger_timeout.total_seconds() > 600

    def test_no_event_comes_before_the_executor_has_reported_the_deferral(self, world: World) -> None:
        outcome = world.airflow.run(world.operator())
        deferred_at = world.clock.now()
        world.clock.advance(1)
        world.emulator.configure(time_scale=1000)
        world.airflow.fire(outcome)
        assert (world.clock.now() - deferred_at).total_seconds() >= 5

    def test_a_run_that_has_ended_is_landed_without_deferring(self, world: World) -> None:
        first = world.airflow.run(world.operator(retries=1))
        world.clock.advance(60)
        assert world.airflow.retry(first).state == "success"


class TestResuming:
    def test_it_lands_without_the_journal_and_without_rendering_again(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(prompt="try {{ macros.random() }}"))
        world.airflow.states.clear()
        world.airflow.refuse("GetTaskStateStore")
        sent = outcome.message.next_kwargs
        assert world.airflow.settle(outcome).state == "success"
        assert world.sidecars()[0]["prompt"] in json.dumps(sent, default=str)

    def test_without_its_kwargs_as_in_dag_test_it_finds_the_run_again(self, world: World) -> None:
        outcome = world.airflow.run(world.operator())
        fired = world.airflow.fire(outcome)
        del fired.next_kwargs["pending"]
        assert world.airflow.resume(fired).state == "success"
        assert world.posts == 1

    def test_a_run_that_nobody_knows_any_more_is_said_to_be_billed(self, world: World) -> None:
        outcome = world.airflow.run(world.operator())
        fired = world.airflow.fire(outcome)
        del fired.next_kwargs["pending"]
        world.airflow.states.clear()
        world.emulator.add_fault(route="list", effect="lag", seconds=10_000)
        resumed = world.airflow.resume(fired)
        assert resumed.state == "failed"
        assert "neither in the journal nor at Runflow" in str(resumed.error)
        assert world.posts == 1

    def test_a_key_that_changed_while_it_waited_does_not_matter(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcome = world.airflow.run(world.operator())
        rotated = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_live_rotated"}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(rotated))
        assert world.airflow.settle(outcome).state == "success"

    def test_a_trigger_that_gave_up_leaves_the_run_alone_and_the_retry_attaches(self, world: World) -> None:
        world.emulator.configure(queue_seconds=300)
        outcome = world.airflow.run(world.operator(retries=1))
        event = {"status": "gave_up", "reason": "unreadable", "run_id": "x", "run_status": None}
        resumed = world.airflow.resume(world.airflow.resumption(outcome, event))
        assert resumed.state == "up_for_retry"
        assert "A retry of the task attaches to it for $0" in str(resumed.error)
        world.clock.advance(400)
        assert world.retry(resumed).state == "success"
        assert len(world.billed) == 1

    def test_a_connection_that_is_gone_when_it_resumes_says_that_the_run_is_paid(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcome = world.airflow.run(world.operator(retries=1))
        run_id = world.airflow.xcom(outcome.attempt.task, "runflow_run")["run_id"]
        monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT")
        resumed = world.airflow.resume(world.airflow.resumption(outcome, {"status": "finished"}))
        assert resumed.state == "up_for_retry"
        assert "Connection 'runflow_default' cannot be read" in str(resumed.error)
        assert f"Runflow run {run_id} was submitted before and is billed if it succeeds" in str(resumed.error)
        assert "A retry of the task attaches to it for $0" in str(resumed.error)
        assert "Nothing was submitted" not in str(resumed.error)

    def test_an_event_of_another_version_is_not_trusted_but_the_run_is_read(self, world: World) -> None:
        outcome = world.airflow.run(world.operator())
        world.clock.advance(60)
        resumed = world.airflow.resume(world.airflow.resumption(outcome, {"what": "is this"}))
        assert resumed.state == "success"

    def test_an_api_that_stays_down_when_the_run_has_ended_says_that_it_has_ended(self, world: World) -> None:
        outcome = world.airflow.run(world.operator(retries=1))
        fired = world.airflow.fire(outcome)
        world.emulator.add_fault(route="get", effect="status", status=503)
        resumed = world.airflow.resume(fired)
        assert resumed.state == "up_for_retry"
        assert "has ended (succeeded), but could not be read for a minute: HTTP 503" in str(resumed.error)
        assert "lands it for $0" in str(resumed.error)
        world.emulator.clear_faults()
        assert world.retry(resumed).state == "success"

    def test_an_api_that_is_down_for_a_moment_when_the_task_resumes_is_borne_with(self, world: World) -> None:
        outcome = world.airflow.run(world.operator())
        fired = world.airflow.fire(outcome)
        world.emulator.add_fault(route="get", effect="status", status=503, times=6)
        assert world.airflow.resume(fired).state == "success"


class TestWhenAirflowEndsTheDeferral:
    @pytest.fixture(params=["Trigger timeout", "Trigger failure"])
    def reason(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def resume_failed(self, world: World, outcome: Any, reason: str) -> Any:
        return world.airflow.resume(world.airflow.trigger_failure(outcome, reason=reason))

    def test_a_run_that_has_finished_is_landed(self, world: World, reason: str) -> None:
        outcome = world.airflow.run(world.operator())
        world.clock.advance(60)
        assert self.resume_failed(world, outcome, reason).state == "success"
        assert len(world.billed) == 1

    def test_a_run_that_goes_on_is_left_to_the_retry(self, world: World, reason: str) -> None:
        world.emulator.configure(queue_seconds=300)
        outcome = world.airflow.run(world.operator(retries=1))
        resumed = self.resume_failed(world, outcome, reason)
        assert resumed.state == "up_for_retry"
        assert "It goes on and is billed if it succeeds" in str(resumed.error)
        world.clock.advance(400)
        assert world.retry(resumed).state == "success"
        assert len(world.billed) == 1

    def test_without_a_journal_the_look_up_finds_the_run(self, world: World, reason: str) -> None:
        outcome = world.airflow.run(world.operator())
        world.airflow.states.clear()
        world.clock.advance(60)
        assert self.resume_failed(world, outcome, reason).state == "success"
        assert world.posts == 1

    def test_nothing_is_submitted_even_if_nothing_is_found(self, world: World, reason: str) -> None:
        operator = world.operator()
        attempt = world.airflow.run(operator).attempt
        world.emulator.configure()
        world.airflow.states.clear()
        other = world.operator(item_key="never-bought")
        from dataclasses import replace

        stranger = Resumption(replace(attempt, task=other, run_id="other"), "__fail__", {"error": reason})
        resumed = world.airflow.resume(stranger)
        assert resumed.state == "failed"
        assert f"Airflow ended the deferral ({reason})" in str(resumed.error)
        assert "It is billed if it succeeds" in str(resumed.error)
        assert world.posts == 1

    def test_a_journal_that_does_not_answer_then_is_not_taken_for_nothing_submitted(
        self, world: World, reason: str
    ) -> None:
        outcome = world.airflow.run(world.operator(retries=1))
        world.airflow.refuse("GetTaskStateStore")
        world.emulator.add_fault(route="list", effect="status", status=503)
        resumed = self.resume_failed(world, outcome, reason)
        assert resumed.state == "up_for_retry"
        assert "Nothing was submitted" not in str(resumed.error)
        assert "billed if it succeeds" in str(resumed.error)


class TestBeingKilled:
    @pytest.fixture
    def deferrable(self) -> bool:
        return False

    def killed(self, world: World, **changes: Any) -> str:
        """Kill a task while it waits on a worker; return the id of its run."""
        operator = world.operator(**changes)

        def kill(seconds: float) -> None:
            if seconds > 1:  # a poll interval; the network takes less
                executing[0].on_kill()
                raise KeyboardInterrupt

        executing: list[Any] = []
        execute = type(operator).execute

        def remember(self: Any, context: Any) -> Any:
            executing.append(self)
            return execute(self, context)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(operator), "execute", remember)
            patch.setattr(world.clock, "sleep", kill)
            outcome = world.airflow.run(operator)
        assert isinstance(outcome.error, KeyboardInterrupt)
        return str(world.airflow.xcom(operator, "runflow_run")["run_id"])

    def test_a_task_that_is_killed_before_it_submits_has_nothing_to_say(self, world: World) -> None:
        world.operator().on_kill()

    def test_without_cancel_on_kill_the_log_says_that_the_run_bills(
        self, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run_id = self.killed(world)
        captured = capsys.readouterr()
        said = caplog.text + captured.out + captured.err
        assert f"Killed. Runflow run {run_id} goes on and bills; a retry attaches to it for $0" in said

    def test_with_cancel_on_kill_an_administrators_key_cancels_the_run(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admin = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_svc_admin"}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(admin))
        run_id = self.killed(world, cancel_on_kill=True)
        assert RunflowHook().get_run(run_id).status_code == "cancelled"

    def test_a_key_that_may_not_cancel_says_that_the_run_goes_on_and_bills(
        self, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.killed(world, cancel_on_kill=True)
        captured = capsys.readouterr()
        said = caplog.text + captured.out + captured.err
        assert "could not be cancelled, so it goes on and bills" in said


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="retry policies came with Airflow 3.3")
def test_a_task_with_a_retry_policy_gets_the_original_exception(world: World) -> None:
    from airflow.sdk import RetryDecision, RetryPolicy

    seen: list[BaseException] = []

    class Policy(RetryPolicy):
        def evaluate(self, exception: BaseException, *args: Any, **kwargs: Any) -> RetryDecision:
            seen.append(exception)
            return RetryDecision.fail("as the test says")

    world.emulator.add_fault(route="create", outcome="blocked")
    outcome = world.run(world.operator(retries=3, retry_policy=Policy()))
    assert outcome.state == "failed"
    assert [type(error).__name__ for error in seen] == ["RunBlockedError"]


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="retry policies came with Airflow 3.3")
class TestTheRetryPolicyOfThisPackage:
    @pytest.mark.parametrize("policy", [True, False], ids=["with", "without"])
    def test_a_blocked_run_is_not_tried_again(self, world: World, policy: bool) -> None:
        world.emulator.add_fault(route="create", outcome="blocked")
        chosen = {"retry_policy": RunflowRetryPolicy()} if policy else {}
        assert world.run(world.operator(retries=3, **chosen)).state == "failed"

    def test_a_429_that_lasts_is_tried_again_when_the_server_says(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=429, headers=True, seconds=90)
        outcome = world.run(world.operator(retries=3, retry_policy=RunflowRetryPolicy()))
        assert outcome.state == "up_for_retry"
        assert outcome.message.retry_delay_seconds == 90
