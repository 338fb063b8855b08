# SPDX-License-Identifier: Apache-2.0
"""What every test stands on: an Airflow home of its own, no way out of this machine, servers to ask for."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.target import LIVE

if TYPE_CHECKING:
    from airflow_provider_runflow.emulator import EmulatorServer
    from tests.harness import Airflow
    from tests.servers import S3Server

# `runflow_emulator`, as users load it; and `pytester`, to load it as they do.
pytest_plugins = ["airflow_provider_runflow.testing", "pytester"]


def _own_surroundings() -> None:
    """Before the first `import airflow`: nothing of the person's Airflow, keys or proxies reaches a test."""
    for name in [n for n in os.environ if n.startswith(("AIRFLOW", "RUNFLOW", "AWS_", "_AIRFLOW"))]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="runflow-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


_own_surroundings()


def _is_here(address: Any) -> bool:
    """Loopback and Unix sockets are this machine; anything else is not."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    return host in ("localhost", "::1", "") or host.startswith("127.")


@pytest.fixture(autouse=True, scope="session")
def _nothing_leaves_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that would call the real service, or any other host, fails where it tries; but for `make live`."""
    if LIVE in request.config.stash:
        yield
        return
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if not _is_here(address):
            raise AssertionError(f"a test tried to connect to {address}: tests talk to this machine only")
        return real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture
def airflow() -> Airflow:
    """Runs operators through the SDK's real task runner, without a database (tests/harness.py)."""
    from tests.harness import Airflow

    return Airflow()


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated metadata database, for `register(dag)` and `dag.test()`."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def _s3_process() -> Iterator[S3Server]:
    from tests.servers import S3Server

    server = S3Server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_server(_s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An empty S3 (moto) on loopback; the connection `aws_default` points to it."""
    _s3_process.reset()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", _s3_process.connection_json)
    return _s3_process


@pytest.fixture
def emulator_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorServer]:
    """A local Runflow over real HTTP; the connection `runflow_default` points to it."""
    from airflow_provider_runflow.emulator import EmulatorServer

    with EmulatorServer() as server:
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", server.connection_json())
        yield server
