# SPDX-License-Identifier: Apache-2.0
"""Records survive JSON, versions and size limits."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError
from airflow_provider_runflow.runs.identity import Request
from airflow_provider_runflow.runs.journal import MAX_RECORD_BYTES, NoJournal, Record
from tests.unit.runs.engine_world import NOON, REQUEST, record

# As version 0.1.0 wrote it. The next versions must go on reading it: a record that is lost may be a bill.
GOLDEN = {
    "schema_version": 1,
    "state": "submitted",
    "account": "https://api.runflow.io#",
    "client_ref": "af.x",
    "item_key": "mug",
    "fingerprint": "f" * 64,
    "ordinal": 1,
    "go": 2,
    "model": "openai/gpt-image-2",
    "input": {"prompt": "a cat"},
    "variation": None,
    "at": "2026-03-02T12:00:00+00:00",
    "run_id": "run-1",
    "submitted_at": "2026-03-02T12:00:01+00:00",
    "result": None,
    "unsure": False,
    "since": None,
    "clears": 0,
    "assets": None,
    "handed_over": False,
    "metadata": None,
    "fingerprint_version": 1,
}


def through_json(kept: Record) -> Record:
    return Record.from_json(json.loads(json.dumps(kept.to_json())))


@pytest.mark.parametrize(
    "kept",
    [
        record("intent"),
        record("submitted", run_id="run-1", submitted_at=NOON + timedelta(seconds=1)),
        record("landed", run_id="run-1", result={"images": [{"index": 0}], "cost_usd": "0.009"}),
        record("rejected", Request("m/n", {"prompt": "Grüße ☕"}, "2"), ordinal=3, go=4),
    ],
    ids=lambda r: r.state,
)
def test_a_record_comes_back_from_json_as_it_was(kept: Record) -> None:
    assert through_json(kept) == kept


def test_the_record_of_an_older_version_is_read() -> None:
    kept = Record.from_json(GOLDEN)
    assert (kept.run_id, kept.ordinal, kept.submitted_at) == ("run-1", 1, NOON + timedelta(seconds=1))
    assert kept.to_json() == {**GOLDEN, "labels": None, "alt_text": None}
    newer = ("unsure", "since", "clears", "assets", "handed_over", "metadata")
    older = {name: value for name, value in GOLDEN.items() if name not in newer}
    assert Record.from_json(older) == kept


def test_a_long_prompt_is_compressed_and_comes_back_whole() -> None:
    kept = record("intent", Request("m/n", {"prompt": "猫と珈琲、" * 6400}))
    assert len(json.dumps(kept.to_json())) < MAX_RECORD_BYTES
    assert through_json(kept) == kept


def test_a_request_that_cannot_be_kept_is_an_error_that_names_both_sizes() -> None:
    noise = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(40_000))
    with pytest.raises(InvalidRequestError, match=r"takes [\d,]+ bytes on record; at most 40,000"):
        record("intent", Request("m/n", {"prompt": noise})).to_json()


def test_what_fits_as_an_intent_still_fits_when_its_result_is_recorded() -> None:
    kept = record(
        "intent", Request("m/n", {"prompt": "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(11_000))})
    )
    kept.to_json()
    images = [{"uri": "s3://" + "k" * 1000, "sha256": "f" * 64, "index": i, "size_bytes": 1} for i in range(10)]
    kept.moved("landed", NOON, run_id="run-1", result={"images": images}).to_json()


def test_a_later_record_that_does_not_fit_is_trouble_of_the_journal_not_of_the_request() -> None:
    with pytest.raises(JournalError, match="at most 60,000"):
        record("landed", result={"images": ["x" * 70_000]}).to_json()


def test_a_record_of_a_newer_version_stops_before_anything_is_sent() -> None:
    with pytest.raises(JournalError, match=r"newer airflow-provider-runflow.*Nothing was submitted"):
        Record.from_json({**GOLDEN, "schema_version": 2})


@pytest.mark.parametrize(
    "damaged",
    [None, 7, "text", [], {}, {"schema_version": 1}, {**GOLDEN, "at": "noon"}],
)
def test_a_damaged_record_stops_before_anything_is_sent(damaged: Any) -> None:
    with pytest.raises(JournalError, match=r"cannot be read.*Nothing was submitted"):
        Record.from_json(damaged)


def test_what_a_newer_package_adds_does_not_stop_an_older_one_during_a_redeploy() -> None:
    assert Record.from_json({**GOLDEN, "extra": 1}) == Record.from_json(GOLDEN)


def test_no_key_and_no_presigned_url_has_a_place_in_a_record() -> None:
    fields = set(record("intent").to_json())
    assert not {name for name in fields if ("key" in name and name != "item_key") or "url" in name or "secret" in name}


def test_without_a_store_nothing_is_remembered_but_the_size_rule_holds() -> None:
    journal = NoJournal()
    journal.write("", record("intent"))
    assert journal.read("") == []
    assert not journal.remembers
    noise = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(40_000))
    with pytest.raises(InvalidRequestError):
        journal.write("", record("intent", Request(REQUEST.model, {"prompt": noise})))
