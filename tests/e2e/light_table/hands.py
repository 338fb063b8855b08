# SPDX-License-Identifier: Apache-2.0
"""What people do in *Required actions*."""

from __future__ import annotations

from typing import Any

from scripts.airflow_api import AirflowApi
from scripts.waiting import wait_for

# A task that waits for people, from Airflow 3.3 on and before.
PARKED = ("awaiting_input", "deferred")
# Heartbeats of the scheduler after which it has surely read what its executor reported (one in five seconds).
ROUNDS = 2


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
    """
    Answer a request, no earlier than a person could who looks at the picture.

    An answer queues the task again. Airflow 3.3.2 fails it when its executor has not yet reported by then that the
    task had parked itself, which it does some moments after the request can be seen.
    """
    wait_for(
        lambda: api.instance(dag_id, run_id, task_id, map_index)["state"] in PARKED,
        seconds=120,
        what=f"{task_id} is parked",
    )
    heartbeats: set[str] = set()

    def went_round() -> bool:
        heartbeats.add(api.scheduler_heartbeat())
        return len(heartbeats) > ROUNDS

    wait_for(went_round, seconds=120, what="the scheduler goes round", every=0.5)
    body = {"chosen_options": [option], "params_input": {}}
    api._http.patch(_path(dag_id, run_id, task_id, map_index), json=body).raise_for_status()
