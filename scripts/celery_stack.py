# SPDX-License-Identifier: Apache-2.0
"""A real Airflow spread over many processes: two of each kind that there may be several of, and no shared disk.

PostgreSQL, Redis and the CeleryExecutor. Every component has a home and a copy of the DAG files of its own; task logs
go to S3, as they must where nobody can read the worker's disk. Workers do not know the database's address, and the
folders of the triggerers are empty: a trigger needs no DAG file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from scripts.component_name import NAME
from scripts.databases import Server, postgres, redis
from scripts.stack import AirflowStack, bundle_list

DATABASE = "airflow"
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
#: What each worker does at the same time.
CONCURRENCY = 4


def _worker(name: str) -> tuple[str, ...]:
    alone = ("--without-gossip", "--without-mingle", "--skip-serve-logs")
    return ("celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", str(CONCURRENCY), *alone)


@dataclass
class CeleryStack(AirflowStack):
    """
    Two schedulers, two workers, two triggerers, one API server, one DAG processor.

    :param database: PostgreSQL.
    :param broker: Redis.
    :param log_folder: where task logs go, ``s3://…``; reached through ``aws_default``.
    """

    database: Server = field(kw_only=True)
    broker: Server = field(kw_only=True)
    log_folder: str = field(kw_only=True)

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "api-server": ("api-server",),
        "scheduler-1": ("scheduler", "-s"),
        "scheduler-2": ("scheduler", "-s"),
        "dag-processor": ("dag-processor",),
        **dict.fromkeys(TRIGGERERS, ("triggerer", "-s")),
        **{name: _worker(name) for name in WORKERS},
    }

    @property
    def database_url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg2://{DATABASE}:{self.database.password}@127.0.0.1:{self.database.port}/{DATABASE}"

    def environment(self) -> dict[str, str]:
        broker = f"redis://:{self.broker.password}@127.0.0.1:{self.broker.port}"
        return {
            **super().environment(),
            "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url,
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": self.log_folder,
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "aws_default",
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
            # What a dead worker had taken from the queue goes to another one: after ten minutes, by default.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "10",
        }

    def environment_of(self, component: str) -> dict[str, str]:
        own = self.home / component
        here = {}
        for name, path in self.bundles.items():
            here[name] = own / "dags" / name
            if component in TRIGGERERS:
                here[name].mkdir(parents=True, exist_ok=True)
            elif not here[name].exists():
                shutil.copytree(path, here[name], ignore=shutil.ignore_patterns("__pycache__"))
        settings = {
            **self.environment(),
            "AIRFLOW_HOME": str(own),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "scripts.component_name.component_name",
            NAME: component,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundle_list(here),
        }
        if component in WORKERS:
            settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
        return settings


@contextmanager
def celery_airflow(
    home: Path, bundles: Mapping[str, Path], env: Mapping[str, str], servers: Path, log_folder: str
) -> Iterator[CeleryStack]:
    """
    Run it, with its database and its broker.

    :param servers: folder of PostgreSQL and Redis; not below a person's home, which another user cannot enter.
    """
    with postgres(servers / "postgres", DATABASE) as database, redis(servers / "redis") as broker:
        stack = CeleryStack(home, bundles, env, parallelism=64, database=database, broker=broker, log_folder=log_folder)
        with stack:
            yield stack
