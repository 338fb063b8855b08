# SPDX-License-Identifier: Apache-2.0
"""Connections as people write them into the environment, and the two ways to read one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.supervisor import set_supervisor_comms

from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.hooks.settings import Settings
from tests.harness import Airflow

KEY = "rf_live_never_show_this_key"
VARIABLE = "AIRFLOW_CONN_RUNFLOW_DEFAULT"


def as_json(**fields: Any) -> str:
    """A connection in JSON style; a field that is None is left out."""
    every = {"conn_type": "runflow", "password": KEY, **fields}
    return json.dumps({name: value for name, value in every.items() if value is not None})


def read_sync(conn_id: str = "runflow_default") -> Settings:
    return RunflowHook(conn_id).settings


def read_async(conn_id: str = "runflow_default") -> Settings:
    with supervised():
        return asyncio.run(RunflowHook(conn_id).aget_settings())


@contextmanager
def supervised() -> Iterator[None]:
    """A supervisor that knows no connection: Airflow 3.1 wants one in an event loop, even for the environment's."""
    if getattr(task_runner, "SUPERVISOR_COMMS", None) is not None:
        yield
        return
    airflow = Airflow()

    class Supervisor:
        def send(self, msg: Any) -> Any:
            return airflow.answer(msg)

        async def asend(self, msg: Any) -> Any:
            return airflow.answer(msg)

    with set_supervisor_comms(Supervisor()):  # type: ignore[arg-type]
        yield


READERS = (read_sync, read_async)
