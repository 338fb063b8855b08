# SPDX-License-Identifier: Apache-2.0
"""runs/reader.py: how a batch's runs stand, read by a worker with few calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.emulator import VirtualClock
from airflow_provider_runflow.exceptions import AuthenticationError, NotFoundError, PermissionDeniedError
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.reader import READS_A_ROUND, GroupReader

REF = "af.campaign"


class Runs:
    """Runflow: a status by run id; `listed` of them are on the list."""

    def __init__(self, statuses: dict[str, str], listed: Sequence[str] = ()) -> None:
        self.statuses = statuses
        self.listed = listed
        self.refusal: Exception | None = None
        self.lists = 0
        self.reads: list[str] = []

    def find_runs(self, client_ref: str, fields: Sequence[str]) -> Iterator[Run]:
        self.lists += 1
        if self.refusal is not None:
            raise self.refusal
        yield from (Run(id=each, status_code=self.statuses[each]) for each in self.listed)

    def get_run(self, run_id: str) -> Run:
        self.reads.append(run_id)
        if run_id not in self.statuses:
            raise NotFoundError("no such run", status=404)
        return Run(id=run_id, status_code=self.statuses[run_id])


def reader(runs: Runs, clock: VirtualClock | None = None) -> GroupReader:
    return GroupReader(runs.find_runs, runs.get_run, clock or VirtualClock())


def test_one_list_serves_all_that_are_on_it() -> None:
    runs = Runs({"a": "succeeded", "b": "running"}, listed=["a", "b"])
    group = Group(run_ids=["a", "b"], client_ref=REF)
    reader(runs).read(group)
    assert (group.pending, runs.reads) == ({"b"}, [])


def test_those_that_no_list_shows_are_read_one_by_one() -> None:
    runs = Runs({"a": "succeeded", "b": "succeeded"}, listed=["a"])
    group = Group(run_ids=["a", "b"], client_ref=REF)
    reader(runs).read(group)
    assert group.over
    assert runs.reads == ["b"]


@pytest.mark.parametrize("refusal", [PermissionDeniedError("no", status=403), NotFoundError("no", status=404)])
def test_where_lists_are_refused_all_are_read_in_turn_and_the_list_is_not_asked_for_again(refusal: Exception) -> None:
    ids = [f"run{number:03d}" for number in range(READS_A_ROUND + 50)]
    runs = Runs({**dict.fromkeys(ids, "running"), ids[-1]: "succeeded"})
    runs.refusal = refusal
    group, asks = Group(run_ids=ids, client_ref=REF), reader(runs)
    asks.read(group)
    assert len(runs.reads) == READS_A_ROUND
    asks.read(group)
    assert (runs.lists, set(runs.reads)) == (1, set(ids))
    assert ids[-1] not in group.pending


def test_wrong_credentials_are_for_the_wait_to_judge() -> None:
    runs = Runs({"a": "running"})
    runs.refusal = AuthenticationError("wrong key", status=401)
    with pytest.raises(AuthenticationError):
        reader(runs).read(Group(run_ids=["a"], client_ref=REF))


def test_one_that_runflow_does_not_know_keeps_nobody_waiting_for_ever() -> None:
    clock = VirtualClock()
    runs = Runs({"b": "succeeded"}, listed=["b"])
    group, asks = Group(run_ids=["a", "b"], client_ref=REF), reader(runs, clock)
    asks.read(group)
    assert group.pending == {"a"}
    clock.advance(61)
    asks.read(group)
    assert group.over
