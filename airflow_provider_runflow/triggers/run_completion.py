# SPDX-License-Identifier: Apache-2.0
"""Wait for runs in the triggerer: no worker slot, one small event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_runflow.exceptions import ApiError, ConfigurationError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.runs.polling import Done, GiveUp, Late, Poll, Sleep

if TYPE_CHECKING:
    from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient

Ended = Done | Late | GiveUp


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

    The event names statuses only; the worker reads the run afresh, for fresh URLs and the cost. Network errors, 429 and
    5xx never end the wait. Several runs are waited for one after the other: that is one call per poll, however many
    there are, and takes no longer than the slowest of them.

    :param run_id: Runflow's id of the run, or a list of at most 500 ids: a trigger's arguments must fit in 64 KB.
    :param runflow_conn_id: id of the Airflow connection; the key itself never enters a trigger's arguments.
    :param poll_interval: seconds between polls.
    :param deadline: POSIX time in seconds after which the wait ends. Wall clock: a restarted triggerer keeps it.
    :param not_before: POSIX time before which no event is sent. Airflow up to 3.3.2 can fail a task whose trigger fires
        while the executor still reports the deferral.
    :param cancel_on_kill: cancel the run when a person marks the task failed, success or skipped. Runflow has no public
        cancel; this needs an organisation administrator's key, and does not refund.
    :param end_from_trigger: end the task as a success right here when every run delivered. Otherwise, and in any other
        case, the worker resumes and judges.
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
    ) -> None:
        super().__init__()
        self.run_id = run_id if isinstance(run_id, str) else list(run_id)
        self.runflow_conn_id = runflow_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before
        self.cancel_on_kill = cancel_on_kill
        self.end_from_trigger = end_from_trigger
        self._fired = False

    @property
    def run_ids(self) -> list[str]:
        """The runs, in the order in which they are waited for."""
        return [self.run_id] if isinstance(self.run_id, str) else self.run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and JSON scalars."""
        return (
            "airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger",
            {
                "run_id": self.run_id,
                "runflow_conn_id": self.runflow_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "not_before": self.not_before,
                "cancel_on_kill": self.cancel_on_kill,
                "end_from_trigger": self.end_from_trigger,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the runs are terminal or the deadline has passed; yield one event."""
        ended = await self._wait()
        early = self.not_before - RunflowHook.clock.now().timestamp()
        if early > 0:
            await RunflowHook.clock.asleep(early)
        self._fired = True
        if self.end_from_trigger and all(isinstance(each, Done) and each.run.is_delivered for each in ended):
            yield TaskSuccessEvent()
        else:
            yield TriggerEvent(self._payload(ended))

    async def _wait(self) -> list[Ended]:
        """Wait for each run; the last entry tells why it is the last."""
        reader = _Reader(RunflowHook(self.runflow_conn_id))
        ended: list[Ended] = []
        try:
            for run_id in self.run_ids:
                ended.append(await self._wait_for(run_id, reader))
                if not isinstance(ended[-1], Done):
                    break
        finally:
            await reader.disconnect()
        return ended

    async def _wait_for(self, run_id: str, reader: _Reader) -> Ended:
        deadline = datetime.fromtimestamp(self.deadline, timezone.utc)
        poll = Poll(run_id, deadline, self.poll_interval, RunflowHook.jitter.uniform, self.log.warning)
        clock = RunflowHook.clock
        while True:
            try:
                client = await reader.client()
                outcome = poll.on_run(await client.get_run(run_id), clock.now())
            except ApiError as error:
                outcome = poll.on_error(error, clock.now())
            except ConfigurationError as error:
                outcome = poll.on_unreadable_connection(error, clock.now())
            if not isinstance(outcome, Sleep):
                return outcome
            if outcome.reconnect:
                await reader.disconnect()
            await clock.asleep(outcome.seconds)

    def _payload(self, ended: list[Ended]) -> dict[str, Any]:
        """Tell of the run that the wait ended with: the last of the list, or the one that did not end."""
        outcome, run_id = ended[-1], self.run_ids[len(ended) - 1]
        event: dict[str, Any] = {"run_id": run_id, "run_status": None}
        if isinstance(outcome, Done):
            status, reason = EventStatus.FINISHED, Reason.TERMINAL
            event["run_status"] = outcome.run.status_code
        elif isinstance(outcome, Late):
            status, reason = EventStatus.TIMED_OUT, Reason.DEADLINE
            event["run_status"] = outcome.run.status_code if outcome.run else None
        else:
            status, reason = EventStatus.GAVE_UP, Reason.UNREADABLE
            self.log.error("Runflow run %s can be read no more: %s", run_id, outcome.error)
        return {"status": status.value, "reason": reason.value, **event}

    async def on_kill(self) -> None:
        """
        Cancel the run when a person ended the task (Airflow 3.3).

        Airflow 3.3.0-3.3.2 also calls this when it merely moves the trigger to another triggerer, so the task's state
        is asked first; a cleared task's next attempt attaches to the run instead.
        """
        if not self.cancel_on_kill or self._fired:
            return
        state = await self._task_state()
        if state not in _ENDED:
            runs = ", ".join(self.run_ids)
            self.log.info("The task is %s; Runflow run %s goes on.", state or "in an unknown state", runs)
            return
        hook = RunflowHook(self.runflow_conn_id)
        for run_id in self.run_ids:
            await asyncio.to_thread(hook.cancel_run, run_id, f"Airflow task {state}")

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


class _Reader:
    """The connection to Runflow, as long as it serves."""

    def __init__(self, hook: RunflowHook) -> None:
        self._hook = hook
        self._client: AsyncRunflowClient | None = None

    async def client(self) -> AsyncRunflowClient:
        """Return the client; reads the connection first, if there is none."""
        if self._client is None:
            self._client = await self._hook.aget_client()
        return self._client

    async def disconnect(self) -> None:
        """Close the client, so that the connection is read again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
