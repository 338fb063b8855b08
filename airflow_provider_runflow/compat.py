# SPDX-License-Identifier: Apache-2.0
"""The one module that knows Airflow versions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
    "aread_connection",
    "call_with_context",
    "conf",
    "mask_secret",
    "never_expire",
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


def never_expire() -> Any:
    """Return the retention that keeps a value for good (Airflow 3.3)."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    return NEVER_EXPIRE
