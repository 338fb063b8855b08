# SPDX-License-Identifier: Apache-2.0
"""Wait for runs that another task, another DAG or a person submitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_runflow.boundary import sensor_errors
from airflow_provider_runflow.compat import DEFERRAL_FAILURES, AirflowSensorTimeout, TaskDeferralTimeout, conf
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    ApiError,
    InvalidRequestError,
    NotFoundError,
    RunTimeoutError,
    RunUnreachableError,
)
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RunflowRunLink, run_url, xcoms_page
from airflow_provider_runflow.operators.checks import is_literal, seconds
from airflow_provider_runflow.operators.common import DEFAULT_TIMEOUT, DEFER_BACKSTOP, QUIET_AFTER_DEFERRAL

if TYPE_CHECKING:
    from airflow_provider_runflow.client.wire import Run

POKE_INTERVAL = 5.0
# Airflow (3.3.2) fails a task that is queued again while its last poke is still being reported: seen with 2 s.
RESCHEDULE_INTERVAL = 60.0
# What a trigger's arguments hold with room to spare: 64 KB on MySQL.
MAX_RUNS = 500


class RunCompletionSensor(BaseSensorOperator):
    """
    Wait until Runflow runs have ended, whoever submitted them, and tell how.

    It only reads, so it is idempotent by nature: a retry, a clear or a second sensor on the same run costs nothing and
    finds the same. A run that delivered in part (``partial_succeeded``) counts as delivered: its pictures are there and
    paid. One that failed or was cancelled fails the sensor at once, without retries, since they would find the same;
    with ``soft_fail`` it is skipped. Several runs are waited for until all have ended, so that one error can name all
    that were lost. Network errors, 429 and 5xx do not end the wait.

    ``deferrable=True`` waits in the triggerer and takes no worker slot. ``mode="reschedule"`` frees the slot between
    pokes; each poke reads anew from the first run on. The other parameters of ``BaseSensorOperator`` apply;
    ``exponential_backoff`` does in that mode only, since otherwise the wait has its own back-off.

    :param run_id: Runflow's id of the run. (templated)
    :param run_ids: instead of it, 1-500 ids: a list, or the output of a mapped task. (templated)
    :param runflow_conn_id: id of the Airflow connection of type ``runflow``. (templated)
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :param poke_interval: seconds (or a timedelta) between looks. Default: 5, and 60 with ``mode="reschedule"``: Airflow
        (3.3.2) fails a task that it queues again while the poke before is still being reported.
    :param timeout: seconds (or a timedelta) that the wait may take. The runs themselves go on after that. As with every
        sensor no retry follows a time-out. A shorter ``execution_timeout`` applies to a deferred wait too.
    :param end_from_trigger: when all runs have delivered, end the task in the triggerer, without a worker. There is no
        return value then: Airflow (3.3.2 at least) hands what a trigger pushes on as JSON text. Nor are there asset
        events, so it goes together with no ``outlets``; and Airflow refuses it where listeners (such as OpenLineage)
        are installed. Deferrable only.
    :return: ``{run_id, status, cost_usd, image_count}``, each also pushed as an XCom of its own; for ``run_ids`` a list
        of these in the order given. ``cost_usd`` is a decimal as text, or ``None`` when Runflow does not say.
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal.
    """

    template_fields: Sequence[str] = ("run_id", "run_ids", "runflow_conn_id")
    operator_extra_links = (RunflowRunLink(),)
    ui_color = "#efe7fb"

    def __init__(
        self,
        *,
        run_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        runflow_conn_id: str = RunflowHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", run_ids is None)
        if poke_interval is None:
            rescheduled = kwargs.get("mode") == "reschedule" and not deferrable
            poke_interval = RESCHEDULE_INTERVAL if rescheduled else POKE_INTERVAL
        super().__init__(
            poke_interval=seconds("poke_interval", poke_interval), timeout=seconds("timeout", timeout), **kwargs
        )
        self.run_id = run_id
        self.run_ids = run_ids
        self.runflow_conn_id = runflow_conn_id
        self.deferrable = deferrable
        self.end_from_trigger = end_from_trigger
        self._late: RunTimeoutError | None = None
        if not getattr(self, "_BaseOperator__from_mapped", False):
            self._check()

    @cached_property
    def hook(self) -> RunflowHook:
        """The hook of this task's connection."""
        return RunflowHook(self.runflow_conn_id)

    def execute(self, context: Any) -> Any:
        """Wait for the runs; or defer."""
        with sensor_errors(self):
            ids = self._ids()
            self._show(context, ids)
            if self.deferrable:
                runs = self._look(ids)
                if runs is None:
                    self._defer(ids)
                return self._facts(ids, runs or {})
            if self.reschedule:
                return self._reschedule(context)
            deadline = self.hook.clock.now() + timedelta(seconds=self.timeout)
            self.log.info("Waiting for %d Runflow run(s) until %s.", len(ids), deadline.isoformat(timespec="seconds"))
            return self._facts(ids, self._wait(ids, deadline))

    def poke(self, context: Any) -> PokeReturnValue:
        """Look once, for ``mode="reschedule"``: in the other modes the wait is the trigger's or the client's."""
        from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR

        with sensor_errors(self):
            since, ids = context["ti"].get_first_reschedule_date(context), self._ids()
            try:
                return PokeReturnValue(True, self._facts(ids, self._wait(ids, self.hook.clock.now())))
            except RunTimeoutError as late:
                self._late = late
            except RunUnreachableError as error:
                # By Airflow's clock, which is where `since` comes from.
                young = since is None or datetime.now(timezone.utc) - since < NOT_FOUND_FOR
                if not (young and isinstance(error.__cause__, NotFoundError)):
                    raise
            return PokeReturnValue(False)

    def execute_complete(self, context: Any, event: Mapping[str, Any] | str | None = None) -> Any:
        """
        Judge the runs that the trigger watched.

        :param event: only whether it says ``finished`` matters, the runs are read afresh. ``dag.test()`` resumes with
            the word ``success`` what ended from the trigger.
        """
        from airflow_provider_runflow.runs.waiting import READ_GRACE

        with sensor_errors(self):
            status = event.get("status") if isinstance(event, Mapping) else event
            ids, now = self._ids(), self.hook.clock.now()
            self._show(context, ids)
            try:
                runs = self._wait(ids, now + READ_GRACE if status == "finished" else now)
            except RunTimeoutError as error:
                if status == "timed_out":
                    raise
                raise AfterMoneyError(
                    f"The trigger's wait is over ({status}), but the worker cannot see that all runs have ended: "
                    f"{error.__cause__ or 'some go on'}. A retry of the task waits on, for $0."
                ) from error
            return self._facts(ids, runs)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """
        Resume; and when Airflow itself ended the deferral (timeout, dead trigger), look at the runs once more.

        :raises AirflowSensorTimeout: not all have ended, and the time is over.
        """
        try:
            # Past BaseSensorOperator's own, which would turn what is raised here into a skip without a reason.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        except DEFERRAL_FAILURES as error:
            self.log.warning("Airflow ended the deferral (%s). Reading the runs once more.", error)
            with sensor_errors(self):
                ids = self._ids()
                try:
                    return self._facts(ids, self._wait(ids, self.hook.clock.now()))
                except RunTimeoutError as late:
                    if isinstance(error, TaskDeferralTimeout):
                        raise
                    raise error from late  # its trigger died: a retry waits on

    def _check(self) -> None:
        if self.end_from_trigger and self.outlets:
            raise InvalidRequestError(
                "end_from_trigger=True with outlets: Airflow emits no asset events for a task that ends in the "
                "triggerer. Leave one of the two out."
            )
        if is_literal(self.run_id) and is_literal(self.run_ids):
            self._ids()

    def _ids(self) -> list[str]:
        """Return the runs to wait for, as they were given; raises unless they are ids."""
        if (self.run_id is None) == (self.run_ids is None):
            raise InvalidRequestError(f"run_id={self.run_id!r}, run_ids={self.run_ids!r}: give one of the two.")
        if self.run_id is not None:
            return [_checked("run_id", self.run_id)]
        if isinstance(self.run_ids, str) or not isinstance(self.run_ids, Iterable):
            raise InvalidRequestError(
                f"run_ids={self.run_ids!r}: must be a list of ids. A template renders to text unless its DAG has "
                "render_template_as_native_obj=True; the output of a task (task.output['run_id']) stays a list."
            )
        ids = [_checked("run_ids", run_id) for run_id in self.run_ids]
        if not 1 <= len(ids) <= MAX_RUNS:
            raise InvalidRequestError(f"run_ids: {len(ids)} ids; must be 1-{MAX_RUNS}. Map the sensor over more.")
        return ids

    def _wait(self, ids: Sequence[str], deadline: datetime) -> dict[str, Run]:
        """
        Wait for one run after the other, as the trigger does: no longer than for the slowest, and one call per poll.

        :raises RunTimeoutError: not all have ended by then.
        :raises RunUnreachableError: one of them cannot be read.
        """
        from airflow_provider_runflow.runs.waiting import OF_AN_ONLOOKER

        interval, wait = self.poke_interval, self.hook.wait_until
        runs: dict[str, Run] = {}
        for run_id in dict.fromkeys(ids):
            runs[run_id] = wait(run_id, deadline=deadline, poll_interval=interval, advice=OF_AN_ONLOOKER)
        return runs

    def _look(self, ids: Sequence[str]) -> dict[str, Run] | None:
        """Return the runs if all have ended; whether one that cannot be read is lost is for the trigger to find out."""
        runs: dict[str, Run] = {}
        for run_id in dict.fromkeys(ids):
            try:
                runs[run_id] = self.hook.get_run(run_id)
            except ApiError as error:
                self.log.info("Runflow run %s cannot be read yet (%s); waiting for it.", run_id, error)
                return None
            if not runs[run_id].is_terminal:
                return None
        return runs

    def _facts(self, ids: Sequence[str], runs: Mapping[str, Run]) -> dict[str, Any] | list[dict[str, Any]]:
        from airflow_provider_runflow.runs.outcome import not_delivered
        from airflow_provider_runflow.runs.result import run_facts

        if not all(run.is_delivered for run in runs.values()):
            raise not_delivered(list(runs.values()))
        for run_id, run in runs.items():
            if run.status_code == "partial_succeeded":
                self.log.warning("Runflow run %s delivered in part: %d picture(s).", run_id, len(run.output_urls))
        facts = [run_facts(runs[run_id]) for run_id in ids]
        return facts[0] if self.run_ids is None else facts

    def _reschedule(self, context: Any) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise self._late or error from error

    def _defer(self, ids: list[str]) -> None:
        from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger

        allowed = self.timeout
        if self.execution_timeout is not None:
            # Airflow does not apply execution_timeout to a deferral.
            allowed = min(allowed, self.execution_timeout.total_seconds())
        now = self.hook.clock.now().timestamp()
        self.defer(
            trigger=RunCompletionTrigger(
                run_id=ids[0] if self.run_ids is None else list(dict.fromkeys(ids)),
                runflow_conn_id=self.runflow_conn_id,
                poll_interval=self.poke_interval,
                deadline=now + allowed,
                not_before=now + QUIET_AFTER_DEFERRAL,
                end_from_trigger=self.end_from_trigger,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(allowed, QUIET_AFTER_DEFERRAL) + DEFER_BACKSTOP),
        )

    def _show(self, context: Any, ids: Sequence[str]) -> None:
        """Point the task's button to its run; to the task's own XComs when there are several."""
        template = self.hook.settings.run_url_template if self.run_ids is None else None
        ti = context["ti"]
        self.run_url = run_url(template, ids[0], ti) if template else xcoms_page(ti)


def _checked(name: str, run_id: Any) -> str:
    if not isinstance(run_id, str) or not run_id.strip():
        raise InvalidRequestError(f"{name}={run_id!r}: must be the id that submitting a run returned.")
    return run_id.strip()
