# SPDX-License-Identifier: Apache-2.0
"""The engine on the journal as Airflow keeps it: the intent and the run apart, workers whose clocks and luck differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import (
    NotFoundError,
    SubmissionUncertainError,
    SubmissionUnknownError,
    TransportError,
)
from airflow_provider_runflow.runs.identity import Request, Scope
from airflow_provider_runflow.runs.journal import newest_first
from airflow_provider_runflow.stores.task_state import TaskStateJournal
from tests.harness import HAS_TASK_STATE_STORE
from tests.unit.runs.engine_world import NOON, OTHER, REQUEST, World, record, scope

pytestmark = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the task state store came with Airflow 3.3")

TWO_DAYS = 48 * 3600


class Killed(BaseException):
    """The worker is gone."""


class Kept:
    """Airflow's task state store as a dict."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = value


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def world(kept: Kept) -> World:
    return World(journal=TaskStateJournal(kept))  # type: ignore[arg-type]


def cleared(times: int, **more: Any) -> Scope:
    return scope(go=3 * times, clears=times, first_try=False, **more)


def dies_in_the_post(world: World, seconds: float = 0) -> Any:
    def on_post(body: Any, accept: Any) -> Any:
        world.clock.sleep(seconds)
        accept()
        raise Killed

    return on_post


def test_a_prompt_that_is_edited_and_edited_back_is_not_bought_again_where_nothing_can_tell(world: World) -> None:
    world.attempt()
    world.api.set_status("succeeded")
    world.attempt(OTHER, scope=cleared(1))
    world.api.set_status("succeeded")
    world.clock.sleep(TWO_DAYS)
    world.api.keys.clear()
    world.api.refuse_list()
    with pytest.raises(SubmissionUnknownError):
        world.attempt(REQUEST, scope=cleared(2))
    assert world.api.paid == 2


def test_another_request_that_was_refused_does_not_hide_the_paid_run(world: World) -> None:
    world.attempt()
    world.api.set_status("running")
    world.api.refuse_post(TransportError("never connected"))
    with pytest.raises(TransportError):
        world.attempt(OTHER, scope=cleared(1))
    world.clock.sleep(TWO_DAYS)
    world.api.keys.clear()
    world.api.heal()
    world.api.refuse_list()
    assert world.attempt(REQUEST, scope=cleared(2)).record.run_id == "run-1"
    assert world.api.paid == 1


class TestAServerThatAcceptsLateAndIgnoresKeys:
    def test_after_a_time_out_the_list_has_its_ten_seconds_from_then_on(self, world: World) -> None:
        world.api.idempotent, world.api.lag = False, 3

        def on_post(body: Any, accept: Any) -> Any:
            world.clock.sleep(30)
            accept()
            world.api.heal()
            raise SubmissionUncertainError("read time-out")

        world.api.on_post = on_post
        world.attempt()
        assert world.api.paid == 1

    def test_and_so_it_has_after_a_worker_that_died_waiting(self, world: World) -> None:
        world.api.idempotent, world.api.lag = False, 3
        world.api.on_post = dies_in_the_post(world, 30)
        with pytest.raises(Killed):
            world.attempt()
        world.api.heal()
        world.clock.sleep(1)
        world.attempt(scope=scope(first_try=False))
        assert world.api.paid == 1


class TestClocksThatDiffer:
    def test_of_one_request_the_higher_ordinal_counts(self) -> None:
        bought = record("submitted", run_id="run-1", ordinal=0, at=NOON + timedelta(seconds=30))
        sent = record("intent", ordinal=1, at=NOON)
        assert newest_first(bought, sent) == [sent]

    def test_a_record_from_the_future_does_not_hide_an_intent(self, world: World, kept: Kept) -> None:
        world.attempt()
        world.api.set_status("failed")
        kept.values["runflow.run"]["at"] = (world.clock.now() + timedelta(seconds=60)).isoformat()
        world.api.idempotent = False
        world.api.on_post = dies_in_the_post(world)
        with pytest.raises(Killed):
            world.attempt()
        world.api.heal()
        world.clock.sleep(300)
        world.attempt(scope=scope(first_try=False))
        assert world.api.paid == 1


def test_a_worker_that_was_faster_is_followed_even_where_keys_are_ignored(world: World) -> None:
    world.api.idempotent = False
    twin = world.engine(before_submit=lambda request: None)

    def meanwhile(request: Request) -> None:
        twin.resolve(request, twin.recall(request))

    assert world.attempt(before_submit=meanwhile).attached
    assert world.api.paid == 1


def test_within_retries_a_clear_bears_with_a_run_that_is_not_readable_yet(world: World) -> None:
    world.attempt(scope=scope(reuse_within="retries"))
    answers = [NotFoundError("not yet", status=404)]

    def on_read(run_id: str) -> None:
        if answers:
            raise answers.pop()

    world.api.on_read = on_read
    world.clock.sleep(5)
    again = world.attempt(scope=cleared(1, reuse_within="retries"))
    assert again.record.run_id == "run-1"


def test_fewer_retries_and_a_clear_make_another_go_although_max_tries_is_the_same(world: World) -> None:
    bought = world.attempt(scope=scope(go=3))
    world.engine().remember(bought.record.moved("landed", NOON, result={"images": []}))
    assert world.attempt(OTHER, scope=scope(go=3, clears=1, first_try=False)).record.run_id == "run-2"


def test_a_mapped_list_that_shifts_is_told_by_when_the_dag_run_began_not_by_when_it_was_due(world: World) -> None:
    where = {"reuse_within": "destination", "destination": "s3://b/p"}
    world.attempt(scope=scope(map_index=0, **where))
    world.clock.sleep(60)
    late = {"began": world.clock.now(), "since": NOON - timedelta(days=7)}
    again = World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=1, **late, **where))
    assert again.record.run_id == "run-1"


def test_a_server_that_ignores_the_filter_does_not_bring_another_scopes_run(world: World) -> None:
    world.attempt()
    rows = list(world.api.runs)
    world.api.find_runs = lambda *args, **kwargs: iter(rows)  # type: ignore[method-assign]
    other = World(clock=world.clock, api=world.api).attempt(scope=scope(reuse_within="retries"))
    assert other.record.run_id == "run-2"


def test_what_is_resumed_is_sent_with_the_signature_of_now(world: World) -> None:
    def asked(prompt: str, signature: str) -> Request:
        return Request("m", {"prompt": prompt, "image_urls": [f"https://h/x.png?sig={signature}"]})

    world.api.on_post = lambda body, accept: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        world.attempt(asked("a", "1"))
    world.api.heal()
    world.clock.sleep(60)
    world.attempt(asked("b", "2"), scope=scope(first_try=False))
    assert world.api.posts[-1]["input"] == asked("a", "2").input


def test_an_item_that_came_here_by_a_clear_is_not_answered_with_the_picture_of_the_one_before(world: World) -> None:
    world.attempt(scope=scope(map_index=1, item_key="a", go=3))
    world.api.set_status("succeeded")
    # Fewer `retries` than before left `max_tries` as it was, and that the first picture landed could not be recorded.
    came = world.attempt(OTHER, scope=scope(map_index=1, item_key="b", go=3, clears=1, first_try=False))
    assert came.record.run_id == "run-2"


def test_while_something_else_of_the_dag_run_is_cleared_a_retry_goes_on_with_what_it_bought(world: World) -> None:
    world.attempt(scope=scope(item_key="a", go=3))
    again = world.attempt(OTHER, scope=scope(item_key="a", go=3, clears=1, first_try=False))
    assert again.record.run_id == "run-1"
