# SPDX-License-Identifier: Apache-2.0
"""Connections as people write them into the environment, and the two ways to read one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.hooks.settings import Settings

KEY = "rf_live_never_show_this_key"
VARIABLE = "AIRFLOW_CONN_RUNFLOW_DEFAULT"


def as_json(**fields: Any) -> str:
    """A connection in JSON style; a field that is None is left out."""
    every = {"conn_type": "runflow", "password": KEY, **fields}
    return json.dumps({name: value for name, value in every.items() if value is not None})


def read_sync(conn_id: str = "runflow_default") -> Settings:
    return RunflowHook(conn_id).settings


def read_async(conn_id: str = "runflow_default") -> Settings:
    return asyncio.run(RunflowHook(conn_id).aget_settings())


READERS = (read_sync, read_async)
