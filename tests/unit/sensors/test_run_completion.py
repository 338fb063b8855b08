# SPDX-License-Identifier: Apache-2.0
"""The sensor: waits for runs bought elsewhere, alike in every mode, and buys nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from airflow.sdk import task

from airflow_provider_runflow.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_runflow.exceptions import AfterMoneyError, InvalidRequestError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RunflowRunLink
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.testing import RunflowEmulator
from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger
from tests.harness import Airflow, Outcome, in_dag

MODES = {
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
    "deferrable": {"deferrable": True},
}


@dataclass
class World:
    """One sensor's whole world, in one mode."""

    airflow: Airflow
    runflow: RunflowEmulator
    mode: str

    def bought(self, **changes: Any) -> str:
        """Submit a run, as another task would; give its id."""
        return RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat", "quality": "low", **changes}).id

    def doomed(self, outcome: str, **rule: Any) -> str:
        """Submit a run that ends badly."""
        self.runflow.add_fault(route="create", outcome=outcome, times=1, **rule)
        return self.bought()

    def sensor(self, **changes: Any) -> RunCompletionSensor:
        with in_dag():
            return RunCompletionSensor(**{"task_id": "wait", **MODES[self.mode], **changes})

    def run(self, sensor: RunCompletionSensor) -> Outcome:
        """One try, to its end; a minute passes between the pokes of a sensor that reschedules itself."""
        return self.settle(self.airflow.run(sensor))

    def settle(self, outcome: Outcome) -> Outcome:
        while outcome.deferred or outcome.state == "up_for_reschedule":
            if outcome.deferred:
                outcome = self.airflow.settle(outcome)
            else:
                self.runflow.advance(60)
                outcome = self.airflow.poke_again(outcome)
        return outcome

    def result(self, sensor: RunCompletionSensor) -> Any:
        return self.airflow.xcom(sensor)

    @property
    def reads(self) -> int:
        return self.runflow.ledger["requests"]["GET run"]


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(mode: str, airflow: Airflow, runflow_emulator: RunflowEmulator) -> World:
    runflow_emulator.configure(picture_size=(16, 16))
    return World(airflow, runflow_emulator, mode)


class TestARunThatDelivers:
    def test_its_facts_are_returned(self, world: World) -> None:
        run_id = world.bought(num_images=3)
        sensor = world.sensor(run_id=run_id)
        assert world.run(sensor).state == "success"
        facts = {"run_id": run_id, "status": "succeeded", "cost_usd": "0.027000", "image_count": 3}
        assert world.result(sensor) == facts
        assert {name: world.airflow.xcom(sensor, name) for name in facts} == facts

    def test_one_that_ended_long_ago_is_told_of_at_once(self, world: World) -> None:
        run_id = world.bought()
        world.runflow.advance(3600)
        at = world.runflow.clock.now()
        assert world.airflow.run(world.sensor(run_id=run_id)).state == "success"
        assert world.runflow.clock.now() == at

    def test_partly_delivered_counts_as_delivered(self, world: World) -> None:
        world.runflow.add_fault(route="create", outcome="partial", images=1, times=1)
        run_id = world.bought(num_images=2)
        sensor = world.sensor(run_id=run_id)
        assert world.run(sensor).state == "success"
        assert world.result(sensor)["status"] == "partial_succeeded"
        assert world.result(sensor)["image_count"] == 1

    def test_a_cost_that_runflow_does_not_tell_is_none(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        run_id = world.bought()
        world.runflow.advance(60)
        answer_with(monkeypatch, lambda body: {**body, "cost": None})
        sensor = world.sensor(run_id=run_id)
        assert world.run(sensor).state == "success"
        assert world.result(sensor)["cost_usd"] is None

    def test_waiting_again_buys_nothing_and_finds_the_same(self, world: World) -> None:
        sensor = world.sensor(run_id=world.bought())
        first = world.run(sensor)
        told = world.result(sensor)
        assert world.settle(world.airflow.clear(first)).state == "success"
        assert world.result(sensor) == told
        assert len(world.runflow.runs) == len(world.runflow.billed) == 1


class TestARunThatDoesNot:
    @pytest.mark.parametrize(
        ("outcome", "why", "money"),
        [
            (
                "failed",
                "PROVIDER_ERROR: The provider returned an error (stage execution)",
                "Failed runs are not billed",
            ),
            ("blocked", "CONTENT_POLICY_VIOLATION", "Failed runs are not billed"),
            ("cancelled", "was cancelled", "Cancelling does not refund (Runflow billed $0.009000)"),
        ],
    )
    def test_the_sensor_fails_at_once_and_says_why_what_it_cost_and_what_to_do(
        self, world: World, outcome: str, why: str, money: str
    ) -> None:
        run_id = world.doomed(outcome)
        ended = world.run(world.sensor(run_id=run_id, retries=3))
        assert ended.state == "failed"
        assert type(ended.error) is AirflowFailException
        text = str(ended.error)
        assert text.startswith(f"Runflow run {run_id} ")
        for part in (
            why,
            money,
            "a retry would find the same",
            "This task buys nothing",
            "Let the task that submitted",
        ):
            assert part in text

    def test_a_failure_that_was_billed_after_all_is_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        run_id = world.doomed("failed")
        world.runflow.advance(60)
        answer_with(monkeypatch, lambda body: {**body, "cost": "0.009"})
        assert "Yet Runflow says it billed $0.009" in str(world.run(world.sensor(run_id=run_id)).error)

    @pytest.mark.parametrize("outcome", ["failed", "blocked", "cancelled"])
    @pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
    def test_it_is_skipped_when_asked_to_and_the_log_says_why(
        self, world: World, outcome: str, flag: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run_id = world.doomed(outcome)
        ended = world.run(world.sensor(run_id=run_id, retries=3, **{flag: True}))
        assert ended.state == "skipped"
        assert f"Skipped instead of failed: Runflow run {run_id} " in capsys.readouterr().out


class TestTime:
    def test_a_run_that_outlives_the_timeout_fails_the_sensor_without_retries_and_goes_on(self, world: World) -> None:
        run_id = world.doomed("stuck")
        outcome = world.airflow.run(world.sensor(run_id=run_id, timeout=600, retries=3))
        if outcome.state == "up_for_reschedule":
            # Airflow itself measures this mode's time, by the real clock.
            outcome = world.airflow.poke_again(outcome, since=real_now() - timedelta(seconds=601))
        outcome = world.settle(outcome)
        assert outcome.state == "failed"
        assert type(outcome.error) is AirflowSensorTimeout
        assert f"Runflow run {run_id} was still " in str(outcome.error)
        assert "is billed if it succeeds, to whoever submitted it. Clear the task to wait on, for $0" in str(
            outcome.error
        )
        assert len(world.runflow.runs) == 1

    def test_with_soft_fail_a_time_out_skips(self, world: World) -> None:
        outcome = world.airflow.run(world.sensor(run_id=world.doomed("stuck"), timeout=600, soft_fail=True))
        if outcome.state == "up_for_reschedule":
            outcome = world.airflow.poke_again(outcome, since=real_now() - timedelta(seconds=601))
        assert world.settle(outcome).state == "skipped"

    def test_a_wait_takes_few_calls(self, world: World) -> None:
        world.runflow.configure(queue_seconds=600)
        world.run(world.sensor(run_id=world.bought(), poke_interval=60))
        assert world.reads <= 14


class TestTrouble:
    @pytest.mark.parametrize(
        "fault",
        [
            {"effect": "status", "status": 503, "times": 7},
            {"effect": "status", "status": 429, "times": 7},
            {"effect": "malformed", "times": 7},
            {"effect": "drop_before", "times": 7},
            {"effect": "status", "status": 404, "times": 2},
        ],
        ids=lambda fault: str(fault.get("status", fault["effect"])),
    )
    def test_an_api_that_is_down_for_a_while_does_not_end_the_wait(self, world: World, fault: dict[str, Any]) -> None:
        run_id = world.bought()
        world.runflow.add_fault(route="get", **fault)
        sensor = world.sensor(run_id=run_id)
        outcome = world.airflow.run(sensor)
        if outcome.state == "up_for_reschedule" and fault.get("status") == 404:
            outcome = world.airflow.poke_again(outcome, since=real_now())
        assert world.settle(outcome).state == "success"

    def test_a_run_that_nobody_knows_fails_the_sensor_with_what_to_check(self, world: World) -> None:
        unknown = "019e2f6a-1111-7222-8333-444455556666"
        outcome = world.airflow.run(world.sensor(run_id=unknown, retries=3))
        if outcome.state == "up_for_reschedule":
            outcome = world.airflow.poke_again(outcome, since=real_now() - timedelta(seconds=61))
        outcome = world.settle(outcome)
        assert outcome.state == "failed"
        assert type(outcome.error) is AirflowFailException
        for part in (
            f"Runflow run {unknown} cannot be read: Connection 'runflow_default': HTTP 404 RUN_NOT_FOUND",
            "If there is such a run",
            "Correct the run id or the connection, then clear the task; it buys nothing.",
        ):
            assert part in str(outcome.error)

    @pytest.mark.parametrize(("status", "code"), [(401, "UNAUTHORIZED"), (403, "PERMISSION_DENIED")])
    def test_a_key_that_stays_refused_fails_the_sensor_with_what_to_correct(
        self, world: World, status: int, code: str
    ) -> None:
        run_id = world.bought()
        world.runflow.add_fault(route="get", effect="status", status=status)
        outcome = world.run(world.sensor(run_id=run_id, retries=3))
        assert outcome.state == "failed"
        assert f"cannot be read: Connection 'runflow_default': HTTP {status} {code}" in str(outcome.error)
        assert "Correct the run id or the connection, then clear the task" in str(outcome.error)
        assert "rf_live" not in str(outcome.error)

    def test_a_connection_that_is_not_there_costs_nothing_and_may_be_retried(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT")
        outcome = world.run(world.sensor(run_id="r-1", retries=1, soft_fail=True))
        assert outcome.state == "up_for_retry"
        assert "'runflow_default' cannot be read" in str(outcome.error)


class TestSeveralRuns:
    def test_their_facts_come_in_the_order_given(self, world: World) -> None:
        world.runflow.configure(queue_seconds=300)
        slow = world.bought()
        world.runflow.configure(queue_seconds=0)
        quick = world.bought(num_images=2)
        sensor = world.sensor(run_ids=[slow, quick, slow])
        assert world.run(sensor).state == "success"
        told = [(row["run_id"], row["image_count"]) for row in world.result(sensor)]
        assert told == [(slow, 1), (quick, 2), (slow, 1)]

    def test_all_are_waited_for_and_one_error_names_every_lost_one(self, world: World) -> None:
        blocked, cancelled = world.doomed("blocked"), world.doomed("cancelled")
        world.runflow.configure(queue_seconds=300)
        good = [world.bought(), world.bought()]
        outcome = world.run(world.sensor(run_ids=[good[0], blocked, good[1], cancelled]))
        assert outcome.state == "failed"
        text = str(outcome.error)
        assert f"run {blocked} failed: CONTENT_POLICY_VIOLATION" in text
        assert f"run {cancelled} was cancelled" in text
        assert "2 of 4 delivered." in text
        assert len(world.runflow.billed) == 3  # the good ones had their time, and the cancelled one is not refunded

    def test_an_error_that_would_name_hundreds_names_ten(self, world: World) -> None:
        lost = [world.doomed("failed") for _ in range(12)]
        text = str(world.run(world.sensor(run_ids=lost)).error)
        assert [run_id in text for run_id in lost] == [True] * 10 + [False] * 2
        assert "And 2 more." in text

    def test_they_are_polled_one_at_a_time(self, world: World) -> None:
        world.runflow.configure(queue_seconds=600)
        ids = [world.bought() for _ in range(20)]
        assert world.run(world.sensor(run_ids=ids, poke_interval=60)).state == "success"
        assert world.reads <= 14 + 2 * len(ids)  # not 20 calls for each of ten polls

    def test_the_output_of_another_task_serves_as_their_list(self, world: World) -> None:
        with in_dag():

            @task
            def submit() -> list[str]: ...

            sensor = RunCompletionSensor(task_id="wait", run_ids=submit(), **MODES[world.mode])  # type: ignore[arg-type]
        ids = [world.bought(), world.bought()]
        world.airflow.xcoms[("campaign", "manual__2026-03-02", "submit", -1)] = {"return_value": ids}
        assert world.run(sensor).state == "success"
        assert [row["run_id"] for row in world.result(sensor)] == ids


class TestParameters:
    @pytest.fixture
    def mode(self) -> str:
        return "poke"

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "give one of the two"),
            ({"run_id": "a", "run_ids": ["b"]}, "give one of the two"),
            ({"run_id": ""}, "run_id='': must be the id"),
            ({"run_id": 7}, "run_id=7: must be the id"),
            ({"run_ids": []}, "run_ids: 0 ids; must be 1-500"),
            ({"run_ids": ["a"] * 501}, "run_ids: 501 ids; must be 1-500"),
            ({"run_ids": ["a", None]}, "run_ids=None: must be the id"),
            ({"run_ids": "a,b"}, "run_ids='a,b': must be a list of ids"),
            ({"run_id": "a", "timeout": 0}, "timeout=0: must be a number of seconds"),
            ({"run_id": "a", "poke_interval": -1}, "poke_interval=-1: must be a number of seconds"),
        ],
    )
    def test_a_wrong_literal_fails_when_the_dag_is_parsed(self, given: dict[str, Any], said: str) -> None:
        with in_dag(), pytest.raises(InvalidRequestError) as caught:
            RunCompletionSensor(task_id="wait", **given)
        assert said in str(caught.value)

    @pytest.mark.parametrize(("mode", "seconds"), [("poke", 5), ("deferrable", 5), ("reschedule", 60)])
    def test_it_looks_every_5_seconds_but_once_a_minute_when_it_reschedules_itself(
        self, mode: str, seconds: float
    ) -> None:
        with in_dag():
            assert RunCompletionSensor(task_id="wait", run_id="a", **MODES[mode]).poke_interval == seconds  # type: ignore[arg-type]

    def test_a_template_is_checked_when_it_is_rendered(self, world: World) -> None:
        sensor = world.sensor(run_ids="{{ ['a', 'b'] }}", retries=2)
        outcome = world.run(sensor)
        assert outcome.state == "failed"
        assert "render_template_as_native_obj=True" in str(outcome.error)

    def test_a_run_id_may_be_templated(self, world: World) -> None:
        run_id = world.bought()
        sensor = world.sensor(run_id="{{ '" + run_id + "' }}")
        assert world.run(sensor).state == "success"
        assert world.result(sensor)["run_id"] == run_id

    def test_it_is_mapped_over_runs_too(self, world: World) -> None:
        ids = [world.bought(), world.bought()]
        with in_dag():
            mapped = RunCompletionSensor.partial(task_id="wait", timeout=60).expand(run_id=ids)
        for index, run_id in enumerate(ids):
            outcome = world.airflow.finish(mapped, map_index=index)
            assert outcome.state == "success"
            assert world.airflow.xcom(mapped, "run_id", map_index=index) == run_id

    def test_ending_from_the_trigger_goes_together_with_no_outlets(self) -> None:
        from airflow.sdk import Asset

        with in_dag(), pytest.raises(InvalidRequestError, match="emits no asset events"):
            RunCompletionSensor(task_id="wait", run_id="a", end_from_trigger=True, outlets=[Asset("pictures")])


class TestTheButton:
    def test_it_opens_the_run_while_the_sensor_waits(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = json.loads(world.runflow.connection)
        connection["extra"] = {"run_url_template": "https://app.example/runs/{run_id}"}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
        run_id = world.bought()
        sensor = world.sensor(run_id=run_id)
        world.airflow.run(sensor)
        assert world.airflow.xcom(sensor, RunflowRunLink().xcom_key) == f"https://app.example/runs/{run_id}"

    def test_of_several_runs_it_opens_the_tasks_xcoms(self, world: World) -> None:
        sensor = world.sensor(run_ids=[world.bought(), world.bought()])
        world.airflow.run(sensor)
        assert world.airflow.xcom(sensor, RunflowRunLink().xcom_key).endswith(
            "/dags/campaign/runs/manual__2026-03-02/tasks/wait/xcom"
        )


class TestDeferred:
    @pytest.fixture
    def mode(self) -> str:
        return "deferrable"

    def test_the_trigger_gets_scalars_and_ids_and_no_key(self, world: World) -> None:
        ids = [world.bought(), world.bought()]
        outcome = world.airflow.run(world.sensor(run_ids=[*ids, ids[0]], timeout=600, poke_interval=7))
        assert outcome.deferred
        now = world.runflow.clock.now().timestamp()
        assert outcome.trigger_kwargs == {
            "run_id": ids,
            "runflow_conn_id": "runflow_default",
            "poll_interval": 7.0,
            "deadline": now + 600,
            "not_before": now + 5,
            "cancel_on_kill": False,
            "end_from_trigger": False,
        }
        assert outcome.message.trigger_timeout.total_seconds() > 600

    def test_500_ids_fit_into_a_triggers_arguments(self, world: World) -> None:
        world.doomed("stuck")
        ids = [f"019e2f6a-1111-7222-8333-{number:012d}" for number in range(500)]
        outcome = world.airflow.run(world.sensor(run_ids=ids))
        # Encrypted and in base64 it takes 4/3 of this; MySQL's TEXT ends at 65,535 bytes.
        assert len(json.dumps(outcome.trigger_kwargs)) * 4 / 3 < 60_000

    def test_a_shorter_execution_timeout_ends_the_wait(self, world: World) -> None:
        run_id = world.doomed("stuck")
        outcome = world.airflow.run(world.sensor(run_id=run_id, execution_timeout=timedelta(seconds=60)))
        assert outcome.trigger_kwargs["deadline"] == world.runflow.clock.now().timestamp() + 60

    def test_resuming_needs_nothing_of_the_event_but_its_status(self, world: World) -> None:
        sensor = world.sensor(run_id=world.bought())
        outcome = world.airflow.run(sensor)
        world.runflow.advance(60)
        for payload in ({"status": "finished"}, {"status": "timed_out"}, {"status": "gave_up"}, "success", None):
            assert world.airflow.resume(world.airflow.resumption(outcome, payload)).state == "success"

    def test_when_the_api_is_down_as_the_worker_resumes_a_retry_reads_the_runs_again(self, world: World) -> None:
        outcome = world.airflow.run(world.sensor(run_id=world.bought(), retries=1, soft_fail=True))
        fired = world.airflow.fire(outcome)
        world.runflow.add_fault(route="get", effect="status", status=503)
        ended = world.airflow.resume(fired)
        assert ended.state == "up_for_retry"
        assert type(ended.error) is AfterMoneyError
        assert "A retry of the task waits on, for $0" in str(ended.error)
        world.runflow.emulator.clear_faults()
        assert world.settle(world.airflow.retry(ended)).state == "success"

    @pytest.mark.parametrize("reason", ["Trigger timeout", "Trigger failure"])
    def test_when_airflow_itself_ends_the_deferral_ended_runs_are_seen(self, world: World, reason: str) -> None:
        outcome = world.airflow.run(world.sensor(run_id=world.bought()))
        world.runflow.advance(60)
        assert world.airflow.resume(world.airflow.trigger_failure(outcome, reason=reason)).state == "success"

    def test_a_deferral_that_timed_out_with_runs_going_on_is_a_time_out(self, world: World) -> None:
        outcome = world.airflow.run(world.sensor(run_id=world.doomed("stuck"), retries=1))
        ended = world.airflow.resume(world.airflow.trigger_failure(outcome, reason="Trigger timeout"))
        assert (ended.state, type(ended.error)) == ("failed", AirflowSensorTimeout)

    def test_a_trigger_that_died_with_runs_going_on_is_retried(self, world: World) -> None:
        run_id = world.bought()
        outcome = world.airflow.run(world.sensor(run_id=run_id, retries=1))
        ended = world.airflow.resume(world.airflow.trigger_failure(outcome, reason="Trigger failure"))
        assert ended.state == "up_for_retry"
        assert world.settle(world.airflow.retry(ended)).state == "success"

    def test_it_can_end_from_the_trigger(self, world: World) -> None:
        outcome = world.airflow.run(world.sensor(run_id=world.bought(), end_from_trigger=True))
        trigger = outcome.trigger
        assert isinstance(trigger, RunCompletionTrigger)
        assert trigger.end_from_trigger


def test_killing_a_sensor_leaves_the_run_alone(airflow: Airflow, runflow_emulator: RunflowEmulator) -> None:
    run_id = World(airflow, runflow_emulator, "poke").bought()
    with in_dag():
        RunCompletionSensor(task_id="wait", run_id=run_id).on_kill()
    runflow_emulator.advance(60)
    assert RunflowHook().get_run(run_id).status_code == "succeeded"


def real_now() -> Any:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc)


def answer_with(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Let Runflow's answers to GET differ from what the emulator says."""
    inner = RunflowHook.transport

    def changed(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if request.method != "GET" or answer.status_code != 200:
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)
        return httpx.Response(200, json=change(json.loads(content)))

    class Changing(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = inner.handle_request(request)
            return changed(request, answer, answer.read())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await inner.handle_async_request(request)
            return changed(request, answer, await answer.aread())

    monkeypatch.setattr(RunflowHook, "transport", Changing())
