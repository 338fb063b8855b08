# SPDX-License-Identifier: Apache-2.0
"""Run operators the way Airflow runs them, without a database and without servers.

`Airflow` stands in for the server: it remembers XComs, the task state store, rendered fields and try numbers,
and answers the messages of the SDK's real task runner (which renders templates, calls `execute`, defers,
resumes, retries, pushes links).

    airflow = Airflow()
    outcome = airflow.run(op)                    # state "deferred", "success", "up_for_retry", "failed", ...
    outcome = airflow.resume(airflow.fire(outcome))
    outcome = airflow.finish(op)                 # run, fire and resume until the task has ended
    outcome = airflow.retry(outcome)             # the next try; after a clear: airflow.clear(outcome)
    outcome = airflow.poke_again(outcome)        # the next poke of a sensor that rescheduled itself
    airflow.xcom(op); airflow.state_store(op); airflow.rendered[...]

It works from Airflow 3.1 on; what a version lacks (the task state store before 3.3) is not there here either.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TaskInstance, TIRunContext
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse
from airflow.sdk.execution_time.supervisor import set_supervisor_comms
from uuid6 import uuid7

#: A fixed moment for every run, so that rendered dates can be asserted.
MOMENT = dt.datetime(2026, 3, 2, 6, 0, tzinfo=dt.timezone.utc)

HAS_TASK_STATE_STORE = hasattr(comms, "GetTaskStateStore")

Scope = tuple[str, str, str, int]


@dataclass(frozen=True)
class Attempt:
    """One attempt of one task instance: what the server tells the worker."""

    task: Any
    run_id: str
    map_index: int
    try_number: int
    max_tries: int
    clear_number: int = 0
    conf: Mapping[str, Any] = field(default_factory=dict)
    run_type: str = "manual"
    logical_date: dt.datetime | None = MOMENT
    run_after: dt.datetime = MOMENT
    #: When a sensor rescheduled itself first.
    rescheduled_at: dt.datetime | None = None
    ti_id: UUID = field(default_factory=uuid7)

    @property
    def scope(self) -> Scope:
        return (self.task.dag_id, self.run_id, self.task.task_id, self.map_index)


@dataclass(frozen=True)
class Outcome:
    """How one stretch of work on the worker ended."""

    attempt: Attempt
    state: str
    error: BaseException | None
    message: Any

    @property
    def deferred(self) -> bool:
        return self.state == "deferred"

    @property
    def trigger(self) -> Any:
        """The trigger as the triggerer would build it: from what went over the wire."""
        kwargs = _decode(self.message, "trigger_kwargs")
        module, _, name = self.message.classpath.rpartition(".")
        return getattr(__import__(module, fromlist=[name]), name)(**kwargs)

    @property
    def trigger_kwargs(self) -> dict[str, Any]:
        return _decode(self.message, "trigger_kwargs")


@dataclass(frozen=True)
class Resumption:
    """A deferred attempt with what it is resumed with."""

    attempt: Attempt
    next_method: str
    next_kwargs: dict[str, Any]


class Airflow:
    """The server's memory and its answers; one per test."""

    def __init__(self) -> None:
        self.xcoms: dict[Scope, dict[str, Any]] = {}
        self.states: dict[Scope, dict[str, Any]] = {}
        self.rendered: dict[Scope, dict[str, Any]] = {}
        self.variables: dict[str, str] = {}
        self.connections: dict[str, dict[str, Any]] = {}
        #: Every message of the worker, oldest first.
        self.messages: list[Any] = []
        #: Message type -> what to raise instead of answering; see `refuse`.
        self._refusals: dict[str, Callable[[Any], BaseException]] = {}
        self._lock = threading.Lock()
        self._attempts: dict[UUID, Attempt] = {}
        self._current: dict[Scope, UUID] = {}

    # ------------------------------------------------------------------ running

    def run(
        self,
        task: Any,
        *,
        run_id: str = "manual__2026-03-02",
        map_index: int = -1,
        try_number: int = 1,
        max_tries: int | None = None,
        **facts: Any,
    ) -> Outcome:
        """The first stretch of an attempt: from the start of `execute` to its end or its deferral."""
        tries = _retries(task) if max_tries is None else max_tries
        attempt = Attempt(task, run_id, map_index, try_number, tries, **facts)
        self.xcoms.pop(attempt.scope, None)  # the server clears them before every attempt
        return self._work(attempt, None, None)

    def fire(self, outcome: Outcome, *, timeout: float = 30.0) -> Resumption:
        """Runs the trigger of a deferral in an event loop of its own, until its first event."""
        with self.supervised():
            event = asyncio.run(asyncio.wait_for(_first_event(outcome.trigger), timeout))
        return self.resumption(outcome, event.payload)

    @contextlib.contextmanager
    def supervised(self) -> Iterator[None]:
        """The triggerer's surroundings: connections are asked of the supervisor, as Airflow 3.1 insists."""
        with set_supervisor_comms(_Comms(self)):
            yield

    def resumption(self, outcome: Outcome, payload: Any) -> Resumption:
        """What the task is resumed with when its trigger has fired `payload`."""
        kwargs = {**_decode(outcome.message, "next_kwargs"), "event": _through_serde(payload)}
        return Resumption(outcome.attempt, outcome.message.next_method, kwargs)

    def trigger_failure(self, outcome: Outcome, *, reason: str, traceback: list[str] | None = None) -> Resumption:
        """What a task is resumed with when its trigger died ("Trigger failure") or timed out ("Trigger timeout")."""
        kwargs: dict[str, Any] = {"error": reason}
        if traceback:
            kwargs["traceback"] = traceback
        return Resumption(outcome.attempt, "__fail__", kwargs)

    def resume(self, resumption: Resumption) -> Outcome:
        """The stretch after a deferral: the same attempt, the same XComs."""
        return self._work(resumption.attempt, resumption.next_method, resumption.next_kwargs)

    def finish(self, task: Any, **facts: Any) -> Outcome:
        """Runs a task, firing its triggers, until it has ended."""
        return self.settle(self.run(task, **facts))

    def settle(self, outcome: Outcome) -> Outcome:
        while outcome.deferred:
            outcome = self.resume(self.fire(outcome))
        return outcome

    def retry(self, outcome: Outcome) -> Outcome:
        """The next try, as the scheduler starts it: a new task instance id, XComs cleared."""
        return self._again(outcome, try_number=outcome.attempt.try_number + 1)

    def clear(self, outcome: Outcome) -> Outcome:
        """The next try after somebody cleared the finished task."""
        attempt = outcome.attempt
        return self._again(
            outcome,
            try_number=attempt.try_number + 1,
            max_tries=attempt.try_number + _retries(attempt.task),
            clear_number=attempt.clear_number + 1,
        )

    def poke_again(self, outcome: Outcome, *, since: dt.datetime | None = None) -> Outcome:
        """The same try once more, as the scheduler starts a sensor that rescheduled itself first at `since`."""
        first = since or outcome.attempt.rescheduled_at or dt.datetime.now(dt.timezone.utc)
        return self._work(replace(outcome.attempt, rescheduled_at=first), None, None)

    def _again(self, outcome: Outcome, **changes: Any) -> Outcome:
        attempt = replace(outcome.attempt, ti_id=uuid7(), **changes)
        self.xcoms.pop(attempt.scope, None)
        return self._work(attempt, None, None)

    # ------------------------------------------------------------------ looking

    def xcom(self, task: Any, key: str = "return_value", **where: Any) -> Any:
        """The value as a downstream task would pull it, or None."""
        return _xcom_value(self.xcoms.get(_scope(task, **where), {}).get(key))

    def state_store(self, task: Any, **where: Any) -> dict[str, Any]:
        return self.states.get(_scope(task, **where), {})

    # ------------------------------------------------------------------ trouble

    def refuse(self, message_type: str, error: Callable[[Any], BaseException] | None = None) -> None:
        """From now on the server answers messages of this type ("SetTaskStateStore") with an error."""
        self._refusals[message_type] = error or _server_error

    def accept(self, message_type: str) -> None:
        self._refusals.pop(message_type, None)

    # ------------------------------------------------------------------ the worker's side

    def _work(self, attempt: Attempt, method: str | None, kwargs: dict[str, Any] | None) -> Outcome:
        self._attempts[attempt.ti_id] = attempt
        self._current[attempt.scope] = attempt.ti_id
        instance = _runtime_instance(attempt, _run_context(attempt, method, kwargs))
        log = task_runner.structlog.get_logger(logger_name="task")
        with set_supervisor_comms(_Comms(self)), _worker_surroundings():
            context = instance.get_template_context()
            state, message, error = task_runner.run(instance, context, log)
            context["exception"] = error
            task_runner.finalize(instance, state, context, log, error)
        return Outcome(attempt, state.value, error, message)

    def answer(self, message: Any) -> Any:
        """The server's word on one message."""
        name = type(message).__name__
        with self._lock:
            self.messages.append(message)
            if name in self._refusals:
                raise self._refusals[name](message)
            handler = getattr(self, f"_on_{name}", None)
            return handler(message) if handler else OKResponse(ok=True)

    def _on_SetXCom(self, message: Any) -> Any:
        self.xcoms.setdefault(_message_scope(message), {})[message.key] = message.value
        return OKResponse(ok=True)

    def _on_GetXCom(self, message: Any) -> Any:
        value = self.xcoms.get(_message_scope(message), {}).get(message.key)
        return comms.XComResult(key=message.key, value=value)

    def _on_DeleteXCom(self, message: Any) -> Any:
        self.xcoms.get(_message_scope(message), {}).pop(message.key, None)
        return OKResponse(ok=True)

    def _on_SetRenderedFields(self, message: Any) -> Any:
        newest = list(self._attempts.values())[-1]
        self.rendered[newest.scope] = dict(message.rendered_fields)
        return OKResponse(ok=True)

    def _on_ValidateInletsAndOutlets(self, message: Any) -> Any:
        return comms.InactiveAssetsResult(inactive_assets=[])

    def _on_GetConnection(self, message: Any) -> Any:
        known = self.connections.get(message.conn_id) or _from_environment(message.conn_id)
        if known is None:
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": message.conn_id})
        empty = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
        return comms.ConnectionResult(conn_id=message.conn_id, **{**empty, **known})

    def _on_GetVariable(self, message: Any) -> Any:
        if message.key not in self.variables:
            return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": message.key})
        return comms.VariableResult(key=message.key, value=self.variables[message.key])

    def _on_GetTaskRescheduleStartDate(self, message: Any) -> Any:
        return comms.TaskRescheduleStartDate(start_date=self._attempts[message.ti_id].rescheduled_at)

    def _on_GetTaskStateStore(self, message: Any) -> Any:
        values = self.states.get(self._scope_of(message), {}) if self._is_current(message) else {}
        if message.key not in values:
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={"key": message.key})
        return comms.TaskStateStoreResult(value=json.loads(json.dumps(values[message.key])))

    def _on_SetTaskStateStore(self, message: Any) -> Any:
        if not self._is_current(message):
            raise _server_error(message)
        self.states.setdefault(self._scope_of(message), {})[message.key] = json.loads(json.dumps(message.value))
        return OKResponse(ok=True)

    def _on_DeleteTaskStateStore(self, message: Any) -> Any:
        self.states.get(self._scope_of(message), {}).pop(message.key, None)
        return OKResponse(ok=True)

    def _on_ClearTaskStateStore(self, message: Any) -> Any:
        self.states.pop(self._scope_of(message), None)
        return OKResponse(ok=True)

    def _scope_of(self, message: Any) -> Scope:
        return self._attempts[message.ti_id].scope

    def _is_current(self, message: Any) -> bool:
        """A worker of an earlier try finds nothing and may write nothing."""
        return self._current.get(self._scope_of(message)) == message.ti_id


class _Comms:
    """What the SDK calls its line to the supervisor."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow

    def send(self, msg: Any) -> Any:
        return self._airflow.answer(msg)

    async def asend(self, msg: Any) -> Any:
        return self._airflow.answer(msg)


async def _first_event(trigger: Any) -> Any:
    events: AsyncIterator[Any] = trigger.run()
    try:
        async for event in events:
            return event
    finally:
        await events.aclose()  # type: ignore[attr-defined]
        await trigger.cleanup()
    raise AssertionError(f"{trigger!r} ended without an event")


def in_dag(dag_id: str = "campaign", **arguments: Any) -> DAG:
    """A DAG to put operators in: `with in_dag(): op = ...`."""
    return DAG(dag_id, schedule=None, start_date=MOMENT, **arguments)


def register(dag: DAG) -> DAG:
    """Writes an in-test DAG to the database (fixture `airflow_db`): `dag.test()` wants it serialized there."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull, collect_dags=False)
    dag.fileloc = __file__
    dag.relative_fileloc = "in_test.py"
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    return dag


# ---------------------------------------------------------------------- what goes over the wire


def _retries(task: Any) -> int:
    return int(getattr(task, "retries", 0) or 0)


def _scope(task: Any, run_id: str = "manual__2026-03-02", map_index: int = -1) -> Scope:
    return (task.dag_id, run_id, task.task_id, map_index)


def _message_scope(message: Any) -> Scope:
    index = -1 if message.map_index is None else message.map_index
    return (message.dag_id, message.run_id, message.task_id, index)


def _from_environment(conn_id: str) -> dict[str, Any] | None:
    """A connection that a test set as JSON in AIRFLOW_CONN_*: the server's own secrets backend reads those, too."""
    try:
        known: dict[str, Any] = json.loads(os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}", ""))
    except ValueError:
        return None
    if not isinstance(known, dict) or not known.keys() <= {"conn_type", "host", "login", "password", "port", "extra"}:
        return None
    extra = known.get("extra")
    return {**known, "extra": json.dumps(extra)} if isinstance(extra, dict) else known


def _server_error(message: Any) -> BaseException:
    detail = {"status_code": 500, "message": f"{type(message).__name__} refused by the test"}
    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


def _encode(value: Any) -> Any:
    try:
        from airflow.sdk.serde import serialize
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.serialize(value)
    return serialize(value)


def _unwrap(value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if isinstance(value, dict) and value.keys() == {"__type", "__var"}:
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.deserialize(value)
    from airflow.sdk.serde import deserialize

    return deserialize(value)


def _through_serde(value: Any) -> Any:
    return _unwrap(json.loads(json.dumps(_encode(value))))


def _decode(message: Any, field_name: str) -> dict[str, Any]:
    """A field of a DeferTask as it arrives: through JSON, decoded by the version's own serializer."""
    dumped = json.loads(message.model_dump_json(include={field_name}))[field_name]
    decoded = _unwrap(dumped) if dumped else {}
    assert isinstance(decoded, dict)
    return decoded


def _xcom_value(stored: Any) -> Any:
    try:
        from airflow.sdk.serde import deserialize
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serde import deserialize
    return deserialize(stored)


def _run_context(attempt: Attempt, method: str | None, kwargs: dict[str, Any] | None) -> TIRunContext:
    return TIRunContext(
        dag_run=_dag_run(attempt),
        max_tries=attempt.max_tries,
        should_retry=attempt.try_number <= attempt.max_tries,
        next_method=method,
        next_kwargs=None if kwargs is None else _encode(kwargs),
        xcom_keys_to_clear=[],
        task_reschedule_count=0 if attempt.rescheduled_at is None else 1,
    )


def _dag_run(attempt: Attempt) -> DagRun:
    known = {
        "dag_id": attempt.task.dag_id,
        "run_id": attempt.run_id,
        "logical_date": attempt.logical_date,
        "data_interval_start": attempt.logical_date,
        "data_interval_end": attempt.logical_date,
        "run_after": attempt.run_after,
        "start_date": attempt.run_after,
        "end_date": None,
        "clear_number": attempt.clear_number,
        "run_type": attempt.run_type,
        "state": "running",
        "conf": dict(attempt.conf),
        "consumed_asset_events": [],
        "partition_key": None,
    }
    return DagRun(**{name: value for name, value in known.items() if name in DagRun.model_fields})


def _runtime_instance(attempt: Attempt, context: TIRunContext) -> Any:
    instance = TaskInstance(
        id=attempt.ti_id,
        task_id=attempt.task.task_id,
        dag_id=attempt.task.dag_id,
        run_id=attempt.run_id,
        try_number=attempt.try_number,
        map_index=attempt.map_index,
        dag_version_id=uuid7(),
    )
    return task_runner.RuntimeTaskInstance.model_construct(
        **instance.model_dump(exclude_unset=True),
        task=attempt.task,
        _ti_context_from_server=context,
        max_tries=attempt.max_tries,
        start_date=dt.datetime.now(tz=dt.timezone.utc),
        state=task_runner.TaskInstanceState.RUNNING,
        is_mapped=attempt.map_index >= 0,
    )


@contextlib.contextmanager
def _worker_surroundings() -> Iterator[None]:
    """The task runner sets a signal handler and AIRFLOW_CTX_* variables: take them back."""
    handler = signal.getsignal(signal.SIGTERM)
    before = {name for name in os.environ if name.startswith("AIRFLOW_CTX_")}
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        for name in [n for n in os.environ if n.startswith("AIRFLOW_CTX_") and n not in before]:
            del os.environ[name]
