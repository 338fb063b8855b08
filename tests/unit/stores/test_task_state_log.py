# SPDX-License-Identifier: Apache-2.0
"""The journal of many requests on Airflow 3.3's task state store: in groups, in segments, by several workers."""

from __future__ import annotations

import json
import string
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError
from airflow_provider_runflow.runs.journal import NoJournal, Record
from airflow_provider_runflow.stores.task_state_log import DIRECTORY, MAX_SEGMENT_BYTES, TaskStateLog, open_log
from tests.harness import HAS_TASK_STATE_STORE

pytestmark = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the task state store came with Airflow 3.3")

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)


class Store:
    """
    Airflow's accessor: JSON values, `None` for what is not there.

    :param seconds: that each write takes.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.values: dict[str, str] = {}
        self.seconds = seconds
        self.writes: list[str] = []
        self.retentions: set[Any] = set()
        self.before_write: Callable[[str], None] = lambda key: None

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        time.sleep(self.seconds)
        self.before_write(key)
        self.values[key] = json.dumps(value)
        self.writes.append(key)
        self.retentions.add(retention)

    @property
    def segments(self) -> list[str]:
        return [key for key in self.values if key != DIRECTORY]


def record(number: int = 0, state: Any = "intent", **changes: Any) -> Record:
    given: dict[str, Any] = {
        "account": "https://api.runflow.io#org-1",
        "client_ref": "af.campaign.hero.0123",
        "item_key": f"item{number}",
        "fingerprint": f"{number:064x}",
        "ordinal": 0,
        "go": 0,
        "model": "openai/gpt-image-2",
        "input": {"prompt": f"a picture of product {number} ☕", "quality": "low"},
        "variation": None,
        "at": NOON,
        "run_id": None if state == "intent" else str(UUID(int=number)),
        "labels": {"product": str(number)},
        "alt_text": "A cup",
    }
    return Record(state=state, **{**given, **changes})


def random_text(length: int, seed: int) -> str:
    """Text that cannot be compressed."""
    return "".join(Random(seed).choices(string.ascii_letters + string.digits + "+/", k=length))


class TestRemembering:
    def test_what_was_written_is_read_back_whole_by_the_next_worker(self) -> None:
        store = Store()
        first = TaskStateLog(store)
        for number in range(20):
            first.write(f"item{number}", record(number))
            first.write(f"item{number}", record(number, "submitted", submitted_at=NOON))
        later = TaskStateLog(store)
        assert later.slots() == first.slots() == [f"item{number}" for number in range(20)]
        assert later.read("item7") == first.read("item7") == [record(7, "submitted", submitted_at=NOON)]
        assert later.read("item99") == []
        assert later.remembers

    def test_it_is_kept_as_long_as_the_dag_run(self) -> None:
        from airflow.sdk import NEVER_EXPIRE

        store = Store()
        TaskStateLog(store).write("a", record())
        assert store.retentions == {NEVER_EXPIRE}

    def test_an_intent_never_hides_the_run_of_another_request(self) -> None:
        log = TaskStateLog(Store())
        bought = record(1, "submitted", at=NOON)
        log.write("a", bought)
        log.write("a", record(2, "intent", at=NOON + timedelta(hours=1)))
        assert log.read("a") == [record(2, "intent", at=NOON + timedelta(hours=1)), bought]

    def test_without_a_store_there_is_no_journal(self) -> None:
        assert isinstance(open_log({"task_state_store": None}), NoJournal)
        assert isinstance(open_log({"task_state_store": Store()}), TaskStateLog)

    def test_10000_items_are_readable_and_no_value_is_too_large(self) -> None:
        store = Store(seconds=0.002)
        log = TaskStateLog(store)
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda number: log.write(f"item{number}", record(number, "submitted")), range(10_000)))
        assert max(len(value) for value in store.values.values()) <= MAX_SEGMENT_BYTES + 100
        later = TaskStateLog(store)
        later.load()
        assert len(later.slots()) == 10_000
        assert later.read("item9999") == [record(9999, "submitted")]


class TestWritingInGroups:
    def test_whoever_writes_while_a_write_is_under_way_joins_the_next(self) -> None:
        store = Store(seconds=0.02)
        log = TaskStateLog(store)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: log.write(f"item{number}", record(number)), range(64)))
        assert len(store.writes) <= 16
        assert len(TaskStateLog(store).slots()) == 64

    def test_nobody_returns_before_his_record_is_durable(self) -> None:
        store = Store(seconds=0.005)
        log = TaskStateLog(store)

        def write(number: int) -> bool:
            log.write(f"item{number}", record(number))
            return bool(TaskStateLog(store).read(f"item{number}"))

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(write, range(64)))

    def test_a_write_that_fails_fails_for_all_of_its_group_and_for_nobody_else(self) -> None:
        store = Store()
        log = TaskStateLog(store)
        log.write("before", record(100))
        entered, go_on = threading.Event(), threading.Event()

        def hold_the_first_and_refuse_the_second(key: str) -> None:
            if not entered.is_set():
                entered.set()
                assert go_on.wait(10)
                store.before_write = refuse

        def refuse(key: str) -> None:
            store.before_write = lambda key: None
            raise ConnectionError("the API server is restarting")

        store.before_write = hold_the_first_and_refuse_the_second
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(log.write, "first", record(0))
            assert entered.wait(10)
            group = [pool.submit(log.write, f"item{number}", record(number)) for number in range(1, 6)]
            while len(log._queue) < 5:
                time.sleep(0.001)
            go_on.set()
            errors = [each.exception() for each in group]
            assert first.exception() is None
        assert {type(error) for error in errors} == {JournalError}
        assert "refused to write (ConnectionError: the API server is restarting)" in str(errors[0])
        log.write("after", record(101))
        for reader in (log, TaskStateLog(store)):
            assert sorted(reader.slots()) == ["after", "before", "first"]

    def test_a_write_that_is_interrupted_is_durable_for_nobody(self) -> None:
        store = Store()
        log = TaskStateLog(store)
        entered = threading.Event()

        def interrupt(key: str) -> None:
            entered.set()
            while len(log._queue) < 3:
                time.sleep(0.001)
            store.before_write = again
            raise KeyboardInterrupt

        def again(key: str) -> None:
            store.before_write = lambda key: None
            raise KeyboardInterrupt

        store.before_write = interrupt
        with ThreadPoolExecutor(4) as pool:
            writes = [pool.submit(log.write, "first", record(0))]
            assert entered.wait(10)
            writes += [pool.submit(log.write, f"item{number}", record(number)) for number in range(1, 4)]
            errors = [each.exception() for each in writes]
        assert all(errors)
        assert TaskStateLog(store).slots() == log.slots() == []

    def test_one_that_is_too_long_is_refused_before_it_joins_any(self) -> None:
        store = Store()
        with pytest.raises(InvalidRequestError, match="at most 40,000 can be kept"):
            TaskStateLog(store).write("a", record(input={"prompt": random_text(60_000, 1)}))
        assert not store.writes

    def test_a_group_that_is_too_long_for_one_segment_is_split(self) -> None:
        store = Store(seconds=0.05)
        log = TaskStateLog(store)
        long = [record(number, input={"prompt": random_text(12_000, number)}) for number in range(12)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda each: log.write(each.item_key, each), long))
        assert max(len(value) for value in store.values.values()) <= MAX_SEGMENT_BYTES + 100
        later = TaskStateLog(store)
        assert [later.read(each.item_key) for each in long] == [[each] for each in long]


class TestSegments:
    def test_a_full_one_is_followed_by_the_next(self) -> None:
        store = Store()
        log = TaskStateLog(store, writer="w")
        for number in range(10):
            log.write(f"item{number}", record(number, input={"prompt": random_text(12_000, number)}))
        assert store.segments == ["runflow.log.w.0", "runflow.log.w.1", "runflow.log.w.2"]
        assert len(TaskStateLog(store).slots()) == 10

    def test_a_write_that_fails_between_two_leaves_no_gap(self) -> None:
        store = Store()
        log = TaskStateLog(store, writer="w")
        for number in range(4):
            log.write(f"item{number}", record(number, input={"prompt": random_text(12_000, number)}))

        def refuse(key: str) -> None:
            raise TimeoutError("no answer")

        store.before_write = refuse
        for number in (4, 5):
            with pytest.raises(JournalError, match="TimeoutError: no answer"):
                log.write(f"item{number}", record(number, input={"prompt": random_text(12_000, number)}))
        store.before_write = lambda key: None
        log.write("item6", record(6))
        assert sorted(TaskStateLog(store).slots()) == ["item0", "item1", "item2", "item3", "item6"]

    def test_what_took_effect_although_it_failed_is_no_harm(self) -> None:
        store = Store()
        log = TaskStateLog(store, writer="w")
        set_value = store.set

        def lost_reply(key: str, value: Any, *, retention: Any = None) -> None:
            set_value(key, value, retention=retention)
            raise TimeoutError("the answer was lost")

        store.set = lost_reply  # type: ignore[method-assign]
        with pytest.raises(JournalError):
            log.write("a", record(1))
        store.set = set_value  # type: ignore[method-assign]
        log.write("b", record(2))
        assert "b" in TaskStateLog(store).slots()


class TestSeveralWorkers:
    def test_never_overwrite_each_other(self) -> None:
        store = Store()
        logs = [TaskStateLog(store) for _ in range(3)]
        for number in range(30):
            logs[number % 3].write(f"item{number}", record(number))
        assert len(TaskStateLog(store).slots()) == 30
        assert len(json.loads(store.values[DIRECTORY])["writers"]) == 3

    def test_see_what_the_others_have_recorded_since_when_they_read_again(self) -> None:
        store = Store()
        one, other = TaskStateLog(store), TaskStateLog(store)
        one.write("a", record(1))
        assert other.slots() == ["a"]
        one.write("b", record(2))
        other.load()
        assert other.read("b") == []
        other.load(again=True)
        assert other.read("b") == one.read("b") != []

    def test_one_whose_name_another_took_out_of_the_directory_puts_it_back(self) -> None:
        store = Store()
        log = TaskStateLog(store, writer="first")
        log.write("a", record(1))
        store.values[DIRECTORY] = json.dumps({"schema_version": 1, "writers": ["second"]})
        log.write("b", record(2))
        assert sorted(TaskStateLog(store).slots()) == ["a", "b"]

    def test_of_two_records_of_one_request_the_later_submission_counts_whoever_is_read_last(self) -> None:
        for order in ("ab", "ba"):
            store = Store()
            for writer in order:
                TaskStateLog(store, writer=writer)._register()
            TaskStateLog(store, writer="a").write("x", record(1, "submitted", ordinal=1, run_id="new"))
            TaskStateLog(store, writer="b").write(
                "x", record(1, "submitted", ordinal=0, run_id="old", at=NOON + timedelta(minutes=5))
            )
            assert [each.run_id for each in TaskStateLog(store).read("x")] == ["new"]


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "damaged",
        [
            {"schema_version": 1},
            {"schema_version": 1, "records": 7},
            {"schema_version": 1, "records": "no base64!"},
            {"schema_version": 1, "records": "AAAA"},
            {"schema_version": 1, "records": "eJyLjlWyUjBUVDBSUFUwjAUAFcEC0Q=="},
            {"schema_version": 2, "records": ""},
            {"schema_version": "1"},
            {},
            [],
            "text",
        ],
    )
    def test_is_an_error_and_never_taken_for_nothing(self, damaged: Any) -> None:
        store = Store()
        TaskStateLog(store, writer="w").write("a", record())
        store.values["runflow.log.w.0"] = json.dumps(damaged)
        with pytest.raises(JournalError, match="Nothing was submitted"):
            TaskStateLog(store).load()

    @pytest.mark.parametrize("damaged", [{"schema_version": 2}, [], "text"])
    def test_neither_is_a_directory(self, damaged: Any) -> None:
        store = Store()
        store.values[DIRECTORY] = json.dumps(damaged)
        for use in (TaskStateLog.load, TaskStateLog.slots, lambda log: log.write("a", record())):
            with pytest.raises(JournalError):
                use(TaskStateLog(store))

    def test_a_store_that_does_not_answer_says_so(self) -> None:
        store = Store()

        def down(key: str) -> Any:
            raise ConnectionError("refused")

        store.get = down  # type: ignore[method-assign,assignment]
        with pytest.raises(JournalError, match=r"could not be read \(ConnectionError: refused\)\. Nothing was"):
            TaskStateLog(store).read("a")

    def test_records_of_a_newer_package_of_the_same_schema_are_read(self) -> None:
        store = Store()
        TaskStateLog(store, writer="w").write("a", replace(record(), alt_text=None))
        assert TaskStateLog(store).read("a")[0].alt_text is None
