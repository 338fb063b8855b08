# SPDX-License-Identifier: Apache-2.0
"""Sends callbacks from a thread beside a server: best effort, and to loopback addresses only."""

from __future__ import annotations

import http.client
import ipaddress
import threading
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

from .callbacks import Delivery, Result
from .clock import Clock
from .core import Emulator

LOOK_EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 5.0  # "within a few seconds" is what a handler is told
ANSWER_BYTES = 1000


class Courier:
    """Delivers what an emulator has due, for as long as a `with` block lasts."""

    def __init__(
        self, emulator: Emulator, clock: Clock, base_url: str, log: Callable[[str], None] | None = None
    ) -> None:
        self._emulator = emulator
        self._clock = clock
        self._base_url = base_url
        self._log = log or (lambda line: None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="runflow-emulator-callbacks", daemon=True)

    def __enter__(self) -> Courier:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2 * PATIENCE_SECONDS)

    def _work(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            for delivery in self._emulator.callbacks_due(self._clock.now(), self._base_url):
                if self._stop.is_set():
                    return
                result = deliver(delivery)
                self._log(f"callback {result.status or result.error} {delivery.run.id}")
                self._emulator.callback_tried(delivery, result, self._clock.now())


def deliver(delivery: Delivery) -> Result:
    """Try to deliver a callback once. Anything that goes wrong is a result too."""
    parts = _loopback(delivery.url)
    if parts is None:
        return Result(error="not sent: the emulator calls loopback addresses only")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    began = time.monotonic()
    connection = kind(str(parts.hostname), parts.port, timeout=PATIENCE_SECONDS)
    try:
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("POST", path, delivery.body, delivery.headers)
        answer = connection.getresponse()
        text = answer.read(ANSWER_BYTES).decode(errors="replace")
        return Result(answer.status, text, milliseconds=round((time.monotonic() - began) * 1000))
    except (OSError, http.client.HTTPException, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        return Result(error=said, milliseconds=round((time.monotonic() - began) * 1000))
    finally:
        connection.close()


def _loopback(url: str) -> SplitResult | None:
    """Take an address apart; None when it is none of this machine's own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return None
    return parts if here and parts.scheme in ("http", "https") and port != 0 else None
