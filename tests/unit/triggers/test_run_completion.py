# SPDX-License-Identifier: Apache-2.0
"""The trigger: one small event, a deadline on the wall clock, and never a key among its arguments."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.hooks.settings import Settings
from airflow_provider_runflow.triggers.run_completion import WATCHERS, RunCompletionTrigger
from tests.harness import Airflow

KEY = "rf_svc_unit_test_key"


@dataclass
class World:
    emulator: Emulator
    clock: VirtualClock
    run_id: str

    def trigger(self, **changes: Any) -> RunCompletionTrigger:
        facts = {
            "run_id": self.run_id,
            "runflow_conn_id": "runflow_default",
            "poll_interval": 5.0,
            "deadline": self.clock.now().timestamp() + 600,
        }
        return RunCompletionTrigger(**{**facts, **changes})

    def another(self, outcome: str | None = None) -> str:
        """Submit one more run; give its id."""
        if outcome:
            self.emulator.add_fault(route="create", outcome=outcome, times=1)
        return RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat", "quality": "low"}).id

    @property
    def status(self) -> str:
        return RunflowHook().get_run(self.run_id).status_code


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, airflow: Airflow) -> Iterator[World]:
    emulator, clock = Emulator(picture_size=(16, 16)), VirtualClock()
    monkeypatch.setattr(RunflowHook, "clock", clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(emulator, clock))
    connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    run = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat", "quality": "low"})
    with airflow.supervised():
        yield World(emulator, clock, run.id)


def fired(trigger: RunCompletionTrigger) -> list[TriggerEvent]:
    """All that the trigger yields."""

    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(asyncio.wait_for(collect(), 20))


def events(trigger: RunCompletionTrigger) -> list[Any]:
    """What all of it says."""
    return [event.payload for event in fired(trigger)]


def first_event(trigger: RunCompletionTrigger) -> Any:
    (event,) = fired(trigger)
    return event


@pytest.mark.parametrize("run_id", ["r-1", ["r-1", "r-2"]])
def test_it_comes_back_from_its_arguments_as_it_was(world: World, run_id: Any) -> None:
    changes = {"run_id": run_id, "not_before": 7.0, "cancel_on_kill": True, "end_from_trigger": True}
    path, kwargs = world.trigger(**changes).serialize()
    assert kwargs.items() >= changes.items()
    assert path == "airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger"
    assert RunCompletionTrigger(**kwargs).serialize() == (path, kwargs)
    assert json.loads(json.dumps(kwargs)) == kwargs


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(None, "succeeded"), ("failed", "failed"), ("blocked", "failed"), ("cancelled", "cancelled")],
)
def test_a_run_that_ends_is_one_small_event(
    world: World, monkeypatch: pytest.MonkeyPatch, outcome: str | None, status: str
) -> None:
    if outcome:
        world.emulator.add_fault(route="create", outcome=outcome)
        world.run_id = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat"}).id
    assert events(world.trigger()) == [
        {"status": "finished", "reason": "terminal", "run_id": world.run_id, "run_status": status}
    ]


def test_at_the_deadline_it_says_so_and_leaves_the_run_alone(world: World) -> None:
    deadline = world.clock.now().timestamp() + 3
    assert events(world.trigger(deadline=deadline)) == [
        {"status": "timed_out", "reason": "deadline", "run_id": world.run_id, "run_status": "running"}
    ]
    world.clock.advance(60)
    assert world.status == "succeeded"


def test_a_triggerer_that_was_down_past_the_deadline_still_sees_that_the_run_finished(world: World) -> None:
    trigger = world.trigger()
    world.clock.advance(6000)
    assert events(trigger)[0]["status"] == "finished"


def test_nothing_is_sent_before_the_quiet_time_is_over(world: World) -> None:
    world.clock.advance(60)
    until = world.clock.now().timestamp() + 5
    events(world.trigger(not_before=until))
    assert world.clock.now().timestamp() >= until


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 503},
        {"effect": "status", "status": 429, "headers": True},
        {"effect": "status", "status": 404},
        {"effect": "malformed"},
        {"effect": "drop_before"},
        {"effect": "drop_after"},
        {"effect": "latency", "seconds": 120},
    ],
    ids=lambda fault: "-".join(str(v) for v in fault.values()),
)
def test_trouble_does_not_end_the_wait(world: World, fault: dict[str, Any]) -> None:
    world.emulator.add_fault(route="get", times=3, **fault)
    assert events(world.trigger())[0]["status"] == "finished"


def test_a_rotated_key_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.emulator.configure(api_keys=("rf_live_new",))
    seen: list[str] = []
    inner = RunflowHook.transport

    class Rotating(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.headers["Authorization"])
            answer = await inner.handle_async_request(request)
            if answer.status_code == 401:
                rotated = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_live_new"}
                monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(rotated))
            return answer

    monkeypatch.setattr(RunflowHook, "transport", Rotating())
    assert events(world.trigger())[0]["status"] == "finished"
    assert seen[0] == f"Bearer {KEY}"
    assert seen[-1] == "Bearer rf_live_new"


def test_a_key_that_stays_refused_gives_up_and_leaves_the_run_alone(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.emulator.configure(api_keys=("rf_live_other",))
    assert events(world.trigger()) == [
        {"status": "gave_up", "reason": "unreadable", "run_id": world.run_id, "run_status": None}
    ]
    captured = capsys.readouterr()
    said = caplog.text + captured.out + captured.err
    assert "401" in said
    assert KEY not in said


def test_a_connection_that_is_gone_for_a_while_does_not_end_the_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    connection = os.environ["AIRFLOW_CONN_RUNFLOW_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT")
    asleep = world.clock.asleep

    async def back_after_a_sleep(seconds: float) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", connection)
        await asleep(seconds)

    monkeypatch.setattr(world.clock, "asleep", back_after_a_sleep)
    assert events(world.trigger())[0]["status"] == "finished"


class TestSeveralRuns:
    def test_are_one_event_when_all_have_ended(self, world: World) -> None:
        world.emulator.configure(queue_seconds=300)
        slow = world.another()
        world.emulator.configure(queue_seconds=0)
        last = world.another(outcome="failed")
        assert events(world.trigger(run_id=[world.run_id, slow, last])) == [
            {
                "status": "finished",
                "reason": "terminal",
                "run_id": last,
                "run_status": "failed",
                "counts": {"failed": 1, "succeeded": 2},
            }
        ]

    def test_at_the_deadline_the_event_names_the_one_that_goes_on(self, world: World) -> None:
        stuck = world.another(outcome="stuck")
        assert events(world.trigger(run_id=[world.run_id, stuck, "never-looked-at"])) == [
            {
                "status": "timed_out",
                "reason": "deadline",
                "run_id": stuck,
                "run_status": "running",
                "counts": {"running": 1, "succeeded": 1},
            }
        ]

    def test_a_triggerer_that_was_down_past_the_deadline_looks_at_each_of_them_once(self, world: World) -> None:
        trigger = world.trigger(run_id=[world.run_id, world.another()])
        world.clock.advance(6000)
        assert events(trigger)[0]["status"] == "finished"

    def test_one_that_cannot_be_read_gives_up_and_is_named(self, world: World) -> None:
        event = events(world.trigger(run_id=[world.run_id, "r-unknown"]))[0]
        assert (event["status"], event["run_id"]) == ("gave_up", "r-unknown")

    def test_cost_fewer_calls_than_there_are_runs(self, world: World) -> None:
        world.emulator.configure(queue_seconds=300)
        ids = [world.another() for _ in range(20)]
        events(world.trigger(run_id=ids, poll_interval=30.0))
        requests = world.emulator.ledger(world.clock.now())["requests"]
        assert requests["GET run"] + requests["GET list"] <= 14

    def test_a_person_who_ended_the_task_ends_them_all(self, world: World) -> None:
        other = world.another()
        kill(world.trigger(run_id=[world.run_id, other], cancel_on_kill=True), "failed")
        assert world.status == RunflowHook().get_run(other).status_code == "cancelled"


class TestAGroup:
    def buy(self, world: World, *outcomes: str | None) -> list[str]:
        """Submit runs with one client_ref, those first that end unusually; give their ids."""
        for outcome in outcomes:
            if outcome:
                world.emulator.add_fault(route="create", outcome=outcome, times=1, client_ref="campaign")
        given = {"prompt": "a cat", "quality": "low"}
        create = RunflowHook().create_run
        return [create("openai/gpt-image-2", given, client_ref="campaign").id for _ in outcomes]

    def trigger(self, world: World, **changes: Any) -> RunCompletionTrigger:
        facts = {"run_id": "", "client_ref": "campaign", "since": world.clock.now().timestamp(), "count": 3}
        return world.trigger(**{**facts, **changes})

    def test_needs_no_ids_where_all_carry_one_client_ref(self, world: World) -> None:
        self.buy(world, "failed", None, None)
        assert events(self.trigger(world)) == [
            {
                "status": "finished",
                "reason": "terminal",
                "run_id": None,
                "run_status": None,
                "counts": {"failed": 1, "succeeded": 2},
            }
        ]

    def test_at_the_deadline_one_that_goes_on_is_named(self, world: World) -> None:
        stuck, *_ = self.buy(world, "stuck", None, None)
        (event,) = events(self.trigger(world, deadline=world.clock.now().timestamp() + 100))
        assert (event["status"], event["run_id"], event["run_status"]) == ("timed_out", stuck, "running")
        assert event["counts"] == {"running": 1, "succeeded": 2}

    def test_with_ids_waits_for_these_alone(self, world: World) -> None:
        _, *ids = self.buy(world, "stuck", None, None)
        (event,) = events(self.trigger(world, run_id=ids))
        assert (event["status"], event["counts"]) == ("finished", {"succeeded": 2})

    def test_runs_of_an_earlier_go_are_not_waited_for(self, world: World) -> None:
        self.buy(world, "stuck")
        world.clock.advance(3600)
        self.buy(world, None)
        (event,) = events(self.trigger(world, count=1))
        assert event["counts"] == {"succeeded": 1}

    def test_can_end_the_task_from_here(self, world: World) -> None:
        self.buy(world, None, None, None)
        assert type(first_event(self.trigger(world, end_from_trigger=True))) is TaskSuccessEvent

    def test_comes_back_from_its_arguments_as_it_was(self, world: World) -> None:
        path, kwargs = self.trigger(world, since=7.0).serialize()
        assert kwargs.items() >= {"client_ref": "campaign", "count": 3, "since": 7.0}.items()
        assert RunCompletionTrigger(**kwargs).serialize() == (path, kwargs)
        assert json.loads(json.dumps(kwargs)) == kwargs

    def test_a_person_who_ended_the_task_ends_the_runs_that_go_on(self, world: World) -> None:
        world.emulator.add_fault(route="create", outcome="stuck", prompt_contains="another")
        hook = RunflowHook()
        first = hook.create_run("openai/gpt-image-2", {"prompt": "another"}, client_ref="campaign").id
        foreign = hook.create_run("openai/gpt-image-2", {"prompt": "another"}, client_ref="other").id
        self.buy(world, None)
        world.clock.advance(100)
        since = world.clock.now().timestamp() - 100
        kill(self.trigger(world, cancel_on_kill=True, since=since), "failed")
        assert hook.get_run(first).status_code == "cancelled"
        assert hook.get_run(foreign).status_code == "running"

    def test_that_cannot_be_listed_is_not_cancelled_and_nothing_is_raised(self, world: World) -> None:
        (run_id,) = self.buy(world, "stuck")
        world.emulator.add_fault(route="list", effect="status", status=403)
        kill(self.trigger(world, cancel_on_kill=True), "failed")
        assert RunflowHook().get_run(run_id).status_code != "cancelled"

    def test_needs_ids_or_a_client_ref_and_no_more_than_500_ids(self, world: World) -> None:
        for wrong in ({"run_id": "", "client_ref": None}, {"run_id": ["r"] * 501}):
            with pytest.raises(ValueError, match="must be 1-500"):
                self.trigger(world, **wrong)


# As version 0.1 wrote them to the metadata database: a triggerer that was upgraded meanwhile must load them.
OLDER_ARGUMENTS: list[dict[str, Any]] = [
    {
        "run_id": "019e1f00-0000-7000-8000-000000000001",
        "runflow_conn_id": "runflow_default",
        "poll_interval": 5.0,
        "deadline": 1795343400.0,
        "not_before": 1795341605.0,
        "cancel_on_kill": True,
        "end_from_trigger": False,
    },
    {
        "run_id": ["019e1f00-0000-7000-8000-000000000001", "019e1f00-0000-7000-8000-000000000002"],
        "runflow_conn_id": "runflow_default",
        "poll_interval": 60.0,
        "deadline": 1795343400.0,
        "not_before": 0.0,
        "cancel_on_kill": False,
        "end_from_trigger": True,
    },
]


@pytest.mark.parametrize("kwargs", OLDER_ARGUMENTS)
def test_what_an_older_version_serialised_is_loaded_and_written_as_it_was(kwargs: dict[str, Any]) -> None:
    path, again = RunCompletionTrigger(**kwargs).serialize()
    assert path == "airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger"
    assert again == kwargs


def test_another_triggerer_that_takes_over_waits_on(world: World) -> None:
    _, kwargs = world.trigger().serialize()

    async def dies_while_it_waits() -> None:
        waiting = asyncio.ensure_future(anext(RunCompletionTrigger(**kwargs).run()))  # type: ignore[arg-type]
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(dies_while_it_waits())
    assert events(RunCompletionTrigger(**kwargs))[0]["status"] == "finished"
    assert len(WATCHERS) == 0


def test_all_triggers_of_a_triggerer_share_their_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    known = RunflowHook().settings

    async def at_once(hook: RunflowHook) -> Settings:
        # Airflow reads a connection in a thread, and virtual time would not wait for forty of them.
        return known

    monkeypatch.setattr(RunflowHook, "aget_settings", at_once)
    triggers = [world.trigger(run_id=world.another()) for _ in range(40)]

    async def fire_all() -> list[TriggerEvent]:
        return list(await asyncio.gather(*(anext(trigger.run()) for trigger in triggers)))

    before = world.emulator.ledger(world.clock.now())["requests"]
    fired_events = asyncio.run(asyncio.wait_for(fire_all(), 20))
    requests = world.emulator.ledger(world.clock.now())["requests"]
    assert {event.payload["status"] for event in fired_events} == {"finished"}
    assert requests["GET list"] + requests["GET run"] - before["GET run"] <= 10


def test_what_goes_wrong_stands_in_the_log_of_the_task_that_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.emulator.add_fault(route="get", effect="status", status=503)
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    heard: list[tuple[str, str]] = []
    triggers = {name: world.trigger(run_id=world.another()) for name in ("ada", "bob")}

    async def fire(name: str) -> None:
        who.set(name)
        trigger = triggers[name]
        monkeypatch.setattr(trigger.log, "warning", lambda text: heard.append((who.get(), text)), raising=False)
        await anext(trigger.run())  # type: ignore[arg-type]

    async def fire_both() -> None:
        await asyncio.gather(*map(fire, triggers))

    asyncio.run(asyncio.wait_for(fire_both(), 20))
    assert {name for name, _ in heard} == {"ada", "bob"}
    assert all(str(triggers[name].run_id) in text for name, text in heard)


class TestEndingFromTheTrigger:
    def test_a_task_whose_runs_all_delivered_ends_as_a_success_without_a_return_value(self, world: World) -> None:
        event = first_event(world.trigger(run_id=[world.run_id, world.another()], end_from_trigger=True))
        assert type(event) is TaskSuccessEvent
        # What is pushed here would arrive downstream as JSON text (Airflow 3.3.2).
        assert event.xcoms is None

    @pytest.mark.parametrize("outcome", ["failed", "cancelled", "stuck"])
    def test_everything_else_is_for_the_worker_to_judge(self, world: World, outcome: str) -> None:
        event = first_event(world.trigger(run_id=[world.run_id, world.another(outcome)], end_from_trigger=True))
        assert type(event) is TriggerEvent

    def test_nothing_ends_before_the_quiet_time_is_over(self, world: World) -> None:
        world.clock.advance(60)
        until = world.clock.now().timestamp() + 5
        first_event(world.trigger(not_before=until, end_from_trigger=True))
        assert world.clock.now().timestamp() >= until


@pytest.mark.parametrize("steps", range(1, 40))
def test_being_cancelled_at_any_moment_passes_through_so_that_airflow_can_tell_why(world: World, steps: int) -> None:
    world.emulator.add_fault(route="create", outcome="stuck")
    world.run_id = RunflowHook().create_run("openai/gpt-image-2", {"prompt": "a cat"}).id

    async def cancel_it() -> None:
        trigger = world.trigger(deadline=world.clock.now().timestamp() + 1e9)
        messages: list[Any] = []

        async def wait() -> None:
            try:
                await anext(trigger.run())  # type: ignore[arg-type]
            except asyncio.CancelledError as cancelled:
                messages.append(cancelled.args)
                raise

        waiting = asyncio.ensure_future(wait())
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel("user action")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert messages == [("user action",)]

    asyncio.run(cancel_it())


class TestOnKill:
    @pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed"])
    def test_a_person_who_ended_the_task_ends_the_run(self, world: World, state: str) -> None:
        kill(world.trigger(cancel_on_kill=True), state)
        assert world.status == "cancelled"

    @pytest.mark.parametrize("state", ["deferred", "scheduled", "queued", "running", "up_for_retry", None])
    def test_a_trigger_that_only_moves_or_a_cleared_task_leaves_the_run_alone(
        self, world: World, state: str | None
    ) -> None:
        kill(world.trigger(cancel_on_kill=True), state)
        assert world.status != "cancelled"

    def test_it_cancels_nothing_unless_told_to(self, world: World) -> None:
        kill(world.trigger(), "failed")
        assert world.status != "cancelled"

    def test_it_cancels_nothing_after_its_event(self, world: World) -> None:
        trigger = world.trigger(cancel_on_kill=True, deadline=world.clock.now().timestamp() + 3)
        events(trigger)
        kill(trigger, "failed")
        assert world.status != "cancelled"

    def test_a_key_that_may_not_cancel_raises_nothing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_live_plain"}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(plain))
        kill(world.trigger(cancel_on_kill=True), "failed")
        assert world.status != "cancelled"

    @pytest.mark.parametrize(
        ("map_index", "answer", "state"),
        [
            (-1, {"r": {"hero": "failed"}}, "failed"),
            (3, {"r": {"hero_3": "success", "hero_1": "failed"}}, "success"),
            (3, {"r": {}}, None),
            (-1, {}, None),
        ],
    )
    def test_the_state_of_a_mapped_task_is_found_under_the_name_that_airflow_gives_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch, map_index: int, answer: Any, state: str | None
    ) -> None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **asked: answer))
        trigger = world.trigger(cancel_on_kill=True)
        trigger.task_instance = TaskInstance(map_index)  # type: ignore[assignment]
        assert asyncio.run(trigger._task_state()) == state


@dataclass
class TaskInstance:
    """What a trigger knows of its task instance."""

    map_index: int
    dag_id: str = "d"
    task_id: str = "hero"
    run_id: str = "r"


def kill(trigger: RunCompletionTrigger, state: str | None) -> None:
    async def told() -> str | None:
        return state

    trigger._task_state = told  # type: ignore[method-assign]
    asyncio.run(trigger.on_kill())


def test_the_sync_client_is_no_part_of_the_triggers_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a blocking client in the event loop")

    monkeypatch.setattr(RunflowClient, "__init__", refuse)
    assert events(world.trigger())[0]["status"] == "finished"
