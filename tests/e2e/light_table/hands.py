# SPDX-License-Identifier: Apache-2.0
"""What people do in *Required actions*."""

from __future__ import annotations

from typing import Any

from scripts.airflow_api import AirflowApi
from scripts.waiting import wait_for


def _path(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"


def request_for(api: AirflowApi, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
    """The request that somebody is to answer, once it is there."""

    def asked() -> dict[str, Any] | None:
        state = api.run_state(dag_id, run_id)
        assert state not in ("success", "failed"), f"the DAG run ended ({state}) without asking"
        answer = api._http.get(_path(dag_id, run_id, task_id, map_index))
        return answer.json() if answer.status_code == 200 else None

    found: dict[str, Any] = wait_for(asked, seconds=240, what=f"{task_id} asks", every=1.0)
    return found


def answer(api: AirflowApi, dag_id: str, run_id: str, task_id: str, option: str, map_index: int = -1) -> None:
    body = {"chosen_options": [option], "params_input": {}}
    api._http.patch(_path(dag_id, run_id, task_id, map_index), json=body).raise_for_status()
