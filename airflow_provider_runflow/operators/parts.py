# SPDX-License-Identifier: Apache-2.0
"""From an operator with rendered parameters to its paid run: scope, request, journal, delivery, engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.compat import conf, stats
from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError, ReferenceUnreadableError
from airflow_provider_runflow.operators.checks import check_operator, check_quality
from airflow_provider_runflow.operators.delivery import Delivery, LandingPlace, place_facts
from airflow_provider_runflow.operators.paid_run import PaidRun
from airflow_provider_runflow.runs.budget import Budget, price_of, read_limit
from airflow_provider_runflow.runs.engine import RunEngine
from airflow_provider_runflow.runs.identity import OnUnknown, Request, Scope, TaskIdentity, make_scope
from airflow_provider_runflow.runs.journal import Journal, Record
from airflow_provider_runflow.stores.task_state import open_journal

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.derivatives import Derivative
    from airflow_provider_runflow.operators.base import RunflowRunOperator
    from airflow_provider_runflow.operators.common import RunflowBaseOperator


@dataclass
class TaskParts:
    """
    What all requests of one task share.

    :param operator: with rendered parameters.
    :param task: who asks.
    :param destination: rendered; ``None`` lands nothing.
    :param journal: what earlier attempts recorded.
    """

    operator: RunflowBaseOperator
    task: TaskIdentity
    destination: str | None
    journal: Journal

    @cached_property
    def place(self) -> LandingPlace | None:
        """Where pictures land."""
        if self.destination is None:
            return None
        return LandingPlace(**place_facts(self.operator, self.destination))

    @property
    def pattern(self) -> str:
        """How pictures are called."""
        from airflow_provider_runflow.landing.names import DEFAULT_PATTERN

        return self.operator.filename_pattern or DEFAULT_PATTERN

    @cached_property
    def budget(self) -> Budget:
        """What the task may cost, over all its attempts."""
        given = self.operator.max_cost_usd
        limit = given if given is not None else conf.get("runflow", "default_max_cost_usd", fallback=None)
        return Budget(read_limit("max_cost_usd", limit), price_of)

    @cached_property
    def derivatives(self) -> tuple[Derivative, ...]:
        """What to make of each picture; raises as :func:`parse_derivatives` does."""
        if self.operator.derivatives is None:
            return ()
        from airflow_provider_runflow.landing.derivatives import parse_derivatives

        return parse_derivatives(self.operator.derivatives)

    def scope(self, item_key: str | None) -> Scope:
        """Name the scope of an item; raises as :func:`make_scope` does."""
        return make_scope(
            self.operator.reuse_within,
            namespace=_namespace(),
            task=self.task,
            item_key=item_key,
            destination=self.destination,
        )

    def delivery(self, scope: Scope, **of_item: Any) -> Delivery | None:
        """Say where an item's pictures land; more arguments as :class:`Delivery` takes them."""
        if self.place is None:
            return None
        facts = {"derivatives": self.derivatives, **of_item}
        return Delivery(self.place, self.pattern, self.operator.replace, scope, **facts)

    def paid_run(
        self,
        request: Request,
        scope: Scope,
        delivery: Delivery | None,
        *,
        check: Callable[[Request], None] = lambda request: None,
        log: Log | None = None,
        **of_engine: Any,
    ) -> PaidRun:
        """
        Put the parts of one request together.

        :param check: looks at a request that is about to be submitted.
        :param log: where to tell of this request.
        :param of_engine: more arguments of the :class:`RunEngine`.
        """
        operator, hook = self.operator, self.operator.hook
        settings = hook.settings

        def before_submit(wanted: Request) -> None:
            check_quality(wanted, settings.max_quality, operator.runflow_conn_id)
            check(wanted)
            if delivery is not None:
                delivery.check(wanted)

        engine = RunEngine(
            api=hook.get_conn(),
            account=settings.account.identity,
            journal=self.journal,
            scope=scope,
            on_unknown=cast(OnUnknown, operator.on_unknown),
            clock=hook.clock,
            log=log or operator.log,
            metadata=operator.metadata,
            callback_url=operator.callback_url,
            before_submit=before_submit,
            budget=self.budget,
            metrics=stats(),
            **of_engine,
        )
        return PaidRun(
            request=request,
            scope=scope,
            engine=engine,
            hook=hook,
            delivery=delivery,
            wait_seconds=operator.wait_seconds,
            poll_interval=operator.poll_interval,
            log=log or operator.log,
        )


def make_paid_run(operator: RunflowRunOperator, context: Any, pending: Mapping[str, Any] | None) -> PaidRun:
    """
    Put a task's parts together.

    :param operator: with rendered parameters.
    :param context: Airflow's.
    :param pending: what the task recorded when it deferred; ``None`` starts from the rendered parameters.
    :raises InvalidRequestError: a rendered parameter breaks a rule; nothing is submitted.
    """
    destination = _destination(operator) if operator.wait_for_completion else None
    task = task_identity(context, operator, literal=operator.request_is_literal)
    parts = TaskParts(operator, task, destination, open_journal(context))
    record = Record.from_json(pending) if pending else None
    if record is not None:
        request, scope = record.request, Scope(record.client_ref, record.item_key, task)
    else:
        request = _request(operator, context)
        scope = parts.scope(text_or_none(operator.item_key))
    if destination is not None:
        from airflow_provider_runflow.landing.names import check_pattern

        check_pattern(parts.pattern, num_images=request.num_images)
    elif parts.derivatives and record is None:
        raise InvalidRequestError(
            "derivatives: they need a destination (or [runflow] default_destination): they lie beside their masters."
        )
    elif operator.wait_for_completion and record is None:
        warn_of_no_destination(operator)
    delivery = parts.delivery(scope)

    def check(request: Request) -> None:
        operator.check_request(request)
        if operator.check_balance:
            from airflow_provider_runflow.operators.balance import check_balance

            check_balance(operator.hook, [price_of(request)], operator.log)
        price = price_of(request)
        told = "at a price that nothing here knows" if price is None else f"for about ${price:f}"
        operator.log.info("To be bought: %d picture(s) of %s, %s.", request.num_images, request.model, told)

    if parts.budget.limit is not None:
        for known in parts.journal.read("")[:1]:
            parts.budget.count_record(known)
    paid_run = parts.paid_run(request, scope, delivery, check=check, upload=operator.upload)
    if record is not None:
        paid_run.take_up(record)
    return paid_run


def make_task_parts(operator: RunflowBaseOperator, context: Any, journal: Journal, *, literal: bool) -> TaskParts:
    """
    Put together what the requests of a task share.

    :param journal: see :class:`TaskParts`.
    :param literal: no template makes the requests.
    :raises InvalidRequestError: the destination renders to nothing.
    """
    return TaskParts(operator, task_identity(context, operator, literal=literal), _destination(operator), journal)


def warn_of_no_destination(operator: RunflowBaseOperator) -> None:
    """Say that nothing will be kept."""
    operator.log.warning(
        "No destination: the only copy of the pictures stays at Runflow, where it expires. Set `destination` "
        "or [runflow] default_destination to keep them."
    )


def recorded_run(context: Any) -> str | None:
    """Return the id of the run that the journal knows, if it can be read; for messages."""
    record = _on_record(context)
    of_this_go = record is not None and record.state == "submitted" and record.go == context["ti"].max_tries
    return record.run_id if record is not None and of_this_go else None


def _request(operator: RunflowRunOperator, context: Any) -> Request:
    try:
        return Request(operator.model, check_operator(operator, rendered=True), text_or_none(operator.variation))
    except ReferenceUnreadableError as error:
        record = _on_record(context)
        if record is None or not record.is_bought:
            raise
        # A file that is gone by now must not keep a paid picture from landing.
        operator.log.warning("%s Going on with the request that is on record.", error)
        return record.request


def _on_record(context: Any) -> Record | None:
    try:
        return next(iter(open_journal(context).read("")), None)
    except JournalError:
        return None


def text_or_none(value: str | int | None) -> str | None:
    """Return a name as text; ``None`` for an empty one."""
    return None if value in (None, "") else str(value)


def _destination(operator: RunflowBaseOperator) -> str | None:
    if operator.destination is not None:
        if not operator.destination.strip():
            raise InvalidRequestError(
                "destination: renders to nothing; it must be a prefix such as s3://bucket/heroes."
            )
        return operator.destination
    return conf.get("runflow", "default_destination", fallback=None) or None


def task_identity(context: Any, operator: RunflowBaseOperator, *, literal: bool) -> TaskIdentity:
    """Say who asks; ``literal``: no template makes its requests."""
    ti, dag_run = context["ti"], context["dag_run"]
    max_tries = int(getattr(ti, "max_tries", 0) or 0)
    map_index = getattr(ti, "map_index", -1)
    return TaskIdentity(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if map_index is None else map_index,
        go=max_tries,
        first_try=ti.try_number <= 1 and max_tries <= (operator.retries or 0),
        literal=literal,
        clears=int(getattr(dag_run, "clear_number", 0) or 0),
        began=getattr(dag_run, "start_date", None),
        since=getattr(dag_run, "run_after", None),
    )


def _namespace() -> str:
    return conf.get("runflow", "namespace", fallback="") or conf.get("api", "base_url", fallback="") or ""
