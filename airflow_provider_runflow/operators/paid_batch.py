# SPDX-License-Identifier: Apache-2.0
"""The paid runs of one batch task: each item is a :class:`PaidRun`, and none waits for another's trouble."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import (
    ApiError,
    BeforeMoneyError,
    LandingError,
    RateLimitedError,
    RunflowError,
    SubmissionUncertainError,
)
from airflow_provider_runflow.operators.brake import Brake
from airflow_provider_runflow.operators.pending import MARK, Bought
from airflow_provider_runflow.outcomes import Outcome
from airflow_provider_runflow.runs.crew import Slots, do_each
from airflow_provider_runflow.runs.engine import SAFE_RETRY
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.items import Item
from airflow_provider_runflow.runs.journal import ManyJournal
from airflow_provider_runflow.runs.listing import Lister
from airflow_provider_runflow.runs.rate import SubmissionRate
from airflow_provider_runflow.runs.reader import GroupReader
from airflow_provider_runflow.runs.result import money_text
from airflow_provider_runflow.runs.waiting import wait_for_group

if TYPE_CHECKING:
    from airflow_provider_runflow.hooks.runflow import RunflowHook
    from airflow_provider_runflow.operators.paid_run import PaidRun

# How often an item is submitted while Runflow says "too many requests", and the pause when it does not say how long.
THROTTLED_TRIES = 4
THROTTLED_PAUSE = 15.0
# A trigger's arguments must fit in 64 KB.
MAX_IDS = 500


@dataclass
class ItemRun:
    """
    One item and how it stands.

    :param result: as a single operator would return it, once its pictures are there (or some of them).
    :param error: why it did not succeed.
    """

    item: Item
    paid: PaidRun
    result: dict[str, Any] | None = None
    error: RunflowError | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its run was submitted, and what became of it is not known."""
        return self.paid.standing is not None and self.result is None and self.error is None

    @property
    def is_landed(self) -> bool:
        """Whether all that it asked for is there."""
        return self.result is not None and self.error is None

    @property
    def is_nothing(self) -> bool:
        """Whether it is off the list, and turned out not to have been bought."""
        return self.item.dropped and not self.is_waiting and self.result is None and self.error is None

    @property
    def outcome(self) -> Outcome:
        """How it ended; ``unknown`` while it waits."""
        if self.error is not None:
            return self.error.outcome
        return Outcome.SUCCEEDED if self.result is not None else Outcome.UNKNOWN

    @property
    def cost_usd(self) -> Decimal | None:
        """What its run cost; ``None`` when it is not known."""
        cost = (self.result or {}).get("cost_usd")
        return None if cost is None else Decimal(cost)

    def settle(self, result: dict[str, Any] | None) -> None:
        """Take the result of a step, with the failure that it may have."""
        self.result, self.error = result, self.paid.failure


@dataclass
class PaidBatch:
    """
    The work of one batch operator instance.

    :param runs: the items, in the order of the list.
    :param client_ref: the scope, which all runs of this task carry.
    :param journal: what is on record of the items, under their keys.
    :param slots: requests in flight at once.
    :param tell: called every few seconds, with this batch.
    """

    runs: Sequence[ItemRun]
    client_ref: str
    journal: ManyJournal
    hook: RunflowHook
    lister: Lister
    rate: SubmissionRate
    slots: Slots
    poll_interval: float
    log: Log
    tell: Callable[[PaidBatch], None] = lambda batch: None
    brake: Brake = field(init=False)
    watched_group: Group | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        models = {run.paid.request.model for run in self.runs}
        self.brake = Brake(len(models) == 1, self.log)

    @property
    def waiting(self) -> list[ItemRun]:
        """The items whose runs go on."""
        return [run for run in self.runs if run.is_waiting]

    @property
    def deadline(self) -> datetime:
        """When the wait for all of them ends."""
        return max(run.paid.deadline for run in self.waiting)

    def submit(self) -> None:
        """Find or buy the run of each item; what has landed before, or has ended meanwhile, is settled at once."""
        # What is on record first: it is paid, and no trouble with a submission may keep it from landing.
        known = {run.item.key for run in self.runs if run.paid.engine.journal.read(run.paid.engine.slot)}
        self._each(self._submit_one, sorted(self.runs, key=lambda run: run.item.key not in known))
        self._forget_what_was_nothing()

    @property
    def is_listed(self) -> bool:
        """Whether a list can tell which runs there are."""
        return self.lister.is_allowed(self.client_ref)

    @property
    def bought(self) -> dict[str, Bought]:
        """The runs that go on, by key."""
        records = {run.item.key: run.paid.bought.record for run in self.waiting}
        return {
            key: Bought(str(of.run_id), of.ordinal, of.fingerprint[:MARK], (of.submitted_at or of.at).timestamp())
            for key, of in records.items()
        }

    def rejoin(self, errors: Mapping[str, RunflowError], bought: Mapping[str, Bought]) -> None:
        """
        Find again what an earlier stretch of the task bought; submit nothing.

        :param errors: what kept items from being submitted then, by key.
        :param bought: runs by key, as far as nothing else remembers them.
        """
        for run in self.runs:
            run.error = errors.get(run.item.key)
        known = [run for run in self.runs if run.error is None]
        self._each(lambda run: self._rejoin_one(run, bought.get(run.item.key)), known)
        self._forget_what_was_nothing()

    def before_submit(self) -> None:
        """Wait for an item's turn to be submitted; raises what stopped the batch."""
        self.rate.wait(lambda: self.brake.is_on)
        self.brake.check()

    def wait(self) -> Mapping[str, Any]:
        """Wait on the worker until all runs have ended or the deadline has passed; say which, as the trigger does."""
        group = self.watched_group = self._group()
        reader = self._reader()

        def read(group: Group, reconnect: bool) -> None:
            if reconnect:
                self.hook.reconnect()
            reader.read(group)

        finished = wait_for_group(
            read,
            group,
            f"The batch's {len(group.run_ids)} runs",
            deadline=self.deadline,
            interval=self.poll_interval,
            clock=self.hook.clock,
            log=self.log,
            uniform=self.hook.jitter.uniform,
            tell=lambda: self.tell(self),
        )
        return {"status": "finished" if finished else "timed_out"}

    def watched(self) -> dict[str, Any]:
        """Say for the trigger which runs to wait for: by id as far as they are few, else by what they all carry."""
        records = [run.paid.bought.record for run in self.waiting]
        refs = {record.client_ref for record in records}
        if len(records) <= MAX_IDS or len(refs) > 1 or not self.is_listed:
            ref = self.client_ref if refs == {self.client_ref} else None
            return {"run_id": [str(record.run_id) for record in records[:MAX_IDS]], "client_ref": ref}
        since = min(record.submitted_at for record in records if record.submitted_at is not None)
        return {"run_id": [], "client_ref": refs.pop(), "count": len(records), "since": since.timestamp()}

    def land(self, event: Mapping[str, Any]) -> None:
        """
        Land every run that has ended.

        :param event: the trigger's, or what :meth:`wait` returned.
        """
        waiting, unsure = self.waiting, set()
        if event.get("status") == "finished" and len(waiting) > MAX_IDS:
            # A trigger that watched some of them by id tells nothing of the others.
            unsure = self._not_seen_to_end()
        self._each(lambda run: self._land_one(run, event, look_first=run.paid.run_id in unsure), waiting)

    def landed_elsewhere(self) -> list[ItemRun]:
        """
        Find the items that failed here, and that another worker of this task has landed meanwhile.

        :raises JournalError: what others recorded cannot be read.
        """
        # What landed here and is of no use (flagged, other pixels) has its result.
        failed = [run for run in self.runs if run.error and not (run.result and self._is_on_record_as_landed(run))]
        if failed:
            self.journal.load(again=True)
        return [run for run in failed if self._is_on_record_as_landed(run)]

    def take_over(self, runs: Iterable[ItemRun]) -> None:
        """Take what another worker has landed."""
        self._each(self._take_over_one, runs)

    def _submit_one(self, run: ItemRun) -> None:
        if self.brake.error is not None and not run.paid.engine.journal.read(run.paid.engine.slot):
            run.error = self.brake.error
            return
        with self._settling(run):
            result = self._start(run)
            standing = run.paid.standing
            if result is None and standing and standing.attached and standing.run and standing.run.is_terminal:
                result = run.paid.look_once()
            run.settle(result)
            self.brake.on_answer()

    def _start(self, run: ItemRun) -> dict[str, Any] | None:
        if run.item.dropped:
            result = run.paid.attach()
            if result is None and run.paid.standing is None:
                self.log.warning(
                    "Item %r left the list while its submission had no usable answer, and Runflow lists no run of it. "
                    "It is not submitted again. If it was accepted, it is billed and does not land (client_ref %s).",
                    run.item.key,
                    self.client_ref,
                )
            return result
        for tries in range(1, THROTTLED_TRIES):
            try:
                return run.paid.start()
            except RateLimitedError as error:
                pause = error.retry_after or THROTTLED_PAUSE * tries
                self.log.info("Runflow asks to slow down: nothing is submitted for %.0f s.", pause)
                self.rate.pause(pause)
        return run.paid.start()

    def _rejoin_one(self, run: ItemRun, bought: Bought | None) -> None:
        with self._settling(run):
            paid = run.paid
            if bought is not None and paid.request.fingerprint.startswith(bought.mark):
                submitted_at = datetime.fromtimestamp(bought.submitted_at, timezone.utc)
                paid.take_up(paid.engine.submitted_record(paid.request, bought.ordinal, bought.run_id, submitted_at))
                return
            run.settle(paid.rejoin())
            if paid.standing is not None or run.result is not None or run.item.dropped:
                return
            if paid.engine.journal.remembers:
                raise BeforeMoneyError("It was not submitted; the log of the submission says why. A retry tries again.")
            raise SubmissionUncertainError(
                "If it was submitted, its run is not to be found at Runflow yet, and is billed if it succeeds "
                f"(client_ref {self.client_ref}). {SAFE_RETRY}"
            )

    def _take_over_one(self, run: ItemRun) -> None:
        try:
            landed = run.paid.find_landed()
        except RunflowError as error:
            self.log.warning("Item %r: another worker has landed it, but %s", run.item.key, error)
            return
        if landed is not None:
            run.settle(landed)

    def _is_on_record_as_landed(self, run: ItemRun) -> bool:
        return any(record.state == "landed" for record in self.journal.read(run.item.key)[:1])

    def _land_one(self, run: ItemRun, event: Mapping[str, Any], *, look_first: bool) -> None:
        with self._settling(run):
            if look_first and not self.hook.get_run(str(run.paid.run_id)).is_terminal:
                return
            run.settle(run.paid.resume(event))

    def _settling(self, run: ItemRun) -> _Settling:
        return _Settling(self, run)

    def note(self, run: ItemRun, error: Exception) -> None:
        """Keep what an item met to itself, unless all others would meet it, too."""
        if not isinstance(error, RunflowError):
            what = f"{type(error).__name__}: {error}"
            paid = run.paid.engine.sent or run.paid.run_id
            kind, then = (
                (LandingError, "It may be paid; a retry of the task goes on from there, and pays for nothing twice.")
                if paid
                else (BeforeMoneyError, "A retry of the task tries again.")
            )
            run.error = kind(f"An error that nobody foresaw ({what}). {then}")
            self.log.error("Item %r: %s\n%s", run.item.key, run.error, "".join(traceback.format_exception(error)))
            return
        run.error = error
        if error is self.brake.error:
            return  # said once for all
        self.log.warning("Item %r: %s", run.item.key, error)
        if not run.paid.run_id:
            self.brake.on_error(run.item.key, error)

    def _group(self) -> Group:
        return Group(run_ids=[str(run.paid.run_id) for run in self.waiting], client_ref=self.client_ref)

    def _reader(self) -> GroupReader:
        def find_runs(client_ref: str, fields: Sequence[str]) -> Iterable[Run]:
            return self.hook.get_conn().find_runs(client_ref, fields=fields)

        return GroupReader(find_runs, self.hook.get_run, self.hook.clock)

    def _not_seen_to_end(self) -> set[str]:
        """Which runs go on, as far as a list tells."""
        group = self._group()
        try:
            self._reader().read_list(group)
        except ApiError as error:
            self.log.warning("Runs cannot be listed now (%s); reading them one by one.", error)
        return group.pending

    def _forget_what_was_nothing(self) -> None:
        self.runs = [run for run in self.runs if not run.is_nothing]

    def _each(self, work: Callable[[ItemRun], None], runs: Iterable[ItemRun]) -> None:
        def stop() -> None:
            self.brake.stop(BeforeMoneyError("The task was stopped before this item was submitted."))

        do_each(work, runs, slots=self.slots, tell=lambda: self.tell(self), stop=stop)


@dataclass
class _Settling:
    """Keeps an item's trouble to the item; a kill or a time-out of the task goes on."""

    batch: PaidBatch
    run: ItemRun

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.batch.note(self.run, error)
        return True


def total(costs: Iterable[Decimal | None]) -> str | None:
    """Add up what is known of costs; ``None`` when nothing is."""
    known = [cost for cost in costs if cost is not None]
    return money_text(sum(known, Decimal(0))) if known else None
