# SPDX-License-Identifier: Apache-2.0
"""A real Airflow with three users, the emulator and a local S3, for the light table.

`python -m tests.e2e.light_table.surroundings DIR` keeps one running until Ctrl-C and prints its address.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.airflow_api import AirflowApi
from scripts.demo_services import Emulator, LocalS3
from scripts.processes import Program, interruptible, stop
from scripts.stack import AirflowStack

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
#: What each may: everything; read; read, but for one DAG (doorkeeper.py).
USERS = {"ada": "admin", "bob": "viewer", "eve": "viewer"}
PASSWORDS = {name: f"{name}-password" for name in USERS}
SLOW = {"route": "create", "prompt_contains": "painted slowly", "outcome": "succeeded", "seconds": 400}
# Long enough for somebody to open a page and see it wait.
PATIENT = {"route": "create", "prompt_contains": "painted patiently", "outcome": "succeeded", "seconds": 45}


class AdasApi(AirflowApi):
    """The REST API as ada."""

    def log_in(self) -> None:
        # A machine that draws, scales and browses at once may keep one waiting.
        self._http.timeout = 120
        self._http.headers["Authorization"] = f"Bearer {token(self.base_url, 'ada')}"


def token(base_url: str, name: str) -> str:
    import httpx

    body = {"username": name, "password": PASSWORDS[name]}
    answer = httpx.post(f"{base_url}/auth/token", json=body, trust_env=False, timeout=120).raise_for_status()
    return str(answer.json()["access_token"])


@dataclass
class LightTable:
    airflow: AirflowStack
    emulator: Emulator
    s3_root: Path
    aws: str

    def put(self, key: str, raw: bytes) -> None:
        """Stores an object through the S3 API: rclone does not see at once what is written beside it."""
        import boto3
        from botocore.config import Config

        told = json.loads(self.aws)
        config = Config(**{**told["extra"]["config_kwargs"]})
        client = boto3.client(
            "s3",
            endpoint_url=told["extra"]["endpoint_url"],
            region_name="us-east-1",
            aws_access_key_id=told["login"],
            aws_secret_access_key=told["password"],
            config=config,
        )
        client.put_object(Bucket="brand-assets", Key=key, Body=raw)

    @property
    def url(self) -> str:
        return self.airflow.url


@contextlib.contextmanager
def light_table(folder: Path, more_dags: Mapping[str, Path] | None = None) -> Iterator[LightTable]:
    """Brings everything up, and takes it down again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s3" / "brand-assets").mkdir(parents=True, exist_ok=True)
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    programs: list[Program] = []
    try:
        s3 = LocalS3.start(folder / "s3", folder / "rclone.log")
        programs.append(s3.program)
        blocked = {"route": "create", "prompt_contains": "Scharf wie nie", "outcome": "blocked"}
        emulator = Emulator.start(folder, [blocked, SLOW, PATIENT])
        programs.append(emulator.program)
        aws = s3.connection(s3.wait())
        env = {
            "AIRFLOW_CONN_AWS_DEFAULT": aws,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": json.dumps(
                {"conn_type": "runflow", "host": emulator.wait(), "password": emulator.key}
            ),
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.e2e.light_table.doorkeeper.Doorkeeper",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "PYTHONPATH": str(REPOSITORY),
        }
        bundles = {"light-table": HERE / "dags", "examples": REPOSITORY / "dags", **(more_dags or {})}
        airflow = AirflowStack(folder / "airflow", bundles, env=env, parallelism=4)
        airflow.api = AdasApi(airflow.url)
        with airflow:
            yield LightTable(airflow, emulator, folder / "s3", aws)
    finally:
        stop(programs, grace=5)


def main() -> int:
    with interruptible(), contextlib.suppress(KeyboardInterrupt), light_table(Path(sys.argv[1])) as table:
        print(f"up: {table.url} (emulator {table.emulator.ready_file.read_text().strip()})", flush=True)
        while True:
            table.airflow.check()
            time.sleep(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
