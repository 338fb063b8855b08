# SPDX-License-Identifier: Apache-2.0
"""Wait for runs in the triggerer: no worker slot, few calls, one small event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.compat import stats
from airflow_provider_runflow.exceptions import ConfigurationError, RunflowError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.runs.group import Group
from airflow_provider_runflow.runs.polling import GiveUp, Late, Over, Sleep
from airflow_provider_runflow.runs.waiter import Waiter
from airflow_provider_runflow.runs.watcher import Watcher, Watchers, in_this_context

Ended = Over | Late | GiveUp

MAX_RUNS = 500
# Cancelling is one call each, and Airflow gives a killed trigger some seconds.
CANCELS_AT_ONCE = 8

log = logging.getLogger(__name__)
# Of this process; each event loop and each account has one of its own in here.
WATCHERS = Watchers()


class EventStatus(str, Enum):
    """How a wait ended."""

    FINISHED = "finished"
    TIMED_OUT = "timed_out"
    GAVE_UP = "gave_up"


class Reason(str, Enum):
    """Why it ended so."""

    TERMINAL = "terminal"
    DEADLINE = "deadline"
    UNREADABLE = "unreadable"


# States that say that a person ended the task. A cleared or re-assigned one is none of them.
_ENDED = {"failed", "success", "skipped", "removed"}


class RunCompletionTrigger(BaseTrigger):
    """
    Fire once when Runflow runs are terminal, or at the deadline.

    The event names statuses only; the worker reads the runs afresh, for fresh URLs and the cost. Network errors, 429
    and 5xx never end the wait. All triggers of a triggerer that use the same account share one watcher, which looks at
    all of their runs with far fewer calls than one for each.

    :param run_id: Runflow's id of the run, or a list of at most 500 ids: a trigger's arguments must fit in 64 KB. May
        be empty where ``client_ref`` is given.
    :param runflow_conn_id: id of the Airflow connection; the key itself never enters a trigger's arguments.
    :param poll_interval: seconds between polls.
    :param deadline: POSIX time in seconds after which the wait ends. Wall clock: a restarted triggerer keeps it.
    :param not_before: POSIX time before which no event is sent. Airflow up to 3.3.2 can fail a task whose trigger fires
        while the executor still reports the deferral.
    :param cancel_on_kill: cancel the runs when a person marks the task failed, success or skipped. Runflow has no
        public cancel; this needs an organisation administrator's key, and does not refund.
    :param end_from_trigger: end the task as a success right here when every run delivered. Otherwise, and in any other
        case, the worker resumes and judges.
    :param client_ref: what the runs carry. With ids it tells by what list they can be found; without, all its runs that
        were created at ``since`` or later are waited for.
    :param count: without ids: how many runs there are at least.
    :param since: without ids: POSIX time of the first submission; clocks may differ by five minutes.
    """

    def __init__(
        self,
        run_id: str | Sequence[str],
        runflow_conn_id: str,
        poll_interval: float,
        deadline: float,
        not_before: float = 0.0,
        cancel_on_kill: bool = False,
        end_from_trigger: bool = False,
        client_ref: str | None = None,
        count: int = 0,
        since: float = 0.0,
    ) -> None:
        super().__init__()
        self.run_id = run_id if isinstance(run_id, str) else list(run_id)
        self.runflow_conn_id = runflow_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before
        self.cancel_on_kill = cancel_on_kill
        self.end_from_trigger = end_from_trigger
        self.client_ref = client_ref
        self.count = count
        self.since = since
        if len(self.run_ids) > MAX_RUNS or not (self.run_ids or client_ref):
            raise ValueError(f"run_id: {len(self.run_ids)} ids; must be 1-{MAX_RUNS}, or none and a client_ref.")
        self._fired = False

    @property
    def run_ids(self) -> list[str]:
        """The runs; none where ``client_ref`` tells which they are."""
        if isinstance(self.run_id, str):
            return [self.run_id] if self.run_id else []
        return self.run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and JSON scalars."""
        kwargs: dict[str, Any] = {
            "run_id": self.run_id,
            "runflow_conn_id": self.runflow_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "not_before": self.not_before,
            "cancel_on_kill": self.cancel_on_kill,
            "end_from_trigger": self.end_from_trigger,
        }
        if self.client_ref is not None:
            # Only then: what needs none of these can be loaded by a triggerer that is not upgraded yet.
            kwargs |= {"client_ref": self.client_ref, "count": self.count, "since": self.since}
        return "airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the runs are terminal or the deadline has passed; yield one event."""
        group = self._group()
        ended = await self._wait(group)
        early = self.not_before - RunflowHook.clock.now().timestamp()
        if early > 0:
            await RunflowHook.clock.asleep(early)
        self._fired = True
        if self.end_from_trigger and isinstance(ended, Over) and group.delivered:
            yield TaskSuccessEvent()
        else:
            yield TriggerEvent(self._payload(group, ended))

    def _group(self) -> Group:
        since = datetime.fromtimestamp(self.since, timezone.utc) if self.since else None
        return Group(run_ids=self.run_ids, client_ref=self.client_ref, count=self.count, since=since)

    async def _wait(self, group: Group) -> Ended:
        """Wait with the watcher of the connection's account, and with another one when the connection changes."""
        hook, clock = RunflowHook(self.runflow_conn_id), RunflowHook.clock
        waiter = Waiter(
            group,
            deadline=datetime.fromtimestamp(self.deadline, timezone.utc),
            interval=self.poll_interval,
            jitter=RunflowHook.jitter.uniform,
            # The watcher is at home in no task, but what it has to say of this wait belongs into this task's log.
            warn=in_this_context(self.log.warning),
            tell=in_this_context(self.log.info),
        )
        while True:
            try:
                account = (await hook.aget_settings()).account
            except ConfigurationError as error:
                outcome: Ended | Sleep = waiter.on_unreadable_connection(error, clock.now())
            else:
                outcome = await WATCHERS.wait(account.access, waiter, _maker(hook, account))
            if not isinstance(outcome, Sleep):
                return outcome
            await clock.asleep(outcome.seconds)

    def _payload(self, group: Group, ended: Ended) -> dict[str, Any]:
        """Tell of the run that the wait ended with: the last of the list, or the one that did not end."""
        ids = group.run_ids or sorted(group.statuses)
        run_id = next((each for each in ids if each in group.pending), None)
        if isinstance(ended, Over):
            status, reason = EventStatus.FINISHED, Reason.TERMINAL
            run_id = group.run_ids[-1] if group.run_ids else None
        elif isinstance(ended, Late):
            status, reason = EventStatus.TIMED_OUT, Reason.DEADLINE
        else:
            status, reason = EventStatus.GAVE_UP, Reason.UNREADABLE
            run_id = ended.run_id or run_id
            what = f"Runflow run {run_id}" if run_id else f"The list of Runflow runs of {self.client_ref!r}"
            self.log.error("%s can be read no more: %s", what, ended.error)
        known = None if isinstance(ended, GiveUp) else group.statuses.get(run_id or "")
        event: dict[str, Any] = {
            "status": status.value,
            "reason": reason.value,
            "run_id": run_id,
            "run_status": known,
        }
        return {**event, "counts": group.counts} if self._is_group else event

    @property
    def _is_group(self) -> bool:
        return self.client_ref is not None or not isinstance(self.run_id, str)

    async def on_kill(self) -> None:
        """
        Cancel the runs when a person ended the task (Airflow 3.3).

        Airflow 3.3.0-3.3.2 also calls this when it merely moves the trigger to another triggerer, so the task's state
        is asked first; a cleared task's next attempt attaches to the runs instead.
        """
        if not self.cancel_on_kill or self._fired:
            return
        state = await self._task_state()
        if state not in _ENDED:
            runs = ", ".join(self.run_ids[:20]) or f"of {self.client_ref!r}"
            self.log.info("The task is %s; Runflow run %s goes on.", state or "in an unknown state", runs)
            return
        hook = RunflowHook(self.runflow_conn_id)
        run_ids = self.run_ids or await asyncio.to_thread(self._active_runs, hook)
        at_once = asyncio.Semaphore(CANCELS_AT_ONCE)

        async def cancel(run_id: str) -> None:
            async with at_once:
                await asyncio.to_thread(hook.cancel_run, run_id, f"Airflow task {state}")

        await asyncio.gather(*map(cancel, run_ids))

    def _active_runs(self, hook: RunflowHook) -> list[str]:
        """List the runs of the client_ref that go on; none when they cannot be listed."""
        group = self._group()
        try:
            for run in hook.find_runs(str(self.client_ref)):
                if run.client_ref in (None, self.client_ref):
                    group.on_row(run.id, run.status_code, run.created_at)
        except RunflowError as error:
            told = "The runs of %r cannot be listed, so they go on, and those that succeed are billed: %s"
            self.log.warning(told, self.client_ref, error)
        return sorted(group.pending)

    async def _task_state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        ti = self.task_instance
        if ti is None:
            return None
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        of_run = states.get(ti.run_id, {})
        # Airflow names a mapped task instance task_id_index here.
        mapped = getattr(ti, "map_index", -1)
        state = of_run.get(f"{ti.task_id}_{mapped}") if mapped is not None and mapped >= 0 else None
        state = state or of_run.get(ti.task_id)
        return None if state is None else str(getattr(state, "value", state))


def _maker(hook: RunflowHook, account: Account) -> Callable[[Callable[[Watcher], None]], Watcher]:
    def make(on_close: Callable[[Watcher], None]) -> Watcher:
        return Watcher(
            hook.async_client(account),
            name=account.identity.rstrip("#"),
            clock=RunflowHook.clock,
            uniform=RunflowHook.jitter.uniform,
            log=log,
            metrics=stats(),
            on_close=on_close,
        )

    return make
