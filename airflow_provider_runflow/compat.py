# SPDX-License-Identifier: Apache-2.0
"""The one module that knows Airflow versions."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    conf,
)

try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

DEFERRAL_FAILURES = (TaskDeferralError, TaskDeferralTimeout)

__all__ = [
    "DEFERRAL_FAILURES",
    "AirflowFailException",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "conf",
    "never_expire",
    "task_state_store",
]


def task_state_store(context: Any) -> Any | None:
    """Return Airflow 3.3's task state store, or ``None`` where there is none."""
    return context.get("task_state_store")


def never_expire() -> Any:
    """Return the retention that keeps a value for good (Airflow 3.3)."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    return NEVER_EXPIRE
