# SPDX-License-Identifier: Apache-2.0
"""Each item of a batch is paid once: killed workers, lost replies, retries, clears, edited lists; by the ledger."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.compat import AirflowFailException
from airflow_provider_runflow.emulator import routes
from airflow_provider_runflow.emulator.transport import EmulatorTransport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.stores import task_state, task_state_log
from tests.harness import HAS_TASK_STATE_STORE, Outcome
from tests.unit.operators.conftest import World, named

needs_a_journal = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the journal came with Airflow 3.3")
KEYS = [f"item{number}" for number in range(5)]


@pytest.fixture(params=["journal", "no journal"])
def journal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With Airflow 3.3's task state store, and as on 3.1 and 3.2."""
    kept = request.param == "journal"
    if kept and not HAS_TASK_STATE_STORE:
        pytest.skip("the journal came with Airflow 3.3")
    if not kept:
        for module in (task_state, task_state_log):
            monkeypatch.setattr(module, "task_state_store", lambda context: None)
    return kept


class Killed(BaseException):
    """The worker is gone, as after kill -9: nothing may catch it and go on."""


class DeadlyTransport(EmulatorTransport):
    """The way to Runflow, on which the worker dies once: before or after the nth call of a route took effect."""

    def __init__(self, world: World, moment: str, nth: int) -> None:
        super().__init__(world.emulator, world.clock)
        self._moment, self._left = moment, nth

    def _respond(self, request: Any, body: bytes) -> Any:
        route = routes.match(request.method, request.url.path).name
        self._pass(f"before {route}")
        response = super()._respond(request, body)
        self._pass(f"after {route}")
        return response

    def _pass(self, moment: str) -> None:
        if moment == self._moment:
            self._left -= 1
            if self._left <= 0:  # whatever this worker still does, it does no more
                raise Killed(moment)


class CutOff(EmulatorTransport):
    """The way to Runflow, which is gone from the nth call of a route on; then something else happens first."""

    def __init__(self, world: World, nth: int, then: Callable[[], None], route: str = "create") -> None:
        super().__init__(world.emulator, world.clock)
        self._left, self._then, self._route = nth, then, route

    def _respond(self, request: Any, body: bytes) -> Any:
        self._left -= routes.match(request.method, request.url.path).name == self._route
        if self._left > 0:
            return super()._respond(request, body)
        then, self._then = self._then, lambda: None
        then()
        raise httpx.ConnectError("[Errno 101] Network is unreachable", request=request)


def killed(world: World, task: Any, moment: str, nth: int = 3) -> Outcome:
    """A try whose worker dies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunflowHook, "transport", DeadlyTransport(world, moment, nth))
        outcome = world.airflow.run(task)
        if outcome.deferred:
            outcome = world.airflow.resume(world.airflow.fire(outcome))
    assert isinstance(outcome.error, Killed)
    return outcome


def paid(world: World) -> Counter[str]:
    """How often each item was paid, by its prompt."""
    world.clock.advance(3600)
    runs = {run.id: run.input["prompt"].rpartition(" ")[2] for run in world.emulator.runs}
    return Counter(runs[bill["run_id"]] for bill in world.billed)


def once(*keys: str) -> Counter[str]:
    return Counter(dict.fromkeys(keys or KEYS, 1))


@pytest.mark.parametrize(
    ("moment", "threads"),
    [("before create", 3), ("after create", 1), ("after create", 3), ("after get", 3), ("after output", 3)],
)
def test_a_worker_that_is_killed_in_the_middle_pays_for_nothing_twice(
    world: World, journal: bool, moment: str, threads: int
) -> None:
    task = world.batch(KEYS, retries=2, max_in_flight=threads)
    first = killed(world, task, moment)
    again = world.retry(first)
    assert again.state == "success"
    assert world.result(again)["succeeded"] == 5
    assert paid(world) == once()
    assert len(world.files()) == len(world.sidecars()) == 5


@pytest.mark.parametrize("lag", [0, 8])
def test_replies_that_are_lost_are_looked_for_before_anything_is_paid(world: World, journal: bool, lag: int) -> None:
    world.emulator.add_fault(route="create", effect="drop_after", probability=0.5, times=6)
    if lag:
        world.emulator.add_fault(route="list", effect="lag", seconds=lag)
    outcome = world.run(world.batch(KEYS, retries=2))
    while outcome.state == "up_for_retry":
        outcome = world.retry(outcome)
    assert outcome.state == "success"
    assert paid(world) == once()


def test_a_list_that_is_refused_leaves_journal_and_key(world: World, journal: bool) -> None:
    world.emulator.add_fault(route="list", effect="status", status=403)
    world.emulator.add_fault(route="create", effect="drop_after", times=2)
    outcome = world.run(world.batch(KEYS, retries=3))
    while outcome.state == "up_for_retry":
        outcome = world.retry(outcome)
    assert outcome.state == "success"
    assert paid(world) == once()


def test_a_list_that_is_refused_does_not_keep_a_retry_from_waiting(world: World, journal: bool) -> None:
    world.emulator.configure(queue_seconds=200)
    first = world.run(world.batch(KEYS, retries=3, timeout=60))
    assert first.state == "up_for_retry"
    world.emulator.add_fault(route="list", effect="status", status=403)
    again = world.retry(first)
    if journal:
        assert (again.state, world.posts) == ("up_for_retry", 5)
        assert "was still " in str(again.error)
        world.clock.advance(200)
        assert world.retry(again).state == "success"
    assert paid(world) == once()


def test_what_timed_out_is_attached_to_by_the_retry(world: World, journal: bool) -> None:
    world.emulator.configure(queue_seconds=600)
    outcome = world.run(world.batch(KEYS, retries=1, timeout=60))
    assert outcome.state == "up_for_retry"
    assert world.result(outcome)["counts"]["timed_out"] == 5
    world.clock.advance(900)
    again = world.retry(outcome)
    assert (again.state, world.posts) == ("success", 5)
    assert paid(world) == once()


class TestAClear:
    def test_of_a_finished_task_buys_nothing_again(self, world: World, journal: bool) -> None:
        outcome = world.run(world.batch(KEYS))
        again = world.clear(outcome)
        assert (again.state, world.posts) == ("success", 5)
        assert world.result(again)["cost_usd"] == (world.result(outcome)["cost_usd"] if journal else None)

    @needs_a_journal
    def test_buys_all_anew_when_pictures_are_reused_within_retries_only(self, world: World) -> None:
        outcome = world.run(world.batch(KEYS, reuse_within="retries"))
        assert world.clear(outcome).state == "success"
        assert paid(world) == Counter(dict.fromkeys(KEYS, 2))

    def test_buys_what_was_edited_since_and_only_that(self, world: World, journal: bool) -> None:
        outcome = world.run(world.batch(KEYS))
        items = [named(key) for key in KEYS]
        items[2]["prompt"] = "another picture of item2"
        attempt = outcome.attempt
        task = world.batch(items)
        again = world.run(task, try_number=2, max_tries=attempt.try_number, clear_number=1)
        assert again.state == "success"
        assert world.rows()["item2"]["prompt"] == "another picture of item2"
        assert paid(world) == once() + Counter({"item2": 1})


class TestAListThatChangesBetweenTries:
    def interrupted(self, world: World, **changes: Any) -> Outcome:
        """A first try whose items are all bought, and none has landed."""
        world.emulator.configure(queue_seconds=600)
        outcome = world.run(world.batch(KEYS, retries=3, timeout=60, **changes))
        assert outcome.state == "up_for_retry"
        world.clock.advance(900)
        return outcome

    def test_an_item_that_was_added_is_bought_too(self, world: World, journal: bool) -> None:
        first = self.interrupted(world)
        world.emulator.configure(queue_seconds=0)
        again = world.again(first, world.batch([*KEYS, "new"], retries=3))
        assert (again.state, world.result(again)["succeeded"]) == ("success", 6)
        assert paid(world) == once(*KEYS, "new")

    @needs_a_journal
    def test_an_item_that_was_removed_lands_all_the_same_since_it_is_paid(self, world: World) -> None:
        first = self.interrupted(world)
        labelled = [{**named(key), "labels": {"nr": key[-1]}} for key in KEYS[1:]]
        again = world.again(first, world.batch(labelled, retries=3))
        assert (again.state, world.posts) == ("success", 5)
        result = world.result(again)
        assert (result["succeeded"], result["counts"]["dropped"], result["counts"]["items"]) == (4, 1, 5)
        row = world.rows()["item0"]
        assert (row["dropped"], row["outcome"], row["prompt"]) == (True, "succeeded", "a picture of item0")
        assert len(world.files()) == 5
        assert paid(world) == once()

    @needs_a_journal
    def test_an_item_that_was_removed_is_never_bought(self, world: World) -> None:
        world.emulator.add_fault(route="create", effect="status", status=503, prompt_contains="item0")
        world.emulator.add_fault(route="create", outcome="failed", prompt_contains="item1")
        first = world.run(world.batch(KEYS[:3], retries=3))
        assert first.state == "up_for_retry"
        world.emulator.clear_faults()
        posts = world.posts
        again = world.again(first, world.batch(["item2"], retries=3))
        assert (again.state, world.posts) == ("success", posts)
        assert list(world.rows()) == ["item2"]
        assert paid(world) == once("item2")

    def test_an_edited_item_stays_as_it_was_bought_first(
        self, world: World, journal: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = self.interrupted(world)
        items = [{**named(key), "prompt": f"something else than {key}"} for key in KEYS]
        again = world.again(first, world.batch(items, retries=3))
        assert (again.state, world.posts) == ("success", 5)
        assert world.rows()["item3"]["prompt"] == "a picture of item3"
        said = capsys.readouterr().out
        assert "Item 'item3': " in said
        assert "clear the task to buy the new one" in said

    def test_items_in_another_order_are_the_same_items(self, world: World, journal: bool) -> None:
        first = self.interrupted(world)
        assert world.again(first, world.batch(KEYS[::-1], retries=3)).state == "success"
        assert paid(world) == once()
        assert list(world.rows()) == KEYS[::-1]

    @needs_a_journal
    def test_a_list_that_is_broken_now_is_said_to_be_paid(self, world: World) -> None:
        first = self.interrupted(world)
        outcome = world.again(
            first, world.batch("{{ params.campaign }}", native=True, params={"campaign": "broken"}, retries=3)
        )
        assert outcome.state == "failed"
        assert "Nothing was submitted" not in str(outcome.error)
        assert "(and 4 more) was submitted before and is billed if it succeeds" in str(outcome.error)


@needs_a_journal
class TestTwoWorkers:
    def test_that_run_the_same_try_pay_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        task = world.batch(KEYS, retries=2, max_in_flight=1)
        first = killed(world, task, "after create", 4)
        # The first worker was only thought dead: its task instance goes on, while the next try begins.
        again = world.airflow.run(world.batch(KEYS, retries=2), try_number=2, max_tries=first.attempt.max_tries)
        again = world.airflow.settle(again)
        assert again.state == "success"
        assert paid(world) == once()

    def test_of_which_one_is_cut_off_end_with_a_manifest_that_knows_all(self, world: World) -> None:
        task, twin = world.batch(KEYS, retries=2, max_in_flight=1), world.batch(KEYS, retries=2)
        delivered_twice = uuid.uuid4()
        ends: list[Outcome] = []

        def meanwhile() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(RunflowHook, "transport", EmulatorTransport(world.emulator, world.clock))
                ends.append(world.airflow.finish(twin, ti_id=delivered_twice))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunflowHook, "transport", CutOff(world, nth=3, then=meanwhile))
            ends.append(world.airflow.finish(task, ti_id=delivered_twice))
        assert [end.state for end in ends] == ["success", "success"]
        manifests = sorted(world.destination.glob("manifest*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        rows = [json.loads(line) for line in manifests[-1].read_text().splitlines()]
        assert {row["key"]: row["outcome"] for row in rows} == dict.fromkeys(KEYS, "succeeded")
        assert [world.airflow.xcom(task, "usage")[name] for name in ("images", "cost_usd")] == [5, "0.045000"]
        assert paid(world) == once()

    def test_of_which_one_could_not_download_end_with_a_manifest_that_knows_all(self, world: World) -> None:
        task, twin = world.batch(KEYS, retries=2, max_in_flight=1), world.batch(KEYS, retries=2)
        delivered_twice = uuid.uuid4()
        ends: list[Outcome] = []

        def meanwhile() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(RunflowHook, "transport", EmulatorTransport(world.emulator, world.clock))
                ends.append(world.airflow.finish(twin, ti_id=delivered_twice))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunflowHook, "transport", CutOff(world, nth=1, then=meanwhile, route="output"))
            ends.append(world.airflow.finish(task, ti_id=delivered_twice))
        assert [end.state for end in ends] == ["success", "success"]
        assert world.airflow.xcom(task)["succeeded"] == 5
        assert paid(world) == once()

    def test_of_which_one_is_cut_off_with_a_store_that_is_gone_too_end_with_what_it_knows(self, world: World) -> None:
        def gone() -> None:
            world.airflow.refuse("GetTaskStateStore")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunflowHook, "transport", CutOff(world, nth=3, then=gone))
            outcome = world.airflow.finish(world.batch(KEYS, retries=2, max_in_flight=1))
        assert outcome.state == "up_for_retry"
        assert "A retry of the task" in str(outcome.error)


@needs_a_journal
class TestAJournalThatFails:
    def test_in_the_middle_stops_submitting_and_the_retry_goes_on(self, world: World) -> None:
        writes = Refusing(world, after=8)
        outcome = world.run(world.batch(KEYS, retries=2, max_in_flight=1))
        assert writes.refused
        assert outcome.state in ("up_for_retry", "success")
        writes.stop()
        if outcome.state != "success":
            outcome = world.retry(outcome)
        assert outcome.state == "success"
        assert paid(world) == once()

    def test_after_a_post_goes_on_in_memory(self, world: World) -> None:
        writes = Refusing(world, after=4, times=1)
        outcome = world.run(world.batch(KEYS, max_in_flight=1))
        assert writes.refused == 1
        assert outcome.state in ("success", "failed")
        assert max(paid(world).values()) == 1

    def test_and_cannot_be_read_submits_nothing(self, world: World) -> None:
        world.airflow.refuse("GetTaskStateStore")
        outcome = world.run(world.batch(KEYS, retries=1))
        assert outcome.state == "up_for_retry"
        assert "Nothing was submitted" in str(outcome.error)
        assert not world.emulator.request_log


class Refusing:
    """Airflow's server, which refuses to keep task state after so many writes."""

    def __init__(self, world: World, *, after: int, times: int = 10**9) -> None:
        self.refused = 0
        self._world, self._after, self._times = world, after, times
        self._answer = world.airflow.answer
        world.airflow.answer = self.answer  # type: ignore[method-assign]

    def answer(self, message: Any) -> Any:
        if type(message).__name__ == "SetTaskStateStore":
            self._after -= 1
            if self._after < 0 and self.refused < self._times:
                self.refused += 1
                raise ConnectionError("the API server is restarting")
        return self._answer(message)

    def stop(self) -> None:
        self._times = 0


def test_when_no_item_can_succeed_any_more_there_is_no_retry(world: World, journal: bool) -> None:
    world.emulator.add_fault(route="create", outcome="blocked")
    outcome = world.run(world.batch(KEYS[:2], retries=3))
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert not paid(world)
