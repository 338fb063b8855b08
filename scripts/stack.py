# SPDX-License-Identifier: Apache-2.0
"""A real Airflow on this machine: API server, scheduler, DAG processor and triggerer, on loopback only.

    with AirflowStack(home, bundles={"examples": Path("dags")}) as stack:
        stack.api.trigger("my_dag")

SQLite and the LocalExecutor, no login, no schedules, no example DAGs, a free port, a home of its own.
`python -m scripts.stack --home DIR --dags DIR` keeps one running until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from scripts.airflow_api import AirflowApi
from scripts.processes import Program, free_port, interruptible, run_to_end, stop, uninterrupted
from scripts.waiting import TookTooLong, wait_for

# -s: no log server, which would listen on every address of the machine.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "-s"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "-s"),
}
#: What a person's shell may hold that this Airflow must not see.
FOREIGN = ("AIRFLOW", "_AIRFLOW", "AWS_", "RCLONE_", "RUNFLOW")


def own_environment(**more: str) -> dict[str, str]:
    """The environment for what is started here: the person's, without their Airflow, Runflow and AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    here = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    return {**kept, **here, **more}


@dataclass
class AirflowStack:
    """Components that come and go together. `env` reaches all of them and every task."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = COMPONENTS

    home: Path
    bundles: Mapping[str, Path]
    env: Mapping[str, str] = field(default_factory=dict)
    parallelism: int = 4
    port: int = field(default_factory=free_port)
    _programs: list[Program] = field(default_factory=list, init=False)
    _killed: list[Program] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.home = self.home.resolve()
        self.api = AirflowApi(self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """Where the components write; task logs are in `home / "logs"`."""
        return self.home / "components"

    def environment(self) -> dict[str, str]:
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": self._secret("api"),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret("jwt"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": self._secret("fernet"),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundle_list(self.bundles),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            # On a busy machine the API server answers late; a task whose supervisor gives up first has a try less.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            # Only what is triggered runs: a DAG with a schedule would start a run of its own at once.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        }
        return own_environment(**{**settings, **self.env})

    def environment_of(self, component: str) -> dict[str, str]:
        """The environment of one component: here that of all."""
        return self.environment()

    def _secret(self, name: str) -> str:
        """The same for every component of this home; a file that only its owner reads."""
        path = self.home / f".{name}-key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(urlsafe_b64encode(secrets.token_bytes(32)))
        return path.read_text()

    # ------------------------------------------------------------------ coming and going

    def __enter__(self) -> AirflowStack:
        try:
            self.start()
        except BaseException:
            self.stop(grace=2)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, seconds: float = 300) -> None:
        """Migrates the database, starts the components, and returns when all are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        env = self.environment()
        run_to_end(
            "airflow db migrate",
            _airflow("db", "migrate"),
            log=self.logs / "migrate.log",
            env=env,
            seconds=seconds,
        )
        for name in self.components:
            self._start(name, self.logs / f"{name}.log")
        self._wait_until_healthy(seconds)
        self.api.log_in()

    def _start(self, name: str, log: Path) -> None:
        command = _airflow(*self.components[name])
        self._programs.append(Program.start(name, command, log=log, env=self.environment_of(name)))

    def component(self, name: str) -> Program:
        """The running component of that name."""
        return next(program for program in self._programs if program.name == name)

    def kill_and_restart(self, name: str, *, alone: bool = False) -> Program:
        """Kills a component (`alone`: its first process only) and starts it again, without waiting; gives the dead."""
        dead = self.kill(name, alone=alone)
        self.restart(name)
        return dead

    def kill(self, name: str, *, alone: bool = False) -> Program:
        """Kills a component (`alone`: its first process only); gives the dead."""
        dead = self.component(name)
        dead.kill(alone=alone)
        self._programs.remove(dead)
        self._killed.append(dead)
        return dead

    def restart(self, name: str) -> None:
        """Starts a killed component again, without waiting."""
        self._start(name, self.logs / f"{name}-{len(self._killed)}.log")

    def _wait_until_healthy(self, seconds: float) -> None:
        def healthy() -> bool:
            self.check()
            return self.api.healthy()

        try:
            wait_for(healthy, seconds=seconds, what=f"Airflow on {self.url} healthy")
        except TookTooLong as late:
            tails = "\n".join(program.tail(8) for program in self._programs)
            raise TookTooLong(f"{late}\n{tails}") from None

    def check(self) -> None:
        """Raises with the end of its log if a component has ended."""
        for program in self._programs:
            program.check()

    def stop(self, *, grace: float = 20.0) -> None:
        """Ends what `start` started, and nothing else."""
        with uninterrupted():
            stop([*self._programs, *self._killed], grace=grace)
            self._programs.clear()
            self._killed.clear()
            self.api.close()


def bundle_list(bundles: Mapping[str, Path]) -> str:
    """DAG folders, as `[dag_processor] dag_bundle_config_list` wants them."""
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps(
        [
            {"name": name, "classpath": classpath, "kwargs": {"path": str(path.resolve())}}
            for name, path in bundles.items()
        ]
    )


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.stack", description="A local Airflow until Ctrl-C.")
    parser.add_argument("--home", type=Path, required=True, help="AIRFLOW_HOME: database and logs")
    parser.add_argument("--dags", type=Path, required=True, help="folder with DAG files")
    arguments = parser.parse_args()
    connections = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
    began = time.monotonic()
    with interruptible():
        try:
            with AirflowStack(arguments.home, {"dags": arguments.dags}, env=connections) as stack:
                print(f"Airflow is up after {time.monotonic() - began:.1f} s: {stack.url} (Ctrl-C stops it)")
                while True:
                    stack.check()
                    time.sleep(1)
        except KeyboardInterrupt:
            print("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
