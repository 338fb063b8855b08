# SPDX-License-Identifier: Apache-2.0
"""The button that leads from a task instance to its Runflow run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_runflow.compat import BaseOperatorLink, conf

RUN_XCOM_KEY = "runflow_run"
BATCH_XCOM_KEY = "runflow_batch"
# Where the light table (plugins/) is in the Airflow UI.
PICTURES_PREFIX = "/runflow"
RUN_ROUTE = "runflow-pictures-run"
TASK_ROUTE = "runflow-pictures-task"


class RunflowRunLink(BaseOperatorLink):
    """
    Link to the run, live while the task waits.

    No public page of a run is documented, so the target comes from the connection's extra ``run_url_template`` (with
    ``{run_id}``). Without one the button opens the task's *Pictures* tab; that of a sensor its *XCom* tab.
    """

    name = "Runflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address that the operator kept when it learned the run id; empty before that."""
        return str(getattr(operator, "run_url", "") or "")


def run_url(template: str | None, run_id: str, task: Any) -> str:
    """
    Make the address of a run.

    :param template: the connection's ``run_url_template``.
    :param run_id: Runflow's id.
    :param task: a :class:`~airflow_provider_runflow.runs.identity.TaskIdentity`, or Airflow's task instance.
    """
    if template:
        return template.replace("{run_id}", quote(run_id, safe=""))
    return pictures_page(task.dag_id, task.run_id, task.task_id, _map_index(task))


def pictures_page(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the address of a task instance's *Pictures* tab in the Airflow UI."""
    dag, run, name = (quote(part, safe="") for part in (dag_id, run_id, task_id))
    mapped = "" if map_index < 0 else f"/mapped/{map_index}"
    return f"{base_path()}/dags/{dag}/runs/{run}/tasks/{name}{mapped}/plugin/{TASK_ROUTE}"


def xcoms_page(task: Any) -> str:
    """Return the address of a task instance's *XCom* tab, for tasks that make no pictures of their own."""
    return pictures_page(task.dag_id, task.run_id, task.task_id, _map_index(task)).rpartition("/plugin/")[0] + "/xcom"


def _map_index(task: Any) -> int:
    return -1 if task.map_index is None else int(task.map_index)


def base_path() -> str:
    """Return the path that the Airflow UI is served under; empty when that is the root."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
