# SPDX-License-Identifier: Apache-2.0
"""What `make e2e-celery` sees in PostgreSQL: which component has what in hand.

It answers while the API server is dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2

from scripts.databases import Server


@dataclass(frozen=True)
class Record:
    """Airflow's database."""

    server: Server
    database: str

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Of a DAG run."""
        rows = self._all("SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s", dag_id, run_id)
        return str(rows[0][0])

    def task_states(self, dag_id: str, run_id: str) -> Counter[str]:
        """How many task instances are in which state."""
        query = "SELECT COALESCE(state, 'none') FROM task_instance WHERE dag_id = %s AND run_id = %s"
        return Counter(str(state) for (state,) in self._all(query, dag_id, run_id))

    def tries(self, dag_id: str, run_id: str) -> int:
        """Of all its task instances together."""
        query = "SELECT SUM(try_number) FROM task_instance WHERE dag_id = %s AND run_id = %s"
        return int(self._all(query, dag_id, run_id)[0][0])

    def running(self, dag_id: str, run_id: str, worker: str) -> set[str]:
        """The ids of the task instances that a worker has in hand."""
        query = "SELECT id FROM task_instance WHERE dag_id = %s AND run_id = %s AND state = 'running' AND hostname = %s"
        return {str(ti_id) for (ti_id,) in self._all(query, dag_id, run_id, worker)}

    def triggers(self, triggerer: str) -> set[int]:
        """The ids of the triggers that a triggerer has in hand."""
        query = "SELECT trigger.id FROM trigger JOIN job ON trigger.triggerer_id = job.id WHERE job.hostname = %s"
        return {int(trigger_id) for (trigger_id,) in self._all(query, triggerer)}

    def alive(self, names: Sequence[str]) -> set[str]:
        """Those of the components that have a heartbeat younger than 10 s."""
        query = "SELECT hostname FROM job WHERE state = 'running' AND latest_heartbeat > NOW() - INTERVAL '10 s'"
        return {str(name) for (name,) in self._all(query)} & set(names)

    def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        where = {"host": "127.0.0.1", "port": self.server.port, "user": self.database, "password": self.server.password}
        with closing(psycopg2.connect(dbname=self.database, connect_timeout=10, **where)) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
