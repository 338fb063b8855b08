# SPDX-License-Identifier: Apache-2.0
"""What every operator that buys pictures has in common: connection, wait, destination, scope."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.compat import BaseOperator, conf, mask_secret
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RunflowRunLink
from airflow_provider_runflow.operators.checks import is_literal, seconds
from airflow_provider_runflow.runs.identity import unsigned

if TYPE_CHECKING:
    from airflow_provider_runflow.runs.usage import Usage

DEFAULT_TIMEOUT = 1800.0
# Airflow up to 3.3.2 fails a task whose trigger fires while the executor still reports the deferral.
QUIET_AFTER_DEFERRAL = 5.0
# The trigger owns the deadline; Airflow's own is a later backstop, since it resumes the task without its kwargs.
DEFER_BACKSTOP = 300.0
USAGE_XCOM_KEY = "usage"


class RunflowBaseOperator(BaseOperator):
    """
    Base of all operators that buy.

    :param runflow_conn_id: id of the Airflow connection of type ``runflow``. (templated)
    :param deferrable: wait in the triggerer instead of on a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: seconds between looks at a run.
    :param timeout: seconds (or a timedelta) that a run may take, counted from its submission. The run itself goes on
        after that, and a retry attaches to it. A shorter ``execution_timeout`` applies to a deferred wait too.
    :param destination: prefix where pictures land, such as ``s3://bucket/heroes`` or any scheme that
        ``ObjectStoragePath`` knows. Default: ``[runflow] default_destination``. (templated)
    :param filename_pattern: name below the destination, from ``{task_id} {map_index} {key} {index} {take} {ext}
        {runflow_run_id} {request}``. The default is unique for each request. (templated)
    :param replace: overwrite another picture that has the name. With ``False`` a taken name is an error before anything
        is submitted.
    :param sidecars: where the JSON beside each picture goes: ``beside``, another prefix, or ``None``. (templated)
    :param derivatives: exact channel sizes, made beside each untouched master for $0: a list of presets by name, such
        as ``["meta_feed", "stories"]``, or mappings ``{name or preset, width, height, fit, focal_point, max_bytes,
        format, background, quantize}`` (docs/channel-sizes.md). Needs the extra ``[derivatives]``. (templated)
    :param reuse_within: within what the same request is paid once: ``retries`` (a clear buys anew), ``dag_run`` (clears
        count as retries) or ``destination`` (later DAG runs reuse what landed).
    :param on_unknown: when nothing can tell whether a request was bought: ``fail`` stops, ``resubmit`` pays again.
    :param on_blocked: when content moderation refuses a picture: ``fail``, or ``skip`` the task (of a batch only the
        item, which then counts neither as a success nor as a failure). It is not tried again unchanged in any case.
    :param max_cost_usd: USD that this task may cost, over all its attempts: what is billed, what is in flight, and what
        is about to be submitted at its estimated price, or at that of the dearest run so far. What could pass it is not
        submitted. Each mapped task instance has its own. Default: ``[runflow] default_max_cost_usd``. (templated)
    :param check_balance: ask for the account's balance before the first submission, and submit nothing if it does not
        cover the estimate of all that is to be bought; needs the scope ``credit_balance:read``. Without it, Runflow
        refuses the first request that the balance does not cover, and nothing more is submitted then.
    :param metadata: JSON object that Runflow keeps with each run; the key ``airflow`` is taken. (templated)
    :param callback_url: Runflow POSTs to it at the end, at most 2048 characters. (templated)
    :param cancel_on_kill: try to cancel runs when the task is killed. Needs an organisation administrator's key, and
        does not refund; otherwise they go on, bill, and a retry attaches to them.
    :param aws_conn_id: connection for an ``s3://`` destination. (templated)
    :param partition_assets: with an asset among the ``outlets``: emit a partition for each picture, named by its item
        key (Airflow 3.3). For assets whose consumers are scheduled by partitions.
    :param encrypt: S3: encrypt on the server side (AES256).
    :param acl_policy: S3: canned ACL.
    :param cache_control: S3: ``Cache-Control`` of the pictures.
    :param extra_args: S3: any other argument of ``put_object``, such as ``{"StorageClass": "STANDARD_IA"}``.
    """

    model: str
    input_fields: ClassVar[tuple[str, ...]] = ()
    template_fields: Sequence[str] = (
        "destination",
        "filename_pattern",
        "sidecars",
        "derivatives",
        "max_cost_usd",
        "metadata",
        "callback_url",
        "runflow_conn_id",
        "aws_conn_id",
    )
    template_ext: Sequence[str] = (".prompt.j2",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"metadata": "json", "derivatives": "json"}
    operator_extra_links = (RunflowRunLink(),)
    ui_color = "#efe7fb"

    def __init__(
        self,
        *,
        runflow_conn_id: str = RunflowHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        destination: str | None = None,
        filename_pattern: str | None = None,
        replace: bool = False,
        sidecars: str | None = "beside",
        derivatives: Sequence[Any] | None = None,
        reuse_within: str = "dag_run",
        on_unknown: str = "fail",
        on_blocked: str = "fail",
        max_cost_usd: Decimal | float | str | None = None,
        check_balance: bool = False,
        metadata: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
        cancel_on_kill: bool = False,
        partition_assets: bool = False,
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
        self.destination = destination
        self.filename_pattern = filename_pattern
        self.replace = replace
        self.sidecars = sidecars
        self.derivatives = derivatives
        self.reuse_within = reuse_within
        self.on_unknown = on_unknown
        self.on_blocked = on_blocked
        self.max_cost_usd = max_cost_usd
        self.check_balance = check_balance
        self.metadata = metadata
        self.callback_url = callback_url
        self.cancel_on_kill = cancel_on_kill
        self.partition_assets = partition_assets
        self.aws_conn_id = aws_conn_id
        self.encrypt = encrypt
        self.acl_policy = acl_policy
        self.cache_control = cache_control
        self.extra_args = extra_args

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """As of every operator; and warn, when the DAG is parsed, of a cap that each mapped instance has for itself."""
        if kwargs.get("max_cost_usd") is not None:
            warnings.warn(
                f"{kwargs.get('task_id')}: max_cost_usd={kwargs['max_cost_usd']} in partial() caps each mapped task "
                "instance by itself, not all of them together. One batch task has one cap for all of its items.",
                UserWarning,
                stacklevel=2,
            )
        return super().partial(**kwargs)

    @property
    def is_mapped_instance(self) -> bool:
        """
        Whether this was made of a mapped task, which happens on the worker.

        An error in its ``__init__`` would only waste the task's retries there: ``execute`` checks its parameters.
        """
        return bool(getattr(self, "_BaseOperator__from_mapped", False))

    def is_known(self, name: str) -> bool:
        """Whether a parameter has its final value when the DAG is parsed."""
        return is_literal(getattr(self, name), self.template_ext)

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

    def announce(
        self, context: Any, result: Mapping[str, Any], images: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> None:
        """
        Tell assets and lineage what landed.

        :param result: what the operator returns.
        :param images: what landed.
        :param keys: item keys, for partitions.
        """
        from airflow_provider_runflow.operators.lineage import announce, event_extra

        self.__dict__["_landed_uris"] = [str(image["uri"]) for image in images if image.get("uri")]
        partitions = [key for key in keys if key] if self.partition_assets else ()
        extra = event_extra(result, images)
        if len(partitions) > 1:
            extra["images"] = []  # each partition's event holds all of the extra
        announce(self.outlets or (), context, extra, partitions)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Name the landed pictures as output datasets; called by Airflow's OpenLineage provider."""
        from airflow_provider_runflow.operators.lineage import output_datasets

        return output_datasets(self.__dict__.get("_landed_uris", ()))

    def defer_until(self, deadline: float, pending: Mapping[str, Any], **watched: Any) -> None:
        """
        Wait in the triggerer; comes back in ``execute_complete``.

        :param deadline: POSIX time.
        :param pending: what resuming needs, in JSON types.
        :param watched: which runs, as :class:`~airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger`
            takes them.
        """
        from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger

        now = self.hook.clock.now().timestamp()
        self.defer(
            trigger=RunCompletionTrigger(
                runflow_conn_id=self.runflow_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                not_before=now + QUIET_AFTER_DEFERRAL,
                cancel_on_kill=self.cancel_on_kill,
                **watched,
            ),
            method_name="execute_complete",
            kwargs={"pending": pending},
            timeout=timedelta(seconds=max(deadline - now, QUIET_AFTER_DEFERRAL) + DEFER_BACKSTOP),
        )


def mask_queries(value: Any) -> None:
    """Have Airflow mask the query of every address in a value, in logs: whoever has it has the picture."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            mask_queries(item)
    elif isinstance(value, str) and (address := unsigned(value)) != value:
        mask_secret(value[len(address) + 1 :])


def show_usage(operator: BaseOperator, context: Any, usage: Usage) -> None:
    """Push what a task paid as its XCom ``usage``, however it ended, and say where bill and estimate differ."""
    if usage.difference:
        operator.log.info("%s", usage.difference)
    if not operator.do_xcom_push:
        return
    try:
        context["ti"].xcom_push(key=USAGE_XCOM_KEY, value=usage.to_json())
    except Exception as trouble:  # the pictures are there, whatever keeps this from being shown
        operator.log.warning("What was paid cannot be shown as an XCom (%s): %s", trouble, usage.to_json())


def push_result(operator: BaseOperator, context: Any, result: Mapping[str, Any]) -> None:
    """Show what is paid even though the task fails: Airflow pushes no return value then."""
    if operator.do_xcom_push:
        for name, value in {**result, "return_value": dict(result)}.items():
            context["ti"].xcom_push(key=name, value=value)
