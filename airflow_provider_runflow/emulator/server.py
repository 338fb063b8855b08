# SPDX-License-Identifier: Apache-2.0
"""Serving the emulator on a socket with uvicorn: in the foreground, or in a thread for tests."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .asgi import Application, Log, create_app
from .clock import Clock, SystemClock
from .core import Emulator
from .courier import Courier

if TYPE_CHECKING:
    import uvicorn

DEFAULT_KEY = "rf_live_emulator"
START_SECONDS = 20.0
KEEP_ALIVE_SECONDS = 75  # above the idle time of client pools: else a pooled connection dies under a request
BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """Take a port, 0 for a free one, before anything else can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle off; without it each answer on a kept connection takes 40 ms longer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def base_url(sock: socket.socket) -> str:
    """Give the address under which this machine reaches the socket."""
    host, port = sock.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


def connection_json(url: str, key: str = DEFAULT_KEY) -> str:
    """Give the value of AIRFLOW_CONN_RUNFLOW_DEFAULT for an emulator."""
    return json.dumps({"conn_type": "runflow", "host": url, "password": key})


def uvicorn_server(app: Application, on_ready: Callable[[], None] | None = None) -> uvicorn.Server:
    """Make a quiet uvicorn server that tells when it serves."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if on_ready is not None and self.started:
                on_ready()

    options: dict[str, Any] = {"http": "h11", "loop": "asyncio", "ws": "none", "lifespan": "off"}
    return Server(
        uvicorn.Config(
            app,
            access_log=False,
            server_header=False,  # the storage answers say that they are S3
            log_config=None,
            log_level="critical",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
            **options,
        )
    )


class EmulatorServer:
    """An emulator on a free port of this machine, in a thread, for as long as a `with` block lasts."""

    def __init__(
        self,
        emulator: Emulator | None = None,
        clock: Clock | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Log | None = None,
        around: Callable[[Application], Application] = lambda application: application,
    ) -> None:
        """Take the port. `around` puts something between the socket and the emulator."""
        self.emulator = emulator or Emulator()
        self.clock = clock or SystemClock()
        self._socket = bind(host, port)
        self.url = base_url(self._socket)
        self._ready = threading.Event()
        self._server = uvicorn_server(around(create_app(self.emulator, self.clock, log)), self._ready.set)
        self._courier = Courier(self.emulator, self.clock, self.url, log)
        self._thread = threading.Thread(target=self._serve, name="runflow-emulator", daemon=True)

    def _serve(self) -> None:
        with self._courier:
            self._server.run(sockets=[self._socket])

    def start(self) -> EmulatorServer:
        """Serve; return when requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready.wait(0.05):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the emulator did not start")
        return self

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(START_SECONDS)
        self._socket.close()

    def connection_json(self, key: str = DEFAULT_KEY) -> str:
        """Give the value of AIRFLOW_CONN_RUNFLOW_DEFAULT for this emulator."""
        return connection_json(self.url, key)

    def __enter__(self) -> EmulatorServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
