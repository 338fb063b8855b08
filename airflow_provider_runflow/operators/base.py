# SPDX-License-Identifier: Apache-2.0
"""What every operator that buys one run has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.boundary import airflow_errors
from airflow_provider_runflow.compat import DEFERRAL_FAILURES, BaseOperator, conf, mask_secret
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RUN_XCOM_KEY, RunflowRunLink, run_url
from airflow_provider_runflow.operators.checks import check_operator, is_literal, seconds
from airflow_provider_runflow.runs.identity import unsigned

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.paid_run import PaidRun
    from airflow_provider_runflow.runs.identity import Request

DEFAULT_TIMEOUT = 1800.0
# Airflow up to 3.3.2 fails a task whose trigger fires while the executor still reports the deferral.
QUIET_AFTER_DEFERRAL = 5.0
# The trigger owns the deadline; Airflow's own is a later backstop, since it resumes the task without its kwargs.
DEFER_BACKSTOP = 300.0


class RunflowRunOperator(BaseOperator):
    """
    Buy one run of a model, wait for it, and land what it made. Base of the operators of each model.

    :param runflow_conn_id: id of the Airflow connection of type ``runflow``. (templated)
    :param deferrable: wait in the triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between looks at the run.
    :param timeout: seconds (or a timedelta) that the run may take, counted from its submission. The run itself goes on
        after that, and a retry attaches to it. A shorter ``execution_timeout`` applies to a deferred wait too.
    :param wait_for_completion: ``False`` returns the run id at once, and lands nothing.
    :param destination: prefix where pictures land, such as ``s3://bucket/heroes`` or any scheme that
        ``ObjectStoragePath`` knows. Default: ``[runflow] default_destination``. (templated)
    :param filename_pattern: name below the destination, from ``{task_id} {map_index} {key} {index} {take} {ext}
        {runflow_run_id} {request}``. The default is unique for each request. (templated)
    :param replace: overwrite another picture that has the name. With ``False`` a taken name is an error before anything
        is submitted.
    :param sidecars: where the JSON beside each picture goes: ``beside``, another prefix, or ``None``. (templated)
    :param reuse_within: within what the same request is paid once: ``retries`` (a clear buys anew), ``dag_run`` (clears
        count as retries) or ``destination`` (later DAG runs reuse what landed).
    :param on_unknown: when nothing can tell whether the request was bought: ``fail`` stops, ``resubmit`` pays again.
    :param variation: asks for another take of the same request. (templated)
    :param item_key: stable name of this request in its scope; default: the map index. (templated)
    :param metadata: JSON object that Runflow keeps with the run; the key ``airflow`` is taken. (templated)
    :param callback_url: Runflow POSTs to it at the end, at most 2048 characters. (templated)
    :param cancel_on_kill: try to cancel the run when the task is killed. Needs an organisation administrator's key, and
        does not refund; otherwise the run goes on, bills, and a retry attaches to it.
    :param aws_conn_id: connection for an ``s3://`` destination. (templated)
    :param encrypt: S3: encrypt on the server side (AES256).
    :param acl_policy: S3: canned ACL.
    :param cache_control: S3: ``Cache-Control`` of the pictures.
    :param extra_args: S3: any other argument of ``put_object``, such as ``{"StorageClass": "STANDARD_IA"}``.
    :return: ``{schema_version, run_id, model, status, cost_usd, duration_ms, client_ref, images}``, each also pushed as
        an XCom of its own; ``images`` lists ``{index, uri, content_type, width, height, size_bytes, sha256}``.
    """

    model: str
    input_fields: ClassVar[tuple[str, ...]] = ()
    # What Runflow calls a parameter, where this operator calls it otherwise.
    wire_names: ClassVar[Mapping[str, str]] = {}
    template_fields: Sequence[str] = (
        "destination",
        "filename_pattern",
        "sidecars",
        "variation",
        "item_key",
        "metadata",
        "callback_url",
        "runflow_conn_id",
        "aws_conn_id",
    )
    template_ext: Sequence[str] = (".prompt.j2",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"metadata": "json"}
    operator_extra_links = (RunflowRunLink(),)
    ui_color = "#efe7fb"

    def __init__(
        self,
        *,
        runflow_conn_id: str = RunflowHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        wait_for_completion: bool = True,
        destination: str | None = None,
        filename_pattern: str | None = None,
        replace: bool = False,
        sidecars: str | None = "beside",
        reuse_within: str = "dag_run",
        on_unknown: str = "fail",
        variation: str | int | None = None,
        item_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        cancel_on_kill: bool = False,
        aws_conn_id: str | None = "aws_default",
        encrypt: bool = False,
        acl_policy: str | None = None,
        cache_control: str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.runflow_conn_id = runflow_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.wait_for_completion = wait_for_completion
        self.destination = destination
        self.filename_pattern = filename_pattern
        self.replace = replace
        self.sidecars = sidecars
        self.reuse_within = reuse_within
        self.on_unknown = on_unknown
        self.variation = variation
        self.item_key = item_key
        self.metadata = metadata
        self.callback_url = callback_url
        self.cancel_on_kill = cancel_on_kill
        self.aws_conn_id = aws_conn_id
        self.encrypt = encrypt
        self.acl_policy = acl_policy
        self.cache_control = cache_control
        self.extra_args = extra_args

    def check_parameters(self) -> None:
        """
        Check what is literal when the DAG is parsed; what is a template is checked before anything is submitted.

        Called at the end of every subclass's ``__init__``. A mapped instance is made on the worker, where an error here
        would only waste the task's retries: there, ``execute`` checks it.

        :raises InvalidRequestError: naming parameter, value and rule.
        """
        names = (*self.input_fields, "variation", "item_key")
        self.request_is_literal = all(self.is_known(name) for name in names)
        if not getattr(self, "_BaseOperator__from_mapped", False):
            check_operator(self)

    def is_known(self, name: str) -> bool:
        """Whether a parameter has its final value when the DAG is parsed."""
        return is_literal(getattr(self, name), self.template_ext)

    def model_input(self, *, rendered: bool) -> dict[str, Any]:
        """
        Check the model's parameters, and return the ``input`` to send.

        :param rendered: every template has been rendered; before that, templates are left for later.
        :raises InvalidRequestError: naming parameter, value and rule.
        """
        from airflow_provider_runflow.models import get_model

        wire = {name: self.wire_names.get(name, name) for name in self.input_fields}
        given = {wire[name]: self.value_to_check(name, rendered=rendered) for name in wire}
        later = () if rendered else {wire[name] for name in wire if not self.is_known(name)}
        return get_model(self.model).validate(given, skip=later, called={wire[name]: name for name in wire})

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

    def keep(self, name: str, value: Any) -> None:
        """Give a parameter its final value; the attribute, which Airflow shows, holds no signature of an address."""
        mask_queries(value)
        shown = unsigned(value)
        if shown == value:
            setattr(self, name, value)
        else:
            self.__dict__.setdefault("_signed", {})[name] = (shown, value)
            setattr(self, name, shown)

    def final(self, name: str) -> Any:
        """Return a parameter's final value, as it is sent."""
        value = getattr(self, name)
        shown, signed = self.__dict__.get("_signed", {}).get(name, (None, None))
        return signed if value is shown else value

    def before_request(self, context: Any) -> None:
        """Give parameters their final values: called after rendering, before the request is made of them."""

    def check_request(self, request: Request) -> None:
        """
        Look at a request that is about to be submitted.

        :raises BeforeMoneyError: it must not be; nothing is submitted then.
        """

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        super()._do_render_template_fields(parent, *args, **kwargs)
        for name in self.input_fields if parent is self else ():
            self.keep(name, getattr(self, name))

    @cached_property
    def hook(self) -> RunflowHook:
        """The hook of this task's connection."""
        return RunflowHook(self.runflow_conn_id)

    @property
    def wait_seconds(self) -> float:
        """Seconds that a run may take, from its submission."""
        allowed = seconds("timeout", self.timeout)
        if self.deferrable and self.execution_timeout is not None:
            # Airflow does not apply execution_timeout to a deferral.
            allowed = min(allowed, self.execution_timeout.total_seconds())
        return allowed

    def execute(self, context: Any) -> dict[str, Any]:
        """Find or buy the run, wait for it, land it; or defer."""
        with airflow_errors(self, lambda: self._bought(context)):
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
        with airflow_errors(self, lambda: (pending or {}).get("run_id") or self._bought(context) or "of this task"):
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
            with airflow_errors(self, lambda: self._bought(context) or "of this task"):
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
            facts = {"run_id": run_id, "model": self.model, "client_ref": job.scope.client_ref}
            context["ti"].xcom_push(key=RUN_XCOM_KEY, value=facts)

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
        from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger

        now = self.hook.clock.now().timestamp()
        deadline = job.deadline.timestamp()
        until = job.deadline.isoformat(timespec="seconds")
        self.log.info("Waiting for Runflow run %s in the triggerer, until %s at the latest.", job.run_id, until)
        self.defer(
            trigger=RunCompletionTrigger(
                run_id=str(job.run_id),
                runflow_conn_id=self.runflow_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                not_before=now + QUIET_AFTER_DEFERRAL,
                cancel_on_kill=self.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"pending": job.pending()},
            timeout=timedelta(seconds=max(deadline - now, QUIET_AFTER_DEFERRAL) + DEFER_BACKSTOP),
        )

    def _finish(self, context: Any, job: PaidRun, result: dict[str, Any]) -> dict[str, Any]:
        if job.failure is None:
            return result
        push_result(self, context, result)
        raise job.failure


def mask_queries(value: Any) -> None:
    """Have Airflow mask the query of every address in a value, in logs: whoever has it has the picture."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            mask_queries(item)
    elif isinstance(value, str) and (address := unsigned(value)) != value:
        mask_secret(value[len(address) + 1 :])


def push_result(operator: BaseOperator, context: Any, result: Mapping[str, Any]) -> None:
    """Show what is paid even though the task fails: Airflow pushes no return value then."""
    if operator.do_xcom_push:
        for name, value in {**result, "return_value": dict(result)}.items():
            context["ti"].xcom_push(key=name, value=value)
