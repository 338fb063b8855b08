# SPDX-License-Identifier: Apache-2.0
"""Many requests in one task: submitted together, waited for with one deferral, landed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.boundary import airflow_errors
from airflow_provider_runflow.compat import DEFERRAL_FAILURES, conf
from airflow_provider_runflow.exceptions import (
    BatchEndedError,
    BatchError,
    InvalidRequestError,
    ReferenceUnreadableError,
    RunBlockedError,
    RunflowError,
)
from airflow_provider_runflow.links import BATCH_XCOM_KEY
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.checks import check_common, filled_in, is_literal, wire_input
from airflow_provider_runflow.operators.common import RunflowBaseOperator, push_result, show_usage

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.batch_parts import BatchTask
    from airflow_provider_runflow.runs.identity import Request
    from airflow_provider_runflow.runs.items import Item

MAX_IN_FLIGHT = 64


class RunflowBatchOperator(RunflowBaseOperator):
    """
    Buy a run for each of many items, wait for all with one deferral, and land what they made. Base of the batch
    operators of each model.

    Items are independent: one that fails stops no other, and a retry pays only for what can still succeed. All
    parameters of :class:`~airflow_provider_runflow.operators.common.RunflowBaseOperator` apply as well; a batch needs a
    ``destination``, and its ``filename_pattern`` may use the labels of its items.

    :param requests: the items: a list of mappings, another task's output, or a path to a ``.jsonl``, ``.json`` or
        ``.yaml`` file beside the DAG file or in object storage. An item is ``{key, labels, alt_text, variation, …any
        parameter of the single operator}``. ``key`` names it in its scope; without one, it is made of the labels alone,
        so that an edited prompt keeps its name. What is not given is that of the task. Items are data, not templates:
        copy may contain ``{{ }}``; the path is a template.
    :param render_items: render the texts within the items as templates after all.
    :param requests_conn_id: Airflow connection of the store that ``requests`` is a path in. (templated)
    :param min_success: how many items must succeed for the task to succeed: a number, or a share such as ``"95%"``.
        Default: all. (templated)
    :param max_in_flight: requests of this task that are in flight at once, 1-64: while it submits, and while it lands.
    :param requests_per_minute: how many runs this task submits a minute at most. Default: as fast as Runflow takes
        them. Several tasks share nothing: a pool bounds how many of them run.
    :param tag_objects: S3: tag each picture with the labels of its item (at most 10, as S3 allows).
    :return: ``{schema_version, status, model, counts, succeeded, failed, cost_usd, client_ref, manifest_uri,
        failures}``, each also pushed as an XCom of its own and small, however many items there are. What became of each
        item stands in the manifest, which :func:`~airflow_provider_runflow.manifest.read_manifest` reads.
    """

    #: Whose parameters an item has.
    single: ClassVar[type[RunflowRunOperator]]
    #: Those of them that the task gives to all items.
    shared_fields: ClassVar[tuple[str, ...]] = ()
    template_fields: Sequence[str] = (
        "requests",
        "requests_conn_id",
        "min_success",
        *RunflowBaseOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RunflowBaseOperator.template_fields_renderers,
        "requests": "json",
    }

    def __init__(
        self,
        *,
        requests: Any,
        render_items: bool = False,
        requests_conn_id: str | None = None,
        min_success: int | str | None = None,
        max_in_flight: int = 16,
        requests_per_minute: float | None = None,
        tag_objects: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.requests = requests
        self.render_items = render_items
        self.requests_conn_id = requests_conn_id
        self.min_success = min_success
        self.max_in_flight = max_in_flight
        self.requests_per_minute = requests_per_minute
        self.tag_objects = tag_objects

    def check_parameters(self) -> None:
        """
        Check what is literal when the DAG is parsed; the rest is checked before anything is submitted.

        Called at the end of every subclass's ``__init__``.

        :raises InvalidRequestError: naming parameter, value and rule.
        """
        known = self.is_known("requests") and all(map(self.is_known, self.shared_fields))
        # A file may say something else at each try.
        self.requests_are_literal = known and not isinstance(self.requests, str)
        if self.is_mapped_instance:
            return
        self.check_task(rendered=False)
        if not isinstance(self.requests, str) and self.is_known("requests"):
            from airflow_provider_runflow.runs.items import parse_items
            from airflow_provider_runflow.runs.tally import needed

            items = parse_items(self.requests, self.single.input_fields)
            if self.is_known("min_success"):
                needed(self.min_success, len(items))
            self._check_together(items, self.inputs_of(items, rendered=False))

    def _check_together(self, items: Sequence[Item], inputs: Sequence[Mapping[str, Any]]) -> None:
        from airflow_provider_runflow.landing.names import DEFAULT_PATTERN
        from airflow_provider_runflow.operators.batch_checks import check_labels_as_tags, check_names

        if self.tag_objects:
            check_labels_as_tags(items)
        if self.filename_pattern is None or self.is_known("filename_pattern"):
            wanted = [(item, self.model_of(item), wire) for item, wire in zip(items, inputs, strict=True)]
            check_names(self.filename_pattern or DEFAULT_PATTERN, wanted, task_id=self.task_id, map_index=None)

    def check_task(self, *, rendered: bool) -> None:
        """
        Check what belongs to the task, not to an item.

        :raises InvalidRequestError: naming parameter, value and rule.
        """
        check_common(self, rendered=rendered)
        at_once: Any = self.max_in_flight
        if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= MAX_IN_FLIGHT:
            raise InvalidRequestError(f"max_in_flight={at_once!r}: must be a whole number from 1 to {MAX_IN_FLIGHT}.")
        rate: Any = self.requests_per_minute
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0):
            raise InvalidRequestError(f"requests_per_minute={rate!r}: must be a number above 0, or None.")
        if self.destination is None and not conf.get("runflow", "default_destination", fallback=None):
            raise InvalidRequestError(
                "destination: a batch needs one (or [runflow] default_destination): its manifest lies there."
            )
        if self.tag_objects and self.destination is not None and (rendered or self.is_known("destination")):
            from airflow_provider_runflow.stores import check_tagged

            check_tagged(self.destination)
        if rendered or self.is_known("min_success"):
            from airflow_provider_runflow.runs.tally import needed

            needed(self.min_success, 0)

    def is_known(self, name: str) -> bool:
        """Whether a parameter has its final value when the DAG is parsed; of items only outputs of tasks have not."""
        if name != "requests" or isinstance(self.requests, str):
            return super().is_known(name)
        return is_literal(self.requests, self.template_ext, templated=self.render_items)

    def render_template(self, content: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Render everything but the items."""
        if content is not self.requests or self.render_items or isinstance(content, str):
            return super().render_template(content, context, *args, **kwargs)
        return filled_in(content, context)

    def inputs_of(
        self,
        items: Sequence[Item],
        *,
        rendered: bool,
        unreadable: Callable[[Item, ReferenceUnreadableError], Mapping[str, Any]] | None = None,
    ) -> list[Mapping[str, Any]]:
        """
        Check the model's parameters of all items, and return the ``input`` to send of each.

        :param unreadable: returns the input of an item whose files cannot be read, or raises.
        :raises InvalidRequestError: naming each wrong item, parameter, value and rule.
        """
        from airflow_provider_runflow.runs.items import raise_all

        inputs: list[Mapping[str, Any]] = []
        wrong: list[str] = []
        for item in items:
            try:
                inputs.append(self.item_input(item, rendered=rendered))
            except InvalidRequestError as error:
                wrong.append(f"Item {item.key!r}: {error}")
            except ReferenceUnreadableError as error:
                if unreadable is None:
                    raise
                inputs.append(unreadable(item, error))
        raise_all(wrong)
        return inputs

    def item_input(self, item: Item, *, rendered: bool) -> dict[str, Any]:
        """
        Check the model's parameters of one item, and return the ``input`` to send.

        :param rendered: every template has been rendered, and files can be read.
        :raises InvalidRequestError: naming parameter, value and rule.
        """
        shared = {name: self.final(name) for name in self.shared_fields}
        given = {**shared, **item.parameters}
        values = {name: self.item_value(name, value, rendered=rendered) for name, value in given.items()}
        later = () if rendered else {name for name in shared if name not in item.parameters and not self.is_known(name)}
        return wire_input(self.model_of(item), values, self.single.wire_names, later=later)

    def item_value(self, name: str, value: Any, *, rendered: bool) -> Any:
        """Return a parameter of an item as the model's rules see it, and as it is recorded."""
        return self.stand_ins(value, rendered=rendered) if name in self.single.wire_names else value

    def stand_ins(self, value: Any, *, rendered: bool) -> Any:
        """Let hashes stand for private files, where an operator reads such."""
        return value

    def model_of(self, item: Item) -> str:
        """Return the model that draws an item."""
        return self.model

    def upload(self, request: Request, known: Mapping[str, str]) -> Mapping[str, str]:
        """Upload the files that a request refers to, as the single operator does."""
        return known

    def check_request(self, request: Request) -> None:
        """Look at a request that is about to be submitted; raises what keeps it from being."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Find or buy the run of each item, wait for them, land them; or defer."""
        with self._errors(context), self._task(context) as task:
            task.submit()
            return self._go_on(context, task, None)

    def execute_complete(
        self, context: Any, event: Mapping[str, Any] | None, pending: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """
        Land the runs that the trigger watched.

        :param event: of :class:`~airflow_provider_runflow.triggers.run_completion.RunCompletionTrigger`.
        :param pending: what :meth:`BatchTask.pending` told. ``dag.test()`` does not pass it on; then journal and
            look-up alone tell what was submitted.
        """
        with (
            airflow_errors(self, lambda: self._bought(context) or "of this task", context),
            self._task(context) as task,
        ):
            task.rejoin(pending)
            return self._go_on(context, task, event or {})

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume; and when Airflow itself ended the deferral (timeout, dead trigger), land what has finished."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except DEFERRAL_FAILURES as error:
            self.log.warning("Airflow ended the deferral (%s). Reading the runs once more.", error)
            with (
                airflow_errors(self, lambda: self._bought(context) or "of this task", context),
                self._task(context) as task,
            ):
                task.rejoin((next_kwargs or {}).get("pending"))
                return self._go_on(context, task, {"status": "deferral_failed"})

    def on_kill(self) -> None:
        """Say what happens to the runs, and cancel them when asked to."""
        task: BatchTask | None = self.__dict__.get("_batch_task")
        if task is not None:
            task.kill(cancel=self.cancel_on_kill)

    def _errors(self, context: Any, otherwise: str | None = None) -> AbstractContextManager[None]:
        return airflow_errors(self, lambda: self._bought(context) or otherwise, context)

    def _task(self, context: Any) -> BatchTask:
        from airflow_provider_runflow.operators.batch_parts import make_batch_task

        self._batch_task = make_batch_task(self, context)
        return self._batch_task

    def _bought(self, context: Any) -> str | None:
        """Name a run that this task has, for messages; asks the journal if nothing else knows."""
        from airflow_provider_runflow.operators.batch_parts import recorded_run

        task: BatchTask | None = self.__dict__.get("_batch_task")
        return task.bought if task is not None else recorded_run(context)

    def _go_on(self, context: Any, task: BatchTask, event: Mapping[str, Any] | None) -> dict[str, Any]:
        """Wait if there is something to wait for, land, and judge."""
        self._show(context, task)
        batch = task.batch
        if event is not None:
            batch.land(event)
        # With an event there is something left only if one trigger could not watch all.
        if batch.waiting and (event is None or event.get("status") == "finished"):
            if self.deferrable:
                self._defer(task)
            batch.land(batch.wait())
        return self._finish(context, task)

    def _defer(self, task: BatchTask) -> None:
        batch, pending = task.batch, task.pending()
        if pending is None:
            self.log.warning(
                "This Airflow has no task state store, and the API key may not list runs: %d runs are too many to find "
                "again after a deferral, so this task waits on its worker.",
                len(batch.waiting),
            )
            return
        until = batch.deadline.isoformat(timespec="seconds")
        self.log.info("Waiting for %d runs in the triggerer, until %s at the latest.", len(batch.waiting), until)
        self.defer_until(batch.deadline.timestamp(), pending, **batch.watched())

    def _show(self, context: Any, task: BatchTask) -> None:
        """Show the batch in the UI, before the task waits for it."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key=BATCH_XCOM_KEY, value=task.facts())

    def _finish(self, context: Any, task: BatchTask) -> dict[str, Any]:
        result = task.finish()
        show_usage(self, context, task.usage)
        self.announce(context, result, *task.landed)
        error = task.failure or self._too_few(task)
        if error is None:
            return result
        push_result(self, context, result)
        raise error

    @staticmethod
    def _too_few(task: BatchTask) -> RunflowError | None:
        if not task.counted:
            paid = task.report.cost_usd if task.report else None
            money = f"${paid} is billed" if paid else "nothing was billed"
            return RunBlockedError(f"Content moderation refused all {len(task.items)} items; {money}.")
        missing = task.missing
        if missing is None:
            return None
        text, can_retry = missing
        return (BatchError if can_retry else BatchEndedError)(text)
