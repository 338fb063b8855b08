# SPDX-License-Identifier: Apache-2.0
"""The one module that knows Airflow versions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    conf,
)

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ImportError:  # Airflow before 3.3
    RetryDecision, RetryPolicy = None, object  # type: ignore[assignment, misc]

DEFERRAL_FAILURES = (TaskDeferralError, TaskDeferralTimeout)

__all__ = [
    "DEFERRAL_FAILURES",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "RetryDecision",
    "RetryPolicy",
    "TaskDeferralTimeout",
    "add_partitions",
    "aread_connection",
    "call_with_context",
    "conf",
    "mask_secret",
    "never_expire",
    "plugin_base",
    "stats",
    "task_state_store",
]


async def aread_connection(conn_id: str) -> tuple[Any, Any]:
    """Return a connection and its decoded extra without blocking the event loop; both may ask the supervisor."""
    from airflow.providers.common.compat import connection as compat

    conn = await compat.get_async_connection(conn_id)
    if hasattr(compat, "get_async_extra_dejson"):
        return conn, await compat.get_async_extra_dejson(conn)
    # common-compat as it was for Airflow 3.1
    from asgiref.sync import sync_to_async

    return conn, await sync_to_async(lambda: conn.extra_dejson)()


def task_state_store(context: Any) -> Any | None:
    """Return Airflow 3.3's task state store, or ``None`` where there is none."""
    return context.get("task_state_store")


def task_state_model() -> Any | None:
    """Return the table of a task's kept state, for API servers; ``None`` before Airflow 3.3, which has none."""
    try:
        from airflow.models.task_state_store import TaskStateStoreModel
    except ImportError:
        return None
    return TaskStateStoreModel


def add_partitions(event: Any, keys: Collection[str]) -> None:
    """Have an asset event emit a partition for each key; before Airflow 3.3 it cannot, and nothing is done."""
    if hasattr(event, "add_partitions"):
        event.add_partitions(list(keys))


def mask_secret(secret: str) -> None:
    """Have a text masked from now on, in this process's logs and rendered fields, and in its supervisor's."""
    from airflow.sdk.log import mask_secret as mask

    mask(secret)


def call_with_context(function: Callable[..., Any], args: Collection[Any], context: Mapping[str, Any]) -> Any:
    """Call a task's function with its positional arguments and what it names of the context."""
    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:  # Airflow 3.1
        from airflow.utils.operator_helpers import determine_kwargs  # type: ignore[attr-defined]

    return function(*args, **determine_kwargs(function, args, context))


class AirflowStats:
    """Airflow's own metrics as the engine takes them; looked up when they are first used."""

    def __init__(self) -> None:
        self._backend: Any = None

    def incr(self, name: str, count: int = 1) -> None:
        """Count something that happened."""
        self._stats().incr(name, count)

    def gauge(self, name: str, value: float) -> None:
        """Say how much of something there is now."""
        self._stats().gauge(name, value)

    def timing(self, name: str, seconds: float) -> None:
        """Say how long something took."""
        self._stats().timing(name, timedelta(seconds=seconds))

    def _stats(self) -> Any:
        if self._backend is None:
            self._backend = _airflow_stats()
        return self._backend


def _airflow_stats() -> Any:
    """
    Return what sends metrics in this process.

    From Airflow 3.2 on there are two of the kind. A task sets up the SDK's, the triggerer only the core's; the other
    one sends nothing.
    """
    found: list[Any] = []
    for name in ("airflow.sdk.observability.stats", "airflow.observability.stats"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        # A module of functions from 3.3 on; in 3.2 it holds a class of that kind.
        found.append(module if hasattr(module, "incr") else module.Stats)
    if not found:
        return import_module("airflow.stats").Stats  # Airflow 3.1
    return next((each for each in found if _is_set_up(each)), found[0])


def _is_set_up(backend: Any) -> bool:
    if isinstance(backend, type):
        return vars(backend).get("factory") is not None
    return getattr(sys.modules.get(backend.incr.__module__), "_factory", None) is not None


def stats() -> AirflowStats:
    """Return Airflow's metrics; free until something is counted."""
    return AirflowStats()


def plugin_base() -> Any:
    """Return the class that plugins derive from; a function, because operators need not pay for its import."""
    try:
        from airflow.sdk.plugins_manager import AirflowPlugin
    except ImportError:  # Airflow 3.1
        from airflow.plugins_manager import AirflowPlugin  # type: ignore[assignment]

    return AirflowPlugin


def never_expire() -> Any:
    """Return the retention that keeps a value for good (Airflow 3.3)."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    return NEVER_EXPIRE
