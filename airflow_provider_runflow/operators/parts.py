# SPDX-License-Identifier: Apache-2.0
"""From an operator with rendered parameters to its paid run: scope, request, journal, delivery, engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_runflow.compat import conf
from airflow_provider_runflow.exceptions import InvalidRequestError, JournalError, ReferenceUnreadableError
from airflow_provider_runflow.operators.checks import check_operator, check_quality
from airflow_provider_runflow.operators.delivery import Delivery, place_facts
from airflow_provider_runflow.operators.paid_run import PaidRun
from airflow_provider_runflow.runs.engine import RunEngine, Standing
from airflow_provider_runflow.runs.identity import OnUnknown, Request, Scope, TaskIdentity, make_scope
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.stores.task_state import open_journal

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.base import RunflowRunOperator


def make_paid_run(operator: RunflowRunOperator, context: Any, pending: Mapping[str, Any] | None) -> PaidRun:
    """
    Put a task's parts together.

    :param operator: with rendered parameters.
    :param context: Airflow's.
    :param pending: what the task recorded when it deferred; ``None`` starts from the rendered parameters.
    :raises InvalidRequestError: a rendered parameter breaks a rule; nothing is submitted.
    """
    task = _task_identity(context, operator)
    destination = _destination(operator)
    record = Record.from_json(pending) if pending else None
    if record is not None:
        request, scope = record.request, Scope(record.client_ref, record.item_key, task)
    else:
        request = _request(operator, context)
        scope = _scope(operator, task, destination)
    hook = operator.hook
    delivery = _delivery(operator, destination, scope, request.num_images)
    if delivery is None and operator.wait_for_completion and record is None:
        operator.log.warning(
            "No destination: the only copy of the pictures stays at Runflow, where it expires. Set `destination` "
            "or [runflow] default_destination to keep them."
        )
    settings = hook.settings

    def before_submit(wanted: Request) -> None:
        check_quality(wanted, settings.max_quality, operator.runflow_conn_id)
        operator.check_request(wanted)
        if delivery is not None:
            delivery.check(wanted)

    engine = RunEngine(
        api=hook.get_conn(),
        account=settings.account.identity,
        journal=open_journal(context),
        scope=scope,
        on_unknown=cast(OnUnknown, operator.on_unknown),
        clock=hook.clock,
        log=operator.log,
        metadata=operator.metadata,
        callback_url=operator.callback_url,
        before_submit=before_submit,
        upload=operator.upload,
    )
    paid_run = PaidRun(
        request=request,
        scope=scope,
        engine=engine,
        hook=hook,
        delivery=delivery,
        wait_seconds=operator.wait_seconds,
        poll_interval=operator.poll_interval,
        log=operator.log,
    )
    if record is not None:
        paid_run.standing = Standing(record, None, attached=True)
    return paid_run


def recorded_run(context: Any) -> str | None:
    """Return the id of the run that the journal knows, if it can be read; for messages."""
    record = _on_record(context)
    of_this_go = record is not None and record.state == "submitted" and record.go == context["ti"].max_tries
    return record.run_id if record is not None and of_this_go else None


def _request(operator: RunflowRunOperator, context: Any) -> Request:
    try:
        return Request(operator.model, check_operator(operator, rendered=True), _text(operator.variation))
    except ReferenceUnreadableError as error:
        record = _on_record(context)
        if record is None or not record.is_bought:
            raise
        # A file that is gone by now must not keep a paid picture from landing.
        operator.log.warning("%s Going on with the request that is on record.", error)
        return record.request


def _on_record(context: Any) -> Record | None:
    try:
        return open_journal(context).read("")
    except JournalError:
        return None


def _scope(operator: RunflowRunOperator, task: TaskIdentity, destination: str | None) -> Scope:
    return make_scope(
        operator.reuse_within,
        namespace=_namespace(),
        task=task,
        item_key=_text(operator.item_key),
        destination=destination,
    )


def _text(value: str | int | None) -> str | None:
    return None if value in (None, "") else str(value)


def _delivery(operator: RunflowRunOperator, destination: str | None, scope: Scope, num_images: int) -> Delivery | None:
    if destination is None:
        return None
    from airflow_provider_runflow.landing.names import DEFAULT_PATTERN, check_pattern

    pattern = operator.filename_pattern or DEFAULT_PATTERN
    check_pattern(pattern, num_images=num_images)
    facts = place_facts(operator, destination)
    return Delivery(**facts, filename_pattern=pattern, replace=operator.replace, scope=scope)


def _destination(operator: RunflowRunOperator) -> str | None:
    if not operator.wait_for_completion:
        return None
    if operator.destination is not None:
        if not operator.destination.strip():
            raise InvalidRequestError(
                "destination: renders to nothing; it must be a prefix such as s3://bucket/heroes."
            )
        return operator.destination
    return conf.get("runflow", "default_destination", fallback=None) or None


def _task_identity(context: Any, operator: RunflowRunOperator) -> TaskIdentity:
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
        literal=operator.request_is_literal,
        clears=int(getattr(dag_run, "clear_number", 0) or 0),
        since=getattr(dag_run, "run_after", None),
    )


def _namespace() -> str:
    return conf.get("runflow", "namespace", fallback="") or conf.get("api", "base_url", fallback="") or ""
