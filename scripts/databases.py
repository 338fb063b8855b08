# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and Redis of the machine's packages, on loopback: a folder, a port and a password of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.processes import Program, ProgramFailed, free_port, run_to_end, stop
from scripts.waiting import wait_for

#: PostgreSQL refuses to run as root; its package makes this user.
POSTGRES_USER = "postgres"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    password: str


@contextmanager
def postgres(folder: Path, database: str) -> Iterator[Server]:
    """
    Run a PostgreSQL with an empty database, whose owner bears its name.

    :param folder: for its data and its log; every directory above it must be open to all, if this runs as root.
    :raises ProgramFailed: there is no PostgreSQL on this machine.
    """
    folder.mkdir(parents=True)
    data, words = folder / "data", folder / "password"
    server = Server(free_port(), secrets.token_urlsafe(24))
    words.touch(mode=0o600)
    words.write_text(server.password)
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups"]
        for path in (folder, words):
            shutil.chown(path, POSTGRES_USER, POSTGRES_USER)
    login = ["--username", database, "--auth", "scram-sha-256", "--pwfile", str(words)]
    create = [*as_user, _postgres_program("initdb"), "--pgdata", str(data), "--encoding", "UTF8", *login]
    run_to_end("initdb", create, log=folder / "initdb.log", env=dict(os.environ), seconds=60)
    words.unlink()
    # It lives for minutes: what a power cut would cost does not matter.
    options = ["-p", str(server.port), "-h", "127.0.0.1", "-k", "", "-F", "-c", "max_connections=300"]
    serve = [*as_user, _postgres_program("postgres"), "-D", str(data), *options]
    with _running("postgres", serve, folder / "postgres.log", server.port):
        environment = {**os.environ, "PGPASSWORD": server.password}
        at = ["-h", "127.0.0.1", "-p", str(server.port), "-U", database]
        # It listens a moment before it takes anybody.
        ready = [_postgres_program("pg_isready"), "--quiet", *at]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, seconds=30, what="postgres is ready")
        made = [_postgres_program("createdb"), *at, database]
        run_to_end("createdb", made, log=folder / "createdb.log", env=environment, seconds=30)
        yield server


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """
    Run a Redis that keeps nothing on disk.

    :raises ProgramFailed: there is no Redis on this machine.
    """
    folder.mkdir(parents=True)
    server = Server(free_port(), secrets.token_urlsafe(24))
    settings = folder / "redis.conf"
    settings.touch(mode=0o600)
    lines = [f"port {server.port}", "bind 127.0.0.1", 'save ""', f"dir {folder}", f"requirepass {server.password}"]
    settings.write_text("\n".join(lines) + "\n")
    serve = [_program("redis-server", "redis-server"), str(settings)]
    with _running("redis", serve, folder / "redis.log", server.port):
        yield server


@contextmanager
def _running(name: str, command: list[str], log: Path, port: int) -> Iterator[None]:
    program = Program.start(name, command, log=log, env=dict(os.environ))
    try:
        wait_for(_answers(program, port), seconds=30, what=f"{name} answers on port {port} ({log})")
        yield
    finally:
        stop([program], grace=5)


def _answers(program: Program, port: int) -> Callable[[], bool]:
    def look() -> bool:
        program.check()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return look


def _postgres_program(name: str) -> str:
    # Debian keeps them off the PATH, one folder a version.
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(versions[-1]) if versions else _program(name, "postgresql")


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ProgramFailed(f"{name} is missing. On Debian and Ubuntu: apt-get install {package}.")
    return found
