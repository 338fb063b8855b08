# SPDX-License-Identifier: Apache-2.0
"""The watcher: few calls, no wait ended or hung by trouble, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import threading
import weakref
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from airflow_provider_runflow.exceptions import AuthenticationError
from airflow_provider_runflow.runs import watcher as module
from airflow_provider_runflow.runs.polling import GiveUp, Late, Over
from airflow_provider_runflow.runs.round import Round
from tests.unit.runs.watch_world import INTERVAL, KEY, Lines, Tampered, Task, WatchWorld


@pytest.fixture
def world() -> WatchWorld:
    return WatchWorld()


class TestCalls:
    def test_a_group_of_5000_costs_a_hundredth_of_a_call_a_run_and_round(self, world: WatchWorld) -> None:
        ids = world.buy(*["campaign"] * 5000, takes=21)
        task = world.task(*ids, client_ref="campaign")
        assert world.finish(task) == [Over()]
        assert max(world.rounds().values()) <= len(ids) / 100
        assert len(world.rounds()) >= 4

    def test_a_group_without_ids_is_listed_to_its_end(self, world: WatchWorld) -> None:
        world.buy(*["campaign"] * 1200, takes=21)
        task = world.task(client_ref="campaign", count=1200, since=world.clock.now())
        start = world.clock.now()
        assert world.finish(task) == [Over()]
        assert task.ended_at is not None
        assert task.ended_at - start <= timedelta(seconds=21 + 1.1 * INTERVAL), (
            "in the round that sees the last one end"
        )
        assert task.waiter.group.counts == {"succeeded": 1200}
        assert max(world.rounds().values()) == 3
        assert world.routes().keys() == {"list"}

    def test_a_thousand_groups_of_one_in_a_busy_organisation_share_the_organisations_list(
        self, world: WatchWorld
    ) -> None:
        ids = world.buy(*([f"mine-{n // 11}" if n % 11 == 0 else None for n in range(11_000)]), takes=12)[::11]
        tasks = [world.task(run_id, client_ref=f"mine-{n}") for n, run_id in enumerate(ids)]
        assert set(world.finish(*tasks)) == {Over()}
        assert max(world.rounds().values()) <= 23
        assert world.routes().keys() == {"list"}

    def test_a_few_runs_are_read_by_their_ids(self, world: WatchWorld) -> None:
        world.buy(*[None] * 50)
        tasks = [world.task(run_id) for run_id in world.buy(None, None, None)]
        world.finish(*tasks)
        assert world.routes().keys() == {"get"}

    def test_old_runs_behind_many_others_are_read_by_their_ids_after_one_page_has_told_so(
        self, world: WatchWorld
    ) -> None:
        ids = [world.buy(None, takes=4000, age=3600 - n * 500)[0] for n in range(6)]
        for minute in range(60):
            world.buy(*[None] * 500, age=3000 - minute * 50)
        tasks = [world.task(run_id, seconds=15) for run_id in ids]
        world.finish(*tasks)
        routes = world.routes()
        assert 6 <= routes["list"] + routes["get"] <= 8 * 4
        assert routes["list"] <= 4

    def test_rounds_are_never_more_often_than_the_smallest_interval(self, world: WatchWorld) -> None:
        quick, slow = world.buy(None, None, takes=100)
        tasks = [world.task(quick, interval=5), world.task(slow, interval=30)]
        world.finish(*tasks)
        moments = sorted(world.rounds())
        assert min(b - a for a, b in itertools.pairwise(moments)) >= timedelta(seconds=5)
        reads = sum(slow in request.path for request in world.emulator.request_log)
        assert reads <= 6

    def test_a_round_comes_one_interval_after_a_run_can_have_ended(self, world: WatchWorld) -> None:
        for _ in range(3):
            tasks = [world.task(run_id) for run_id in world.buy(*[None] * 10, takes=60)]
            born = world.clock.now()
            before = world.calls
            world.finish(*tasks)
            late = max(task.ended_at for task in tasks if task.ended_at) - born - timedelta(seconds=60)
            assert late <= timedelta(seconds=INTERVAL * 1.1)
        assert world.calls - before <= 14


class TestTheList:
    def test_refused_it_is_left_alone_and_runs_are_read_by_their_ids(self, world: WatchWorld) -> None:
        for status in (403, 404, 422):
            world = WatchWorld()
            world.emulator.add_fault(route="list", effect="status", status=status)
            ids = world.buy(*["campaign"] * 30, takes=61)
            task = world.task(*ids, client_ref="campaign")
            assert world.finish(task) == [Over()]
            assert world.routes()["list"] == 2, "one try each of both lists"
            assert "Runs are read one by one" in world.log
            assert task.log.lines == []

    def test_lagging_it_is_made_up_for_by_reading_runs_by_their_ids(self, world: WatchWorld) -> None:
        world.emulator.add_fault(route="list", effect="lag", seconds=300)
        ids = world.buy(*["campaign"] * 30, takes=61)
        task = world.task(*ids, client_ref="campaign")
        start = world.clock.now()
        assert world.finish(task) == [Over()]
        assert task.ended_at is not None
        assert task.ended_at - start < timedelta(seconds=75)

    def test_lagging_it_does_not_end_the_wait_for_a_group_without_ids(self, world: WatchWorld) -> None:
        world.emulator.add_fault(route="list", effect="lag", seconds=40)
        world.buy(*["campaign"] * 30, takes=21)
        task = world.task(client_ref="campaign", count=30, since=world.clock.now())
        assert world.finish(task) == [Over()]
        assert task.waiter.group.counts == {"succeeded": 30}

    def test_showing_what_is_no_longer_true_it_is_found_out(self, world: WatchWorld) -> None:
        ids = world.buy(*["campaign"] * 30, takes=30)
        stale = world.clock.now() + timedelta(seconds=5)
        inner = world.emulator.handle

        def handle(request, now):  # type: ignore[no-untyped-def]
            return inner(request, stale if request.path == "/v1/runs" else now)

        world.emulator.handle = handle  # type: ignore[method-assign]
        task = world.task(*ids, client_ref="campaign")
        start = world.clock.now()
        assert world.finish(task) == [Over()]
        assert "not up to date" in world.log
        assert task.ended_at is not None
        assert task.ended_at - start < timedelta(minutes=3)

    def test_of_many_older_runs_is_read_no_further_than_to_find_those_that_are_waited_for(
        self, world: WatchWorld
    ) -> None:
        world.buy(*["bucket"] * 3000, takes=1, age=86_400)
        task = world.task(*world.buy(*["bucket"] * 50), client_ref="bucket")
        assert world.finish(task) == [Over()]
        assert max(world.rounds().values()) == 1

    def test_of_a_thousand_groups_is_not_tried_a_thousand_times_while_runflow_is_down(self, world: WatchWorld) -> None:
        world.emulator.add_fault(effect="drop_before")
        tasks = [world.task(client_ref=f"c-{number}", count=1, seconds=60) for number in range(300)]
        assert set(world.finish(*tasks)) == {Late()}
        assert max(world.rounds().values()) <= 30

    def test_of_a_server_that_ignores_the_filter_only_the_groups_own_rows_count(self, world: WatchWorld) -> None:
        world.buy("another", takes=9999)
        world.buy("campaign", takes=20)

        def unfiltered(request: httpx.Request) -> None:
            request.url = request.url.copy_remove_param("q")

        world.transport = Tampered(world.transport, unfiltered)
        task = world.task(client_ref="campaign", count=1, since=world.clock.now())
        assert world.finish(task) == [Over()]

    def test_refused_for_good_a_group_without_ids_gives_up(self, world: WatchWorld) -> None:
        for status in (403, 404, 422):
            world = WatchWorld()
            world.emulator.add_fault(route="list", effect="status", status=status)
            (ended,) = world.finish(world.task(client_ref="campaign", count=3))
            assert isinstance(ended, GiveUp)
            assert ended.error.status == status

    def test_without_ids_what_is_left_at_the_end_is_read_by_id_and_the_list_has_the_last_word(
        self, world: WatchWorld
    ) -> None:
        world.buy(*["campaign"] * 1100, takes=8)
        world.buy("campaign", takes=58)
        task = world.task(client_ref="campaign", count=1101, since=world.clock.now())
        assert world.finish(task) == [Over()]
        calls = world.rounds()
        assert 1 in calls.values()
        assert calls[max(calls)] == 4, "the GET that showed the end, and three pages in the same round"


class TestTrouble:
    def test_429_keeps_everybody_quiet_for_as_long_as_it_asks(self, world: WatchWorld) -> None:
        rule = {"effect": "status", "status": 429, "headers": True, "seconds": 50}
        ids = world.buy(*[None] * 40, takes=100)
        world.emulator.add_fault(route="any", times=1, **rule)
        tasks = [world.task(run_id) for run_id in ids]
        assert set(world.finish(*tasks)) == {Over()}
        first, second, *_ = sorted(world.rounds())
        assert world.rounds()[first] == 1
        assert second - first >= timedelta(seconds=50)
        assert all("cannot be read" in task.log and "can be read again" in task.log for task in tasks)

    def test_trouble_does_not_end_a_wait_before_its_deadline(self, world: WatchWorld) -> None:
        tasks = [world.task(run_id, seconds=600) for run_id in world.buy(*[None] * 3)]
        world.emulator.add_fault(effect="status", status=503)
        start = world.clock.now()
        assert world.finish(*tasks) == [Late()] * 3
        assert world.clock.now() - start >= timedelta(seconds=600)

    def test_a_run_that_cannot_be_read_keeps_nobody_else_from_being_read(self, world: WatchWorld) -> None:
        poison, *ids = world.buy(*[None] * 3, takes=30)

        def broken(request: httpx.Request) -> httpx.Response | None:
            return httpx.Response(500) if poison in request.url.path else None

        world.transport = Tampered(world.transport, broken)
        stuck, *others = [world.task(run_id, seconds=100) for run_id in (poison, *ids)]
        assert world.finish(stuck, *others) == [Late(), Over(), Over()]
        assert all(task.log.lines == [] for task in others)
        assert "500" in stuck.log

    def test_a_rotated_key_moves_everybody_to_a_new_watcher(self, world: WatchWorld) -> None:
        def rotated(request: httpx.Request) -> httpx.Response | None:
            if request.headers["Authorization"] == "Bearer rf_new":
                return None
            world.key = "rf_new"
            return httpx.Response(401, json={"code": "UNAUTHORIZED", "message": "no"})

        ids = world.buy(*[None] * 5)
        world.transport = Tampered(world.transport, rotated)
        tasks = [world.task(run_id) for run_id in ids]
        assert set(world.finish(*tasks)) == {Over()}
        assert len(world.made) == 2
        assert all(watcher.is_closed for watcher in world.made)

    def test_a_key_that_stays_refused_gives_up(self, world: WatchWorld) -> None:
        world.emulator.configure(api_keys=("rf_other",))
        tasks = [world.task(run_id) for run_id in ("r-1", "r-2")]
        ended = world.finish(*tasks)
        assert all(isinstance(each, GiveUp) and isinstance(each.error, AuthenticationError) for each in ended)
        assert all("Reading the connection again" in task.log for task in tasks)
        assert KEY not in str(world.log.lines) + str([task.log.lines for task in tasks])

    def test_a_run_that_nobody_knows_is_given_up_when_it_is_the_last(self, world: WatchWorld) -> None:
        (known,) = world.buy(None, takes=300)
        task = world.task(known, "r-unknown")
        start = world.clock.now()
        (ended,) = world.finish(task)
        assert isinstance(ended, GiveUp)
        assert ended.run_id == "r-unknown"
        assert world.clock.now() - start >= timedelta(seconds=300)

    def test_an_unknown_status_is_told_once_in_the_tasks_own_log(self, world: WatchWorld) -> None:
        (run_id,) = world.buy(None)
        answers = ["pondering", "pondering", "succeeded"]

        def odd(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"id": run_id, "status_code": answers.pop(0)})

        world.transport = Tampered(world.transport, odd)
        task = world.task(run_id)
        world.finish(task)
        assert task.log.lines == [f"Runflow run {run_id} has the unknown status 'pondering'; taken as not finished."]


class TestDeadline:
    def test_the_last_look_is_at_the_deadline_itself(self, world: WatchWorld) -> None:
        in_time, late = world.buy(None, takes=12.9) + world.buy(None, takes=13.1)
        tasks = [world.task(in_time, seconds=13), world.task(late, seconds=13)]
        assert world.finish(*tasks) == [Over(), Late()]

    def test_one_that_passed_while_nobody_looked_still_gets_a_look(self, world: WatchWorld) -> None:
        (run_id,) = world.buy(None)
        task = world.task(run_id, seconds=60)
        world.clock.advance(6000)
        assert world.finish(task) == [Over()]

    def test_each_has_its_own(self, world: WatchWorld) -> None:
        ids = world.buy(None, None, takes=9999)
        short, longer = world.task(ids[0], seconds=7), world.task(ids[1], seconds=31)
        start = world.clock.now()
        assert world.finish(short, longer) == [Late(), Late()]
        assert short.ended_at is not None
        assert longer.ended_at is not None
        assert short.ended_at - start < timedelta(seconds=8) < timedelta(seconds=31) <= longer.ended_at - start


class TestTheClock:
    def test_set_back_keeps_nobody_from_being_looked_after(self, world: WatchWorld) -> None:
        ids = world.buy(None, None, takes=22)
        tasks = [world.task(run_id, seconds=86_400) for run_id in ids]
        rounds = iter(range(1000))
        inner = world.transport

        def set_back(request: httpx.Request) -> None:
            if next(rounds) == 3:
                world.clock._now -= timedelta(hours=1)
                for run in world.emulator.state.runs.values():
                    run.timeline = replace(run.timeline, ended_at=world.clock.now() + timedelta(seconds=10))

        world.transport = Tampered(inner, set_back)
        start = world.clock.now()
        assert world.finish(*tasks) == [Over(), Over()]
        assert world.clock.now() < start


class TestNothingIsLeft:
    def test_of_a_thousand_that_came_and_were_cancelled(self, world: WatchWorld) -> None:
        ids = world.buy(*[None] * 1000, takes=1e6)
        gone: list[weakref.ref[object]] = []

        async def come_and_go() -> set[asyncio.Task[object]]:
            tasks = [world.task(run_id, client_ref="campaign", seconds=1e9) for run_id in ids]
            gone.extend(weakref.ref(task.waiter) for task in tasks)
            waiting = [asyncio.ensure_future(task.run()) for task in tasks]
            for _ in range(30):
                await asyncio.sleep(0)
            for each in waiting:
                each.cancel("user action")
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            assert len(world.watchers) == 0
            for _ in range(30):
                await asyncio.sleep(0)
            return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

        assert asyncio.run(come_and_go()) == set()
        (watcher,) = world.made
        assert watcher.is_closed
        roster = watcher._roster
        assert (roster.waiters, roster.by_run, roster.by_ref, watcher._futures) == ({}, {}, {}, {})
        assert watcher._reader._http.is_closed  # type: ignore[attr-defined]
        gc.collect()
        assert [ref for ref in gone if ref() is not None] == []

    def test_the_others_go_on_when_one_is_cancelled(self, world: WatchWorld) -> None:
        ids = world.buy(None, None, takes=30)

        async def one_goes() -> object:
            tasks = [world.task(run_id) for run_id in ids]
            goes, stays = [asyncio.ensure_future(task.run()) for task in tasks]
            await asyncio.sleep(0)
            goes.cancel()
            return await stays

        assert asyncio.run(one_goes()) == Over()
        assert len(world.made) == 1

    def test_after_the_last_one_the_next_gets_a_new_watcher(self, world: WatchWorld) -> None:
        for run_id in world.buy(None, None):
            world.finish(world.task(run_id))
        assert len(world.made) == 2
        assert len(world.watchers) == 0


class TestOneEach:
    def test_event_loop(self, world: WatchWorld) -> None:
        ids = world.buy(None, None)
        barrier = threading.Barrier(2)

        def triggerer(run_id: str) -> None:
            async def both_wait() -> None:
                barrier.wait(10)
                await world.task(run_id).run()

            asyncio.run(asyncio.wait_for(both_wait(), 20))

        threads = [threading.Thread(target=triggerer, args=(run_id,)) for run_id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(world.made) == 2
        assert len(world.watchers) == 0

    def test_account(self, world: WatchWorld) -> None:
        other = WatchWorld(key="rf_live_other", watchers=world.watchers, clock=world.clock, emulator=world.emulator)
        mine, theirs = world.buy(None, None)

        async def both() -> None:
            await asyncio.gather(world.task(mine).run(), other.task(theirs).run())

        asyncio.run(asyncio.wait_for(both(), 20))
        assert len(world.made) == len(other.made) == 1

    def test_triggers_of_one_account_share_it(self, world: WatchWorld) -> None:
        world.finish(*[world.task(run_id) for run_id in world.buy(*[None] * 20)])
        assert len(world.made) == 1


class TestABugInIt:
    def test_is_told_to_everybody_and_everybody_goes_on(
        self, world: WatchWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Round.run
        rounds = iter(range(100))

        async def breaks_once(self: Round, due: object) -> None:
            if next(rounds) == 1:
                raise KeyError("a bug")
            await real(self, due)  # type: ignore[arg-type]

        monkeypatch.setattr(Round, "run", breaks_once)
        tasks = [world.task(run_id) for run_id in world.buy(*[None] * 5)]
        assert set(world.finish(*tasks)) == {Over()}
        assert all("failed unexpectedly (KeyError: 'a bug')" in task.log for task in tasks)
        assert "KeyError" in world.log
        assert world.metrics.counts["runflow.watcher.restarts"] == 1

    def test_that_stays_ends_no_wait_before_its_deadline(
        self, world: WatchWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def always_breaks(self: Round, due: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Round, "run", always_breaks)
        start = world.clock.now()
        assert world.finish(world.task("r-1", seconds=60)) == [Late()]
        assert world.clock.now() - start >= timedelta(seconds=60)

    def test_somebody_who_stops_its_task_hangs_nobody(self, world: WatchWorld) -> None:
        (run_id,) = world.buy(None)

        async def stopped() -> object:
            waiting = asyncio.ensure_future(world.task(run_id).run())
            await asyncio.sleep(0)
            task = world.made[0]._task
            assert task is not None
            task.cancel()
            return await waiting

        assert asyncio.run(asyncio.wait_for(stopped(), 20)) == Over()

    def test_the_end_of_the_process_reaches_everybody(self, world: WatchWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        class Killed(BaseException):
            pass

        async def dies(self: Round, due: object) -> None:
            raise Killed

        monkeypatch.setattr(Round, "run", dies)
        with pytest.raises(Killed):
            world.finish(world.task("r-1"))


def test_each_hears_of_its_own_trouble_in_its_own_context(world: WatchWorld) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    heard: list[tuple[str, str]] = []
    ids = dict(zip(("ada", "bob"), world.buy(None, None), strict=True))
    world.emulator.add_fault(effect="status", status=503, times=4)
    told: list[str] = []

    class Log(Lines):
        def __call__(self, msg: object, /, *args: object) -> None:
            told.append(who.get())

        info = warning = error = __call__  # type: ignore[assignment]

    world.log = Log()

    async def waits(name: str) -> None:
        who.set(name)

        def hear(text: str) -> None:
            heard.append((who.get(), text))

        task: Task = world.task(ids[name])
        task.waiter.warn = module.in_this_context(hear)
        await task.run()

    async def both() -> None:
        await asyncio.gather(*map(waits, ids))

    asyncio.run(asyncio.wait_for(both(), 20))
    assert heard
    assert all(ids[name] in text for name, text in heard)
    assert set(told) <= {"nobody"}


def test_what_it_does_is_counted(world: WatchWorld) -> None:
    world.finish(*[world.task(run_id) for run_id in world.buy(*[None] * 3)])
    counts = world.metrics.counts
    assert counts["runflow.watcher.polls"] == world.calls
    assert counts["runflow.watcher.rounds"] == counts["runflow.watcher.round"] == len(world.rounds())
    assert "runflow.watcher.waiting" in world.metrics.gauges
