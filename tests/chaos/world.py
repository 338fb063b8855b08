# SPDX-License-Identifier: Apache-2.0
"""The surroundings of a trial: an Airflow boundary, a Runflow and a bucket in which everything can fail at any call."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import httpx
import jinja2
import structlog
from airflow.sdk.execution_time import task_runner
from uuid6 import uuid7

from airflow_provider_runflow.emulator import Emulator, VirtualClock
from airflow_provider_runflow.emulator.transport import EmulatorTransport
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.stores import task_state, task_state_log
from airflow_provider_runflow.stores.object_storage import ObjectStorageStore
from tests.chaos.plan import Plan
from tests.chaos.points import Points
from tests.harness import Airflow, Attempt, Outcome, _server_error

KEY = "rf_live_chaos_key_that_must_not_leak"
SECRETS = (KEY, "X-Amz-Signature", "X-Amz-Security-Token")
# Messages of the worker at which it may die; the others have no effect that matters here.
WATCHED = ("SetXCom", "GetConnection", "GetTaskStateStore", "SetTaskStateStore")


_validators = functools.cache(task_runner.TypeAdapter)
_compile = jinja2.Environment.compile
_templates: dict[tuple[type, str], Any] = {}


def _compile_once(environment: jinja2.Environment, source: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(source, str) or args or kwargs:
        return _compile(environment, source, *args, **kwargs)
    key = (type(environment), source)
    if key not in _templates:
        _templates[key] = _compile(environment, source)
    return _templates[key]


class ChaosClock(VirtualClock):
    """Sleeping is a call that leaves the process, too."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    def sleep(self, seconds: float) -> None:
        self._points.at("sleep")
        super().sleep(seconds)


class ChaosTransport(EmulatorTransport):
    """The way to Runflow, with outages."""

    def __init__(self, emulator: Emulator, clock: VirtualClock, points: Points, plan: Plan) -> None:
        super().__init__(emulator, clock)
        self._points = points
        start = clock.now()
        self._outages = [(start + timedelta(seconds=a), start + timedelta(seconds=b)) for a, b in plan.outages]

    def _respond(self, request: httpx.Request, body: bytes) -> Any:
        where = f"{request.method} {request.url.path.rsplit('/', 1)[0]}"
        self._points.at(f"before {where}")
        if any(start <= self.clock.now() < end for start, end in self._outages):
            raise httpx.ConnectError("[Errno 101] Network is unreachable", request=request)
        response = super()._respond(request, body)
        self._points.at(f"after {where}")
        return response


class ChaosAirflow(Airflow):
    """The server's memory, with calls that fail before or after they took effect."""

    def __init__(self, points: Points, plan: Plan) -> None:
        super().__init__()
        self._points = points
        self._plan = plan
        self._dice = Random(f"airflow:{plan.seed}")
        self.calm = False

    def start(self, attempt: Attempt) -> Outcome:
        """Work on an attempt from its beginning: its first time, or delivered once more."""
        self.xcoms.pop(attempt.scope, None)
        return self._work(attempt, None, None)

    def next_try(self, attempt: Attempt, *, clears: int | None = None, **changes: Any) -> Attempt:
        """The attempt that the scheduler makes next; after a clear the one of a new go."""
        again = replace(attempt, ti_id=uuid7(), try_number=attempt.try_number + 1, **changes)
        if clears is None:
            return again
        retries = int(again.task.retries or 0)
        return replace(again, max_tries=attempt.try_number + retries, clear_number=clears)

    def forget(self, attempt: Attempt) -> None:
        """Drop what a task has on record."""
        self.states.pop(attempt.scope, None)

    def answer(self, message: Any) -> Any:
        name = type(message).__name__
        if name not in WATCHED:
            return super().answer(message)
        self._points.at(f"before {name}")
        trouble = self._trouble(name)
        if trouble == "refused":
            raise _server_error(message)
        answer = super().answer(message)
        self._points.at(f"after {name}")
        if trouble == "lost":
            raise _server_error(message)
        return answer

    def _trouble(self, name: str) -> str | None:
        if self.calm or "TaskState" not in name or self._dice.random() >= self._plan.store_faults:
            return None
        return self._dice.choice(("refused", "lost"))


class Listener:
    """Everything that was logged, as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, logger: Any, name: str, event: dict[str, Any]) -> Any:
        self.lines.append(str(event.get("event")))
        error = event.get("exc_info")
        error = error[1] if isinstance(error, tuple) else error
        while isinstance(error, BaseException):
            self.lines.append(str(error))
            error = error.__cause__
        raise structlog.DropEvent


class _Handler(logging.Handler):
    """Hands the lines of ordinary loggers to a listener."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        self._listener.lines.append(record.getMessage())


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let every log line go to a listener, and nowhere else."""
    before = structlog.get_config()
    processors = [structlog.stdlib.PositionalArgumentsFormatter(), listener]
    structlog.configure(**{**before, "processors": processors, "cache_logger_on_first_use": False})
    # The watcher has no task, so it writes to a logger of its own.
    ours, handler = logging.getLogger("airflow_provider_runflow"), _Handler(listener)
    ours.addHandler(handler)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.propagate = True
        structlog.configure(**before)


class ChaosWorld:
    """One trial's world; used as a context manager."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.points = Points(limit=20_000 + 500 * plan.batch)
        self.clock = ChaosClock(self.points)
        self.emulator = _emulator(plan)
        self.airflow = ChaosAirflow(self.points, plan)
        self.transport = ChaosTransport(self.emulator, self.clock, self.points, plan)
        self.listener = Listener()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ChaosWorld:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.bucket = Path(tempfile.mkdtemp(prefix="chaos-", dir=memory))
        self._stack.callback(shutil.rmtree, self.bucket, ignore_errors=True)
        connection = {"conn_type": "runflow", "host": "http://runflow.test", "password": KEY}
        enter = self._stack.enter_context
        enter(mock.patch.dict(os.environ, AIRFLOW_CONN_RUNFLOW_DEFAULT=json.dumps(connection)))
        enter(mock.patch.object(RunflowHook, "clock", self.clock))
        enter(mock.patch.object(RunflowHook, "transport", self.transport))
        enter(mock.patch.object(RunflowHook, "jitter", Random(self.plan.seed)))
        for name in ("put_file", "put_json"):
            enter(mock.patch.object(ObjectStorageStore, name, self._watched(getattr(ObjectStorageStore, name))))
        if not self.plan.fences.journal:
            for module in (task_state, task_state_log):
                enter(mock.patch.object(module, "task_state_store", _no_store))
        # Airflow builds the same validator anew for every field of every attempt, and compiles every text as a
        # template: half of a trial's time.
        enter(mock.patch.object(task_runner, "TypeAdapter", _validators))
        enter(mock.patch.object(jinja2.Environment, "compile", _compile_once))
        enter(listening(self.listener))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        points = self.points

        def watched(store: Any, *args: Any, **kwargs: Any) -> Any:
            points.at(f"before {method.__name__}")
            result = method(store, *args, **kwargs)
            points.at(f"after {method.__name__}")
            return result

        return watched

    def calm_down(self) -> None:
        """The bad day is over: only what makes the trial's class stays."""
        self.airflow.calm = True
        self.emulator.clear_faults()
        self.emulator.add_faults(_fence_rules(self.plan))

    def now(self) -> datetime:
        return self.clock.now()

    def said(self) -> str:
        """Everything that a person, a database or a log server got to see."""
        kept = [self.airflow.xcoms, self.airflow.states, self.airflow.rendered]
        return "\n".join([*self.listener.lines, *map(str, kept)])


def _no_store(context: Any) -> None:
    """What Airflow 3.1 and 3.2 offer."""


def _emulator(plan: Plan) -> Emulator:
    fences = plan.fences
    return Emulator(
        picture_size=(64, 64),
        api_keys=(KEY,),
        seed=plan.seed,
        balance="100000",
        idempotency=fences.key,
        idempotency_ttl=fences.key_hours * 3600,
        list_metadata=plan.seed % 5 != 0,
        faults=[*_fence_rules(plan), *plan.rules],
    )


def _fence_rules(plan: Plan) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = []
    if not plan.fences.lists:
        rules.append({"route": "list", "effect": "status", "status": 403})
    if plan.fences.lag:
        rules.append({"route": "list", "effect": "lag", "seconds": plan.fences.lag})
    return rules
