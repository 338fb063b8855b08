# SPDX-License-Identifier: Apache-2.0
"""A small client for Airflow's REST API (`/api/v2`), for the demo and the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from scripts.waiting import wait_for

Json = dict[str, Any]
FINISHED = frozenset({"success", "failed"})


class AirflowApi:
    """One server, as its administrator (simple auth manager, all admins)."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        # No proxy of the environment: the server is on this machine.
        self._http = httpx.Client(base_url=self.base_url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def healthy(self) -> bool:
        """Whether the database, scheduler, triggerer and DAG processor all say so."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        parts = [part or {} for part in answer.json().values()]
        return len(parts) >= 4 and all(part.get("status") == "healthy" for part in parts)

    def scheduler_heartbeat(self) -> str:
        """When the scheduler last said that it lives."""
        answer = self._http.get("/api/v2/monitor/health").raise_for_status()
        return str(answer.json()["scheduler"]["latest_scheduler_heartbeat"])

    def log_in(self) -> None:
        answer = self._http.get("/auth/token").raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: Any) -> Json:
        answer = self._http.get(f"/api/v2{path}", params=params).raise_for_status()
        found: Json = answer.json()
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        answer = self._http.post(f"/api/v2{path}", json=dict(body)).raise_for_status()
        found: Json = answer.json()
        return found

    # ------------------------------------------------------------------ DAGs and their runs

    def knows_dag(self, dag_id: str) -> bool:
        return self._http.get(f"/api/v2/dags/{dag_id}").status_code == 200

    def import_errors(self) -> list[str]:
        errors = self.get("/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def wait_for_dags(self, dag_ids: list[str], *, seconds: float = 300) -> None:
        """Until the DAG processor has parsed them; an import error ends the wait."""

        def parsed() -> bool:
            if all(self.knows_dag(dag_id) for dag_id in dag_ids):
                return True
            if errors := self.import_errors():
                raise RuntimeError("a DAG file cannot be imported:\n" + "\n".join(errors))
            return False

        wait_for(parsed, seconds=seconds, what=f"DAGs {', '.join(dag_ids)} parsed")

    def trigger(self, dag_id: str, *, conf: Mapping[str, Any] | None = None) -> str:
        """Starts a manual run; gives its run id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        run_id: str = self.post(f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        state: str = self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def wait_for_run(
        self, dag_id: str, run_id: str, *, seconds: float = 600, watch: Callable[[], None] | None = None
    ) -> str:
        """Until the DAG run has ended; gives "success" or "failed"."""

        def ended() -> str | None:
            if watch:
                watch()
            state = self.run_state(dag_id, run_id)
            return state if state in FINISHED else None

        return wait_for(ended, seconds=seconds, what=f"{dag_id} {run_id} ended", every=1.0)

    # ------------------------------------------------------------------ what its tasks did

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Every task instance of a run, mapped ones too, in the order of the DAG's ids and indexes."""
        found: list[Json] = []
        while True:
            page = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100, offset=len(found))
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return sorted(found, key=lambda item: (item["task_id"], item["map_index"]))

    def instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Json:
        """One task instance."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return self.get(path if map_index < 0 else f"{path}/{map_index}")

    def xcom(self, instance: Mapping[str, Any], key: str = "return_value") -> Any:
        """One XCom value of a task instance, or None."""
        path = f"{_path(instance)}/xcomEntries/{key}"
        answer = self._http.get(f"/api/v2{path}", params={"map_index": instance["map_index"]})
        return None if answer.status_code == 404 else answer.raise_for_status().json()["value"]

    def pictures_page(self, dag_id: str, run_id: str) -> Json:
        """What the tab *Pictures* of a DAG run is made of, its first 1,000 cards."""
        answer = self._http.get(f"/runflow/api/dags/{dag_id}/pictures", params={"run_id": run_id}).raise_for_status()
        found: Json = answer.json()
        return found

    def log(self, instance: Mapping[str, Any], try_number: int | None = None) -> list[Json]:
        """The log of one try (the last one by default): a list of events."""
        number = try_number or instance["try_number"]
        params = {"map_index": instance["map_index"], "full_content": "true"}
        answer = self._http.get(
            f"/api/v2{_path(instance)}/logs/{number}", params=params, headers={"Accept": "application/json"}
        )
        events = answer.raise_for_status().json()["content"]
        return [event if isinstance(event, dict) else {"event": event} for event in events]

    def error_of(self, instance: Mapping[str, Any], try_number: int | None = None) -> str:
        """The words of the exception that ended a task's try (the last one by default), or an empty string."""
        for event in reversed(self.log(instance, try_number)):
            if details := event.get("error_detail"):
                return str(details[-1].get("exc_value", "")).strip()
        return ""

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """What the button Clear does for finished task instances."""
        body = {"dag_run_id": run_id, "task_ids": task_ids, "dry_run": False, "only_failed": False}
        self.post(f"/dags/{dag_id}/clearTaskInstances", body)


def _path(instance: Mapping[str, Any]) -> str:
    return "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}".format(**instance)
