# SPDX-License-Identifier: Apache-2.0
"""A batch that waits in the triggerer: one deferral, small arguments, and what the worker makes of what comes back."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import BeforeMoneyError, InsufficientCreditError, InvalidRequestError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.operators import paid_batch
from airflow_provider_runflow.operators.pending import (
    MAX_ERRORS_BYTES,
    Bought,
    pack_errors,
    pack_runs,
    unpack_errors,
    unpack_runs,
)
from airflow_provider_runflow.stores import task_state, task_state_log
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.operators.conftest import KEY, World

needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
KEYS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def deferrable() -> bool:
    return True


@pytest.fixture
def no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (task_state, task_state_log):
        monkeypatch.setattr(module, "task_state_store", lambda context: None)


class TestWhatIsDeferred:
    def test_few_runs_are_named_by_id_and_nothing_secret_goes_along(self, world: World) -> None:
        outcome = world.airflow.run(world.batch(KEYS, timeout=600, poll_interval=7))
        kwargs = outcome.trigger_kwargs
        assert sorted(kwargs["run_id"]) == sorted(run.id for run in world.emulator.runs)
        assert (kwargs["poll_interval"], kwargs["deadline"]) == (7, world.clock.now().timestamp() + 600)
        assert json.loads(json.dumps(kwargs)) == kwargs
        assert KEY not in json.dumps(kwargs)
        assert outcome.message.trigger_timeout.total_seconds() > 600

    def test_many_runs_are_named_by_what_they_all_carry(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paid_batch, "MAX_IDS", 3)
        outcome = world.airflow.run(world.batch(KEYS))
        kwargs = outcome.trigger_kwargs
        assert (kwargs["run_id"], kwargs["count"]) == ([], 5)
        assert kwargs["client_ref"] == world.emulator.runs[0].client_ref
        assert kwargs["since"] <= world.clock.now().timestamp()
        assert world.airflow.settle(outcome).state == "success"
        assert len(world.billed) == 5

    def test_what_is_over_by_then_is_not_waited_for(self, world: World) -> None:
        world.emulator.configure(queue_seconds=600)
        first = world.run(world.batch(KEYS, retries=1, timeout=60))
        world.clock.advance(900)
        again = world.airflow.retry(first)
        assert (again.state, len(world.files())) == ("success", 5)

    def test_500_ids_and_their_reasons_fit_into_64_kb(self) -> None:
        keys = [f"product-{number:05d}_locale_channel" for number in range(10_000)]
        errors = {key: InvalidRequestError(f"Item {key}: " + "x" * 500) for key in keys}
        packed = pack_errors(errors)
        assert len(packed) <= MAX_ERRORS_BYTES
        told = unpack_errors({"errors": packed})
        assert 100 < len(told) < 10_000
        assert all(isinstance(error, InvalidRequestError) for error in told.values())


class TestWhatADeferralCarries:
    def test_reasons_come_back_as_what_they_were(self) -> None:
        errors = {
            "a": InsufficientCreditError("no money", status=402),
            "b": BeforeMoneyError("halted"),
            "c": BeforeMoneyError("halted"),
        }
        told = unpack_errors({"errors": pack_errors(errors)})
        assert {key: type(error) for key, error in told.items()} == {key: type(error) for key, error in errors.items()}
        assert {key: str(error) for key, error in told.items()} == {key: str(error) for key, error in errors.items()}

    def test_of_another_version_an_unknown_kind_is_read_all_the_same(self) -> None:
        class NewerError(BeforeMoneyError):
            """Of a release to come."""

        assert type(unpack_errors({"errors": pack_errors({"a": NewerError("x")})})["a"]) is BeforeMoneyError
        assert unpack_errors(None) == unpack_errors({}) == unpack_runs({"runs": None}) == {}

    def test_runs_come_back_and_too_many_are_none(self) -> None:
        from uuid import uuid4

        runs = {f"key{number}": Bought(str(uuid4()), 0, uuid4().hex[:16], 1_764_000_000.25) for number in range(500)}
        assert unpack_runs({"runs": pack_runs(runs)}) == runs
        assert pack_runs({f"key{n}": Bought(str(uuid4()), 0, uuid4().hex[:16], n) for n in range(3000)}) is None


class TestResuming:
    def test_what_was_not_submitted_keeps_its_reason(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=422, prompt_contains="of a")
        outcome = world.airflow.settle(world.airflow.run(world.batch(KEYS, min_success=4)))
        assert outcome.state == "success"
        assert world.rows()["a"]["outcome"] == "invalid"
        assert "HTTP 422" in world.rows()["a"]["reason"]
        assert world.posts == 5

    def test_without_pending_as_in_dag_test_all_is_found_again(self, world: World) -> None:
        fired = world.airflow.fire(world.airflow.run(world.batch(KEYS)))
        fired.next_kwargs.pop("pending")
        assert world.airflow.resume(fired).state == "success"
        assert world.posts == 5

    def test_without_journal_and_pending_the_look_up_finds_all(self, world: World, no_journal: None) -> None:
        fired = world.airflow.fire(world.airflow.run(world.batch(KEYS)))
        fired.next_kwargs.pop("pending")
        assert world.airflow.resume(fired).state == "success"
        assert world.posts == 5

    def test_without_a_journal_a_list_that_lags_or_is_refused_does_not_matter(
        self, world: World, no_journal: None
    ) -> None:
        outcome = world.airflow.run(world.batch(KEYS))
        world.emulator.add_fault(route="list", effect="lag", seconds=10_000)
        fired = world.airflow.fire(outcome)
        world.emulator.add_fault(route="list", effect="status", status=403)
        assert world.airflow.resume(fired).state == "success"
        assert world.rows()["c"]["prompt"] == "a picture of c"

    def test_what_nothing_can_tell_is_never_called_not_submitted(self, world: World, no_journal: None) -> None:
        fired = world.airflow.fire(world.airflow.run(world.batch(KEYS, retries=1)))
        fired.next_kwargs.pop("pending")
        world.emulator.add_fault(route="list", effect="lag", seconds=10_000)
        outcome = world.airflow.resume(fired)
        assert outcome.state == "up_for_retry"
        assert "is billed if it succeeds" in str(outcome.error)
        assert {row["outcome"] for row in world.rows().values()} == {"unknown"}

    def test_too_many_runs_to_be_found_again_are_waited_for_on_the_worker(
        self, world: World, no_journal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from airflow_provider_runflow.operators import pending

        monkeypatch.setattr(pending, "MAX_RUNS_BYTES", 10)
        world.emulator.add_fault(route="list", effect="status", status=403)
        outcome = world.airflow.run(world.batch(KEYS))
        assert outcome.state == "success"
        assert "so this task waits on its worker" in capsys.readouterr().out

    def test_a_list_of_items_that_is_gone_by_then_is_said_to_be_paid(self, world: World) -> None:
        task = world.batch("{{ params.campaign }}", native=True, params={"campaign": [{"key": "a", "prompt": "cat"}]})
        fired = world.airflow.fire(world.airflow.run(task))
        task.params["campaign"] = "gone.csv"
        outcome = world.airflow.resume(fired)
        assert outcome.state == "failed"
        assert "Nothing was submitted" not in str(outcome.error)
        assert "was submitted before and is billed if it succeeds" in str(outcome.error)

    def test_a_timed_out_event_lands_what_has_finished_and_the_retry_attaches_to_the_rest(self, world: World) -> None:
        for key in "de":
            world.emulator.add_fault(route="create", outcome="stuck", prompt_contains=f"of {key}", times=1)
        outcome = world.airflow.settle(world.airflow.run(world.batch(KEYS, timeout=300, retries=1)))
        assert outcome.state == "up_for_retry"
        assert world.result(outcome)["counts"]["timed_out"] == 2
        assert len(world.files()) == 3
        for run in world.emulator.runs:
            assert run.client_ref == world.result(outcome)["client_ref"]
        again = world.airflow.retry(outcome)
        assert sorted(again.trigger_kwargs["run_id"]) == sorted(
            row["runflow_run_id"] for row in world.rows().values() if row["outcome"] == "timed_out"
        )
        assert world.posts == 5

    @pytest.mark.parametrize("reason", ["Trigger timeout", "Trigger failure"])
    def test_when_airflow_ends_the_deferral_what_has_finished_lands(self, world: World, reason: str) -> None:
        world.emulator.add_fault(route="create", outcome="stuck", prompt_contains="of e", times=1)
        outcome = world.airflow.run(world.batch(KEYS, retries=1))
        world.clock.advance(120)
        resumed = world.airflow.resume(world.airflow.trigger_failure(outcome, reason=reason))
        assert resumed.state == "up_for_retry"
        assert (world.result(resumed)["succeeded"], world.rows()["e"]["outcome"]) == (4, "timed_out")
        assert "A retry of the task attaches to it for $0" in world.rows()["e"]["reason"]
        assert world.posts == 5


class TestMoreThanATriggerHolds:
    @pytest.fixture(autouse=True)
    def _two_ids(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        monkeypatch.setattr(paid_batch, "MAX_IDS", 2)
        world.emulator.add_fault(route="list", effect="status", status=403)

    def test_while_lists_are_refused_it_defers_again_for_the_rest(self, world: World) -> None:
        for key, seconds in zip(KEYS, (10, 10, 200, 300, 400), strict=True):
            world.emulator.add_fault(route="create", outcome="succeeded", seconds=seconds, prompt_contains=f"of {key}")
        outcome, deferrals = world.airflow.run(world.batch(KEYS, max_in_flight=1)), 0
        while outcome.deferred:
            deferrals += 1
            assert len(outcome.trigger_kwargs["run_id"]) == 2
            assert outcome.trigger_kwargs["count"] == 0
            outcome = world.airflow.resume(world.airflow.fire(outcome))
            if deferrals == 1:
                assert outcome.deferred
                assert world.files()  # what has ended is landed meanwhile
            if len(world.files()) >= 3:
                break
        assert deferrals <= 3
        assert world.airflow.settle(outcome).state == "success"
        assert (len(world.files()), world.posts) == (5, 5)


class TestBeingKilled:
    @pytest.fixture
    def deferrable(self) -> bool:
        return False

    def killed(self, world: World, **changes: Any) -> None:
        """Kill a task while it waits on a worker."""
        task = world.batch(KEYS, **changes)
        executing: list[Any] = []
        execute = type(task).execute

        def remember(self: Any, context: Any) -> Any:
            executing.append(self)
            return execute(self, context)

        def kill(seconds: float) -> None:
            if seconds > 1:  # a poll interval; the network takes less
                executing[0].on_kill()
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(task), "execute", remember)
            patch.setattr(world.clock, "sleep", kill)
            outcome = world.airflow.run(task)
        assert isinstance(outcome.error, KeyboardInterrupt)

    def test_before_it_submits_it_has_nothing_to_say(self, world: World) -> None:
        world.batch(KEYS).on_kill()

    def test_without_cancel_on_kill_the_log_says_how_many_runs_bill(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.killed(world)
        assert "Killed. 5 Runflow runs go on and bill; a retry attaches to them for $0." in capsys.readouterr().out

    def test_with_cancel_on_kill_an_administrators_key_cancels_all(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admin = {"conn_type": "runflow", "host": "http://runflow.test", "password": "rf_svc_admin"}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(admin))
        self.killed(world, cancel_on_kill=True)
        assert {RunflowHook().get_run(run.id).status_code for run in world.emulator.runs} == {"cancelled"}


class TestAnExecutionTimeout:
    @pytest.fixture
    def deferrable(self) -> bool:
        return False

    def test_ends_submitting_lets_running_posts_end_and_leaves_the_rest_to_the_retry(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_runflow.client.sync import RunflowClient
        from airflow_provider_runflow.compat import AirflowTaskTimeout
        from airflow_provider_runflow.runs import crew

        posting, over = threading.Event(), threading.Event()
        create, wait = RunflowClient.create_run, crew.wait

        def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
            posting.set()
            assert over.wait(10)
            return create(self, *args, **kwargs)

        def timed_out(*args: Any, **kwargs: Any) -> Any:
            """As Airflow's alarm does it: in the main thread, wherever that is."""
            assert posting.wait(10)
            threading.Timer(0.05, over.set).start()
            raise AirflowTaskTimeout("timed out")

        monkeypatch.setattr(RunflowClient, "create_run", slow)
        monkeypatch.setattr(crew, "wait", timed_out)
        outcome = world.airflow.run(world.batch([str(number) for number in range(40)], max_in_flight=2, retries=1))
        assert isinstance(outcome.error, AirflowTaskTimeout)
        assert 1 <= world.posts <= 2
        monkeypatch.setattr(RunflowClient, "create_run", create)
        monkeypatch.setattr(crew, "wait", wait)
        assert world.retry(outcome).state == "success"
        assert (world.posts, len(world.billed)) == (40, 40)
