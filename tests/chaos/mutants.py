# SPDX-License-Identifier: Apache-2.0
"""
Remove one fence at a time, and show that the trials notice: a proof that cannot fail proves nothing.

`python -m tests.chaos.mutants` runs each mutant until a trial catches it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest import mock

import tests.conftest  # noqa: F401 - before Airflow: a home of its own
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.exceptions import SubmissionUncertainError
from airflow_provider_runflow.operators import parts
from airflow_provider_runflow.runs import engine as engines
from airflow_provider_runflow.runs import identity, resolution
from airflow_provider_runflow.runs.engine import RunEngine
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.stores.task_state_log import TaskStateLog
from tests.chaos.judge import Verdict, try_plan
from tests.chaos.plan import Plan, make_plan

PATIENCE = 3000


@dataclass(frozen=True)
class Mutant:
    """
    A version of the package without one of its fences.

    :param name: what is gone.
    :param apply: replaces it.
    :param hunted_by: the classes of trials that need this fence.
    :param batches: only trials of batch tasks do.
    """

    name: str
    apply: Callable[[], Any]
    hunted_by: tuple[str, ...]
    batches: bool = False


@dataclass(frozen=True)
class Catch:
    """How a mutant was found out."""

    mutant: Mutant
    trials: int
    verdict: Verdict | None


def hunt(mutant: Mutant, first_seed: int = 1, patience: int = PATIENCE) -> Catch:
    """Play trials of the classes that need the fence until one fails."""
    trials = 0
    with mutant.apply():
        for seed in range(first_seed, first_seed + patience * 20):
            plan = make_plan(seed)
            if plan.fences_name not in mutant.hunted_by or not _may_tell(plan) or (mutant.batches and not plan.batch):
                continue
            trials += 1
            verdict = try_plan(plan)
            # A mutant that merely crashes has shown nothing about its fence.
            if verdict.double_paid or verdict.lost or verdict.stopped_unknown_with_a_fence:
                return Catch(mutant, trials, verdict)
            if trials == patience:
                break
    return Catch(mutant, trials, None)


def _may_tell(plan: Plan) -> bool:
    return plan.strike > 0 or any(rule["route"] == "create" for rule in plan.rules if "route" in rule)


@contextlib.contextmanager
def _no_key() -> Iterator[None]:
    """The Idempotency-Key header is not sent."""
    real = RunflowClient.create_run

    def create_run(self: RunflowClient, *args: Any, **kwargs: Any) -> Any:
        return real(self, *args, **{**kwargs, "idempotency_key": None})

    with mock.patch.object(RunflowClient, "create_run", create_run):
        yield


@contextlib.contextmanager
def _no_look_up() -> Iterator[None]:
    """Nobody asks Runflow what it has."""
    with mock.patch.object(engines, "look_up", side_effect=lambda lister, *args, **kwargs: ([], lister.clock.now())):
        yield


@contextlib.contextmanager
def _journal_after_the_post() -> Iterator[None]:
    """The intent is not recorded before the request is sent."""
    real = RunEngine._submit

    def submit(self: RunEngine, *args: Any) -> Any:
        journal, self.journal = self.journal, _AfterwardsOnly(self.journal)
        try:
            return real(self, *args)
        finally:
            self.journal = journal

    with mock.patch.object(RunEngine, "_submit", submit):
        yield


class _AfterwardsOnly:
    """Writes what is known after the fact, and no intent."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.remembers = journal.remembers

    def read(self, slot: str) -> list[Record]:
        records: list[Record] = self._journal.read(slot)
        return records

    def write(self, slot: str, record: Record) -> None:
        if record.state != "intent":
            self._journal.write(slot, record)


@contextlib.contextmanager
def _client_retries_unknown_posts() -> Iterator[None]:
    """A submission of unknown outcome is sent again at once, as a plain HTTP client's retries do."""
    real = RunflowClient.create_run

    def create_run(self: RunflowClient, *args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            with contextlib.suppress(SubmissionUncertainError):
                return real(self, *args, **kwargs)
        return real(self, *args, **kwargs)

    with mock.patch.object(RunflowClient, "create_run", create_run):
        yield


@contextlib.contextmanager
def _try_number_in_the_key() -> Iterator[None]:
    """Each try has a key of its own."""
    tries: list[int] = [0]
    real_identity, real_key = parts.task_identity, identity.idempotency_key

    def task_identity(context: Any, operator: Any, **more: Any) -> Any:
        tries[0] = context["ti"].try_number
        return real_identity(context, operator, **more)

    def key(scope: Any, fingerprint: str, ordinal: int) -> str:
        return real_key(replace(scope, client_ref=f"{scope.client_ref}#{tries[0]}"), fingerprint, ordinal)

    with (
        mock.patch.object(parts, "task_identity", task_identity),
        mock.patch.object(engines, "idempotency_key", key),
    ):
        yield


@contextlib.contextmanager
def _distrusts_the_key() -> Iterator[None]:
    """A key is thought to be void after two seconds: the task stops although a fence works."""
    with mock.patch.object(resolution, "KEY_TRUST", timedelta(seconds=2)):
        yield


@contextlib.contextmanager
def _batch_without_its_journal() -> Iterator[None]:
    """A batch does not read what an earlier try recorded."""

    def load(self: TaskStateLog, **_: Any) -> None:
        self._loaded = True

    with mock.patch.object(TaskStateLog, "load", load):
        yield


MUTANTS = (
    Mutant(
        "no idempotency key", _no_key, ("the list is refused", "the list is days behind", "no journal, the list lags")
    ),
    Mutant("no look-up", _no_look_up, ("the key is ignored", "no journal, the key is ignored")),
    Mutant("the journal written after the POST", _journal_after_the_post, ("no fence", "the key is ignored")),
    Mutant("the client retries unknown POSTs", _client_retries_unknown_posts, ("the key is ignored",)),
    Mutant("try_number in the key", _try_number_in_the_key, ("the list is refused", "the list is days behind")),
    Mutant("a batch without its journal", _batch_without_its_journal, ("the list is refused",), batches=True),
    Mutant("the key distrusted after two seconds", _distrusts_the_key, ("the list is refused",)),
)


def main(arguments: list[str] | None = None) -> int:
    """Hunt them all; 1 when one gets away."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    escaped = 0
    for mutant in MUTANTS:
        caught = hunt(mutant, options.seed)
        escaped += caught.verdict is None
        told = caught.verdict.counts() if caught.verdict else {}
        row = {"mutant": mutant.name, "caught": caught.verdict is not None, "after_trials": caught.trials}
        print(json.dumps({**row, "double_paid": told.get("double_paid"), "lost": told.get("lost")}), flush=True)
        for problem in caught.verdict.problems[:1] if caught.verdict else []:
            print(f"    {problem[:300]}", file=sys.stderr)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
