# SPDX-License-Identifier: Apache-2.0
"""What people see of a batch while it goes on: a line every few seconds, and Airflow's metrics at the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.clock import Clock
from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.metrics import Metrics

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.paid_batch import ItemRun, PaidBatch

EVERY = timedelta(seconds=5)


class ItemLog:
    """
    The log of one item of many: its warnings with its key in front; what goes as it should is not told.

    :param log: the task's.
    :param key: the item's.
    """

    def __init__(self, log: Log, key: str) -> None:
        self._log = log
        self._key = key

    def info(self, msg: Any, /, *args: Any) -> None:
        """Tell nothing: thousands of items would bury the rest."""

    def warning(self, msg: Any, /, *args: Any) -> None:
        """Tell of trouble."""
        self._log.warning(f"Item %r: {msg}", self._key, *args)

    def error(self, msg: Any, /, *args: Any) -> None:
        """Tell of worse."""
        self._log.error(f"Item %r: {msg}", self._key, *args)


class Progress:
    """
    Tells how a batch goes.

    :param batch: the batch.
    :param clock: tells the time.
    :param log: where to tell.
    """

    def __init__(self, batch: PaidBatch, clock: Clock, log: Log) -> None:
        self._batch = batch
        self._clock = clock
        self._log = log
        self._began = self._told = clock.now()

    def tell(self, batch: PaidBatch) -> None:
        """Write a line, if the last one is some seconds old."""
        now = self._clock.now()
        if now - self._told < EVERY:
            return
        self._told = now
        self._log.info("%s", self.line())

    def line(self) -> str:
        """Say how many items are where, what they cost so far, and about when all are dealt with at this pace."""
        from airflow_provider_runflow.operators.paid_batch import total

        runs = self._batch.runs
        landed = sum(run.is_landed for run in runs)
        failed = sum(run.error is not None for run in runs)
        waiting, group = sum(run.is_waiting for run in runs), self._batch.watched_group
        ended = f" ({group.ended} of them have ended)" if group is not None and waiting and not landed else ""
        cost = total(run.cost_usd for run in runs) or "0"
        left = len(runs) - landed - failed - waiting
        text = f"{len(runs)} items: {left} to go, {waiting} waiting{ended}, {landed} landed, {failed} failed; "
        text += f"${cost} so far."
        dealt, now = len(runs) - left, self._clock.now()
        if not left or dealt * 10 < len(runs):
            return text
        end = now + (now - self._began) * left / dealt
        return f"{text} At this pace all are dealt with by {end:%H:%M:%S} UTC."

    @staticmethod
    def count(runs: Sequence[ItemRun], metrics: Metrics) -> None:
        """Hand totals to Airflow's metrics."""
        from airflow_provider_runflow.operators.paid_batch import total

        metrics.incr("runflow.batch.items", len(runs))
        metrics.incr("runflow.batch.failed", sum(run.error is not None for run in runs))
        metrics.gauge("runflow.batch.cost_usd", float(total(run.cost_usd for run in runs) or 0))
