# SPDX-License-Identifier: Apache-2.0
"""Wait for a run in the triggerer: no worker slot, one small event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runflow.exceptions import ApiError, ConfigurationError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.runs.polling import Done, GiveUp, Late, Poll, Sleep


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
    Fire once when a Runflow run is terminal, or at the deadline.

    The event names statuses only; the worker reads the run afresh, for fresh URLs and the cost. Network errors, 429 and
    5xx never end the wait.

    :param run_id: Runflow's id of the run.
    :param runflow_conn_id: id of the Airflow connection; the key itself never enters a trigger's arguments.
    :param poll_interval: seconds between polls.
    :param deadline: POSIX time in seconds after which the wait ends. Wall clock: a restarted triggerer keeps it.
    :param not_before: POSIX time before which no event is sent. Airflow up to 3.3.2 can fail a task whose trigger fires
        while the executor still reports the deferral.
    :param cancel_on_kill: cancel the run when a person marks the task failed, success or skipped. Runflow has no public
        cancel; this needs an organisation administrator's key, and does not refund.
    """

    def __init__(
        self,
        run_id: str,
        runflow_conn_id: str,
        poll_interval: float,
        deadline: float,
        not_before: float = 0.0,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.runflow_conn_id = runflow_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.not_before = not_before
        self.cancel_on_kill = cancel_on_kill
        self._fired = False

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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the run is terminal or the deadline has passed; yield one event."""
        outcome = await self._wait()
        early = self.not_before - RunflowHook.clock.now().timestamp()
        if early > 0:
            await RunflowHook.clock.asleep(early)
        self._fired = True
        yield TriggerEvent(self._payload(outcome))

    async def _wait(self) -> Done | Late | GiveUp:
        deadline = datetime.fromtimestamp(self.deadline, timezone.utc)
        poll = Poll(self.run_id, deadline, self.poll_interval, RunflowHook.jitter.uniform, self.log.warning)
        hook = RunflowHook(self.runflow_conn_id)
        client = None
        try:
            while True:
                try:
                    client = client or await hook.aget_client()
                    outcome = poll.on_run(await client.get_run(self.run_id), hook.clock.now())
                except ApiError as error:
                    outcome = poll.on_error(error, hook.clock.now())
                except ConfigurationError as error:
                    outcome = poll.on_unreadable_connection(error, hook.clock.now())
                if not isinstance(outcome, Sleep):
                    return outcome
                if outcome.reconnect and client is not None:
                    await client.aclose()
                    client = None
                await hook.clock.asleep(outcome.seconds)
        finally:
            if client is not None:
                await client.aclose()

    def _payload(self, outcome: Done | Late | GiveUp) -> dict[str, Any]:
        event: dict[str, Any] = {"run_id": self.run_id, "run_status": None}
        if isinstance(outcome, Done):
            status, reason = EventStatus.FINISHED, Reason.TERMINAL
            event["run_status"] = outcome.run.status_code
        elif isinstance(outcome, Late):
            status, reason = EventStatus.TIMED_OUT, Reason.DEADLINE
            event["run_status"] = outcome.run.status_code if outcome.run else None
        else:
            status, reason = EventStatus.GAVE_UP, Reason.UNREADABLE
            self.log.error("Runflow run %s can be read no more: %s", self.run_id, outcome.error)
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
            self.log.info("The task is %s; Runflow run %s goes on.", state or "in an unknown state", self.run_id)
            return
        await asyncio.to_thread(RunflowHook(self.runflow_conn_id).cancel_run, self.run_id, f"Airflow task {state}")

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
