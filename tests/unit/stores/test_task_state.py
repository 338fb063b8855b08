# SPDX-License-Identifier: Apache-2.0
"""The journal on Airflow 3.3's task state store."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError
from airflow_provider_runflow.runs.journal import MAX_RECORD_BYTES, NoJournal, Record
from airflow_provider_runflow.stores.task_state import TaskStateJournal, open_journal
from tests.harness import HAS_TASK_STATE_STORE, Airflow, in_dag

needs_the_store = pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the task state store came with Airflow 3.3")

RECORD = Record(
    state="submitted",
    account="https://api.runflow.io#org-1",
    client_ref="af.campaign.hero.0123",
    item_key="summer",
    fingerprint="f" * 64,
    ordinal=1,
    go=2,
    model="openai/gpt-image-2",
    input={"prompt": "Großes Café ☕", "quality": "low"},
    variation="b",
    at=datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc),
    run_id="019e1f00-0000-7000-8000-000000000001",
    submitted_at=datetime(2026, 3, 2, 11, 59, tzinfo=timezone.utc),
    result={"images": [{"uri": "s3://brand-assets/hero.png"}]},
)

# Text that cannot be compressed, and repeatable.
DICE = random.Random(0)


class Store:
    """Airflow's accessor: JSON values, `None` for what is not there."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[Any] = []
        self.broken: Exception | None = None

    def get(self, key: str, default: Any = None) -> Any:
        self._check()
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._check()
        self.values[key] = json.dumps(value)
        self.retentions.append(retention)

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def journal(store: Store) -> TaskStateJournal:
    return TaskStateJournal(store)


@needs_the_store
class TestRemembering:
    def test_what_was_written_is_read_back_whole(self, journal: TaskStateJournal) -> None:
        journal.write("summer", RECORD)
        assert journal.read("summer")[:1] == [RECORD]

    @pytest.mark.parametrize("state", ["intent", "submitted", "void", "rejected", "landed"])
    def test_every_state_and_every_empty_field_survives(self, journal: TaskStateJournal, state: Any) -> None:
        bare = replace(RECORD, state=state, run_id=None, submitted_at=None, result=None, variation=None)
        journal.write("summer", bare)
        assert journal.read("summer") == [bare]

    def test_of_a_slot_that_was_never_recorded_there_is_nothing(self, journal: TaskStateJournal) -> None:
        journal.write("summer", RECORD)
        assert journal.read("winter") == []

    def test_a_second_write_replaces_the_first(self, journal: TaskStateJournal, store: Store) -> None:
        journal.write("summer", replace(RECORD, run_id="an earlier one"))
        journal.write("summer", RECORD)
        assert journal.read("summer")[:1] == [RECORD]
        assert len(store.values) == 1

    @pytest.mark.parametrize("state", ["intent", "void", "rejected"])
    def test_what_another_worker_sends_or_fails_to_send_does_not_hide_the_run(
        self, journal: TaskStateJournal, state: Any
    ) -> None:
        journal.write("summer", RECORD)
        later = RECORD.at + timedelta(seconds=60)
        journal.write("summer", replace(RECORD, state=state, run_id=None, submitted_at=None, at=later))
        assert journal.read("summer")[:1] == [RECORD]

    @pytest.mark.parametrize("change", [{"ordinal": 9}, {"fingerprint": "another"}, {"client_ref": "another"}])
    def test_the_intent_of_a_later_submission_counts(self, journal: TaskStateJournal, change: Any) -> None:
        journal.write("summer", RECORD)
        intent = replace(RECORD, state="intent", run_id=None, at=RECORD.at + timedelta(seconds=60), **change)
        journal.write("summer", intent)
        assert journal.read("summer")[:1] == [intent]

    def test_slots_do_not_disturb_each_other(self, journal: TaskStateJournal) -> None:
        for key in ("", "0", "00", "summer", "Summer", "summer ", "größe", "a" * 5000):
            journal.write(key, replace(RECORD, item_key=key, run_id=f"run of {key!r}"))
        for key in ("", "0", "00", "summer", "Summer", "summer ", "größe", "a" * 5000):
            (record,) = journal.read(key)
            assert record.run_id == f"run of {key!r}"

    def test_nothing_on_record_means_that_nothing_was_recorded(self, journal: TaskStateJournal) -> None:
        assert journal.remembers

    def test_a_record_is_kept_for_good_whatever_retention_airflow_is_set_to(
        self, journal: TaskStateJournal, store: Store
    ) -> None:
        from airflow.sdk import NEVER_EXPIRE

        journal.write("summer", RECORD)
        assert store.retentions == [NEVER_EXPIRE]


@needs_the_store
class TestTheKeys:
    # An upgrade that changed these would forget every run in flight, and pay for each again.
    @pytest.mark.parametrize(
        ("slot", "key"),
        [
            ("", "runflow.run"),
            ("0", "runflow.run.5feceb66ffc86f38"),
            ("summer", "runflow.run.e83664255c6963e9"),
            ("größe", "runflow.run.d353a2671b67afff"),
        ],
    )
    def test_they_never_change(self, journal: TaskStateJournal, store: Store, slot: str, key: str) -> None:
        journal.write(slot, RECORD)
        assert list(store.values) == [key]

    def test_a_value_of_the_first_version_can_be_read_for_ever(self, journal: TaskStateJournal, store: Store) -> None:
        store.values["runflow.run.e83664255c6963e9"] = json.dumps(
            {
                "schema_version": 1,
                "state": "submitted",
                "account": "https://api.runflow.io#org-1",
                "client_ref": "af.campaign.hero.0123",
                "item_key": "summer",
                "fingerprint": "f" * 64,
                "ordinal": 1,
                "go": 2,
                "model": "openai/gpt-image-2",
                "input": {"prompt": "Großes Café ☕", "quality": "low"},
                "variation": "b",
                "at": "2026-03-02T12:00:00+00:00",
                "run_id": "019e1f00-0000-7000-8000-000000000001",
                "submitted_at": "2026-03-02T11:59:00+00:00",
                "result": {"images": [{"uri": "s3://brand-assets/hero.png"}]},
                "fingerprint_version": 1,
            }
        )
        assert journal.read("summer")[:1] == [RECORD]


@needs_the_store
class TestTrouble:
    @pytest.mark.parametrize("broken", [OSError("no route"), RuntimeError("500"), KeyError("x"), ValueError("no JSON")])
    def test_a_store_that_does_not_answer_is_a_journal_error_and_not_an_empty_journal(
        self, journal: TaskStateJournal, store: Store, broken: Exception
    ) -> None:
        store.broken = broken
        with pytest.raises(JournalError) as caught:
            journal.read("summer")
        assert str(caught.value) == (
            f"Airflow's task state store could not be read ({type(broken).__name__}: {broken}). Nothing was submitted."
        )
        assert caught.value.__cause__ is broken

    @pytest.mark.parametrize("broken", [OSError("no route"), RuntimeError("413"), TypeError("not JSON")])
    def test_a_store_that_refuses_a_write_is_a_journal_error(
        self, journal: TaskStateJournal, store: Store, broken: Exception
    ) -> None:
        store.broken = broken
        with pytest.raises(JournalError) as caught:
            journal.write("summer", RECORD)
        assert str(caught.value) == (f"Airflow's task state store refused to write ({type(broken).__name__}: {broken})")

    def test_a_page_of_words_from_the_server_is_cut(self, journal: TaskStateJournal, store: Store) -> None:
        store.broken = RuntimeError("x" * 100_000)
        with pytest.raises(JournalError) as caught:
            journal.read("summer")
        assert len(str(caught.value)) < 500

    def test_a_task_time_out_during_a_write_is_not_turned_into_a_journal_error(
        self, journal: TaskStateJournal, store: Store
    ) -> None:
        class AirflowTaskTimeout(BaseException):
            """Airflow's is no Exception either."""

        store.broken = AirflowTaskTimeout()  # type: ignore[assignment]
        with pytest.raises(AirflowTaskTimeout):
            journal.write("summer", RECORD)

    @pytest.mark.parametrize(
        "damaged",
        [
            "text",
            7,
            [],
            {},
            {"schema_version": 1},
            {"schema_version": None},
            {**RECORD.to_json(), "at": "yesterday"},
            {**RECORD.to_json(), "at": 5},
            {**RECORD.to_json(), "input_compressed": True},
            {**RECORD.to_json(), "input_compressed": True, "input": {"zlib": "AAAA"}},
            {name: value for name, value in RECORD.to_json().items() if name != "state"},
        ],
        ids=lambda damaged: repr(damaged)[:40],
    )
    def test_a_damaged_record_stops_the_task_instead_of_buying_again(
        self, journal: TaskStateJournal, store: Store, damaged: Any
    ) -> None:
        journal.write("summer", RECORD)
        (key,) = store.values
        store.values[key] = json.dumps(damaged)
        with pytest.raises(JournalError, match="Nothing was submitted"):
            journal.read("summer")

    def test_a_record_of_a_newer_version_says_what_to_upgrade(self, journal: TaskStateJournal, store: Store) -> None:
        journal.write("summer", RECORD)
        (key,) = store.values
        store.values[key] = json.dumps({**RECORD.to_json(), "schema_version": 2})
        with pytest.raises(JournalError, match=r"written by a newer airflow-provider-runflow.*Upgrade the package"):
            journal.read("summer")

    def test_a_request_too_long_for_a_record_is_refused_before_anything_is_written(
        self, journal: TaskStateJournal, store: Store
    ) -> None:
        noise = "".join(chr(DICE.randrange(33, 1_000)) for _ in range(60_000))
        with pytest.raises(InvalidRequestError, match=r"Shorten the prompt or the metadata\. Nothing was"):
            journal.write("summer", replace(RECORD, state="intent", input={"prompt": noise}))
        assert store.values == {}

    def test_the_longest_ordinary_prompt_fits(self, journal: TaskStateJournal, store: Store) -> None:
        long = replace(RECORD, input={"prompt": "Ein großes Café ☕ am Hafen. " * 1150})
        journal.write("summer", long)
        assert journal.read("summer") == [long]
        assert len(next(iter(store.values.values()))) < MAX_RECORD_BYTES


class TestOpening:
    def test_without_a_store_there_is_no_journal(self) -> None:
        journal = open_journal({"ti": None})
        assert isinstance(journal, NoJournal)
        assert not journal.remembers
        journal.write("summer", RECORD)
        assert journal.read("summer") == []

    def test_without_a_store_the_same_requests_are_too_long(self) -> None:
        noise = "".join(chr(DICE.randrange(33, 1_000)) for _ in range(60_000))
        with pytest.raises(InvalidRequestError):
            NoJournal().write("summer", replace(RECORD, state="intent", input={"prompt": noise}))

    @needs_the_store
    def test_with_one_it_is_used(self, store: Store) -> None:
        journal = open_journal({"task_state_store": store})
        journal.write("summer", RECORD)
        assert list(store.values)


class Journalling(BaseOperator):
    """A task that does something with its journal."""

    def __init__(self, act: Callable[[Any], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act

    def execute(self, context: Any) -> None:
        self.act(open_journal(context))


@needs_the_store
class TestWithAirflowsOwnAccessor:
    def task(self, act: Callable[[Any], None]) -> Journalling:
        with in_dag():
            return Journalling(act=act, task_id="hero", retries=2)

    def test_a_retry_reads_what_the_try_before_it_wrote(self, airflow: Airflow) -> None:
        seen: list[Any] = []

        def act(journal: Any) -> None:
            seen.append(next(iter(journal.read("summer")), None))
            journal.write("summer", RECORD)
            raise RuntimeError("the worker died")

        outcome = airflow.run(self.task(act))
        assert outcome.state == "up_for_retry"
        airflow.retry(outcome)
        assert seen == [None, RECORD]

    def test_a_server_that_is_down_is_a_journal_error(self, airflow: Airflow) -> None:
        airflow.refuse("GetTaskStateStore")
        outcome = airflow.run(self.task(lambda journal: journal.read("summer")))
        assert isinstance(outcome.error, JournalError)

    def test_a_stale_worker_reads_nothing_but_may_not_write_either(self, airflow: Airflow) -> None:
        airflow.refuse("SetTaskStateStore")
        outcome = airflow.run(self.task(lambda journal: journal.write("summer", RECORD)))
        assert isinstance(outcome.error, JournalError)
        assert "refused to write" in str(outcome.error)
