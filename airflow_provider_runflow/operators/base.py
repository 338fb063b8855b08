# SPDX-License-Identifier: Apache-2.0
"""What every operator that buys one run has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.boundary import airflow_errors
from airflow_provider_runflow.compat import DEFERRAL_FAILURES
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.links import RUN_XCOM_KEY, run_url
from airflow_provider_runflow.operators.checks import check_operator, wire_input
from airflow_provider_runflow.operators.common import RunflowBaseOperator, push_result, show_usage
from airflow_provider_runflow.operators.shown import shown_request, store_conn_id

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.paid_run import PaidRun
    from airflow_provider_runflow.runs.identity import Request


class RunflowRunOperator(RunflowBaseOperator):
    """
    Buy one run of a model, wait for it, and land what it made. Base of the operators of each model.

    All parameters of :class:`~airflow_provider_runflow.operators.common.RunflowBaseOperator` apply as well.

    :param wait_for_completion: ``False`` returns the run id at once, and lands nothing.
    :param variation: asks for another take of the same request. (templated)
    :param item_key: stable name of this request in its scope; default: the map index. (templated)
    :return: ``{schema_version, run_id, model, status, cost_usd, duration_ms, client_ref, images}``, each also pushed as
        an XCom of its own; ``images`` lists ``{index, uri, content_type, width, height, size_bytes, sha256}``, and
        ``derivatives`` where there are any: ``{name, uri, content_type, width, height, size_bytes, sha256, upscaled,
        recipe}``.
    """

    # What Runflow calls a parameter, where this operator calls it otherwise.
    wire_names: ClassVar[Mapping[str, str]] = {}
    template_fields: Sequence[str] = ("variation", "item_key", *RunflowBaseOperator.template_fields)

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        variation: str | int | None = None,
        item_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.variation = variation
        self.item_key = item_key

    def check_parameters(self) -> None:
        """
        Check what is literal when the DAG is parsed; what is a template is checked before anything is submitted.

        Called at the end of every subclass's ``__init__``.

        :raises InvalidRequestError: naming parameter, value and rule.
        """
        names = (*self.input_fields, "variation", "item_key")
        self.request_is_literal = all(self.is_known(name) for name in names)
        if not self.is_mapped_instance:
            check_operator(self)

    def model_input(self, *, rendered: bool) -> dict[str, Any]:
        """
        Check the model's parameters, and return the ``input`` to send.

        :param rendered: every template has been rendered; before that, templates are left for later.
        :raises InvalidRequestError: naming parameter, value and rule.
        """
        given = {name: self.value_to_check(name, rendered=rendered) for name in self.input_fields}
        later = () if rendered else {name for name in given if not self.is_known(name)}
        return wire_input(self.model, given, self.wire_names, later=later)

    def value_to_check(self, name: str, *, rendered: bool) -> Any:
        """Return a parameter as the model's rules see it, and as it is recorded."""
        return self.final(name) if rendered else getattr(self, name)

    def upload(self, request: Request, known: Mapping[str, str]) -> Mapping[str, str]:
        """
        Upload the files that a request refers to by their hash, right before it is submitted; free of charge.

        :param known: references by sha256 that an earlier try of the same submission uploaded.
        :return: references by sha256.
        """
        return known

    def take(self, parameters: Mapping[str, Any]) -> None:
        """
        Take parameters of the model that became known on the worker only.

        :raises InvalidRequestError: the operator has no such parameter.
        """
        from airflow_provider_runflow.models.base import no_such_parameter

        for name, value in parameters.items():
            if name not in self.input_fields:
                raise InvalidRequestError(f"{self.model}: {no_such_parameter(name, self.input_fields)}")
            self.keep(name, value)

    def before_request(self, context: Any) -> None:
        """Give parameters their final values: called after rendering, before the request is made of them."""

    def check_request(self, request: Request) -> None:
        """
        Look at a request that is about to be submitted.

        :raises BeforeMoneyError: it must not be; nothing is submitted then.
        """

    def execute(self, context: Any) -> dict[str, Any]:
        """Find or buy the run, wait for it, land it; or defer."""
        with self._errors(context, lambda: self._bought(context)):
            job = self._paid_run(context)
            result = job.start()
            self.show_run(context, job, result)
            if result is None:
                result = job.without_waiting() if not self.wait_for_completion else job.look_once()
            if result is None and self.deferrable:
                self._defer(job)
            return self._finish(context, job, job.wait_and_land() if result is None else result)

    def execute_complete(
        self, context: Any, event: Mapping[str, Any] | None, pending: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """
        Land the run that the trigger watched.

        :param event: of :class:`~airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger`.
        :param pending: the journal's record as it was when the task deferred. ``dag.test()`` does not pass it on; then
            journal and look-up find the run again.
        """

        def bought() -> str | None:
            return (pending or {}).get("run_id") or self._bought(context) or "of this task"

        with self._errors(context, bought):
            job = self._paid_run(context, pending)
            result = job.attach() if pending is None else None
            self.show_run(context, job, result)
            return self._finish(context, job, job.resume(event) if result is None else result)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """
        Resume; and when Airflow itself ended the deferral (timeout, dead trigger), land the run if it has finished.

        :raises RunTimeoutError: the run goes on; a retry attaches to it.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except DEFERRAL_FAILURES as error:
            self.log.warning("Airflow ended the deferral (%s). Reading the run once more.", error)
            with self._errors(context, lambda: self._bought(context) or "of this task"):
                job = self._paid_run(context)
                result = job.rescue(error)
                self.show_run(context, job, result)
                return self._finish(context, job, result)

    def on_kill(self) -> None:
        """Say what happens to the run, and cancel it when asked to."""
        job: PaidRun | None = self.__dict__.get("_job")
        if job is None:
            return
        if job.run_id is None:
            if job.engine.sent:
                self.log.warning("Killed while submitting. A retry looks for the run before it pays.")
        elif job.ended:
            self.log.warning("Killed. Runflow run %s has ended and is paid; a retry lands it for $0.", job.run_id)
        elif self.cancel_on_kill:
            self.hook.cancel_run(job.run_id, "Airflow task killed")
        else:
            self.log.warning("Killed. Runflow run %s goes on and bills; a retry attaches to it for $0.", job.run_id)

    def show_run(self, context: Any, job: PaidRun, result: Mapping[str, Any] | None = None) -> None:
        """Show the run in the UI, before the task waits for it: an XCom for people, and the link's target."""
        run_id = result["run_id"] if result else job.run_id
        if run_id is None:
            return
        task = job.scope.task
        self.run_url = run_url(self.hook.settings.run_url_template, run_id, task)
        if self.do_xcom_push:
            shown = shown_request(job.request, item_key=self.item_key, conn_id=store_conn_id(self))
            facts = {"run_id": run_id, "model": self.model, "client_ref": job.scope.client_ref, **shown}
            context["ti"].xcom_push(key=RUN_XCOM_KEY, value=facts)

    @contextmanager
    def _errors(self, context: Any, bought: Callable[[], str | None]) -> Iterator[None]:
        """Say what was paid, however it ended; and let Airflow act on errors as it can."""
        with airflow_errors(self, bought, context):
            try:
                yield
            except Exception:
                self._show_usage(context)
                raise
            self._show_usage(context)

    def _show_usage(self, context: Any) -> None:
        from airflow_provider_runflow.runs.usage import Usage

        job: PaidRun | None = self.__dict__.get("_job")
        if job is not None and job.spent is not None:
            show_usage(self, context, Usage(self.model, (job.spent,)))

    def _bought(self, context: Any) -> str | None:
        """Return the id of the run that this task has, for messages; asks the journal if nothing else knows."""
        from airflow_provider_runflow.operators.parts import recorded_run

        job: PaidRun | None = self.__dict__.get("_job")
        return (job.run_id if job else None) or recorded_run(context)

    def _paid_run(self, context: Any, pending: Mapping[str, Any] | None = None) -> PaidRun:
        from airflow_provider_runflow.operators.parts import make_paid_run

        if pending is None:
            self.before_request(context)
        self._job = make_paid_run(self, context, pending)
        return self._job

    def _defer(self, job: PaidRun) -> None:
        until = job.deadline.isoformat(timespec="seconds")
        self.log.info("Waiting for Runflow run %s in the triggerer, until %s at the latest.", job.run_id, until)
        self.defer_until(job.deadline.timestamp(), job.pending(), run_id=str(job.run_id))

    def _finish(self, context: Any, job: PaidRun, result: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_runflow.operators.verdict import usable

        landed = usable(result)
        if landed:
            self.announce(context, result, landed, [job.engine.scope.item_key])
        if job.failure is None:
            return result
        push_result(self, context, result)
        raise job.failure
