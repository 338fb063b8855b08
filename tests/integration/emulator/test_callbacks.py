# SPDX-License-Identifier: Apache-2.0
"""A callback on its whole way: a run ends, the server signs and POSTs, a handler verifies with our helper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.callbacks import SIGNATURE_HEADER, verify_signature
from airflow_provider_runflow.emulator import Emulator, EmulatorServer, VirtualClock
from airflow_provider_runflow.exceptions import SignatureMismatchError, SignatureMissingError

pytestmark = pytest.mark.integration

KEY = {"Authorization": "Bearer rf_live_test"}
RUNS = "/v1/models/openai/gpt-image-2/runs"


@dataclass
class Handler:
    """A web hook on loopback: keeps what it is sent, answers what a test says."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def handler() -> Iterator[Handler]:
    told = Handler()

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.received.append((body, dict(self.headers.items())))
            self.send_response(told.statuses.pop(0) if told.statuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/runflow?task=hero"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def server() -> Iterator[EmulatorServer]:
    with EmulatorServer(Emulator(picture_size=(24, 16)), VirtualClock()) as running:
        yield running


@pytest.fixture
def http(server: EmulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=KEY, trust_env=False) as client:
        yield client


def until(found: Callable[[], Any]) -> Any:
    """Waits for the courier, which looks ten times a second."""
    deadline = time.monotonic() + 10
    while not (value := found()):
        assert time.monotonic() < deadline, "no callback within 10 s"
        time.sleep(0.02)
    return value


def ended(server: EmulatorServer, http: httpx.Client, callback_url: str) -> str:
    body = {"input": {"prompt": "a fox", "quality": "low"}, "callback_url": callback_url}
    run_id: str = http.post(RUNS, json=body).json()["id"]
    server.clock.sleep(31)
    return run_id


def history(http: httpx.Client, run_id: str) -> Any:
    return http.get(f"/v1/runs/{run_id}/callback").json()


def test_a_signed_callback_is_verified_by_the_handler(
    server: EmulatorServer, http: httpx.Client, handler: Handler
) -> None:
    secret = http.post("/v1/callback-secrets", json={"label": "airflow"}).json()["plain_secret"]
    run_id = ended(server, http, handler.url)
    until(lambda: handler.received)
    body, headers = handler.received[0]
    callback = verify_signature(body, headers[SIGNATURE_HEADER], secret)
    assert (callback.event, callback.run_id, callback.status) == ("run.completed", run_id, "succeeded")
    assert headers["Content-Type"] == "application/json"
    picture = httpx.get(callback.output_urls[0], trust_env=False)
    assert picture.content.startswith(b"\x89PNG")
    with pytest.raises(SignatureMismatchError):
        verify_signature(body, headers[SIGNATURE_HEADER], "whsec_of_somebody_else")
    told = until(lambda: [d for d in history(http, run_id) if d["status_code"] == "delivered"])
    assert told[0]["attempts"][0]["status_code"] == 200


def test_without_a_secret_it_is_not_signed_and_not_believed(
    server: EmulatorServer, http: httpx.Client, handler: Handler
) -> None:
    ended(server, http, handler.url)
    body, headers = until(lambda: handler.received)[0]
    with pytest.raises(SignatureMissingError):
        verify_signature(body, headers.get(SIGNATURE_HEADER), "whsec_mine")


def test_a_handler_that_is_down_is_asked_again_with_the_same_bytes(
    server: EmulatorServer, http: httpx.Client, handler: Handler
) -> None:
    handler.statuses = [503]
    run_id = ended(server, http, handler.url)
    until(lambda: history(http, run_id) and history(http, run_id)[0]["attempt_count"] == 1)
    server.clock.sleep(1)
    until(lambda: len(handler.received) == 2)
    assert handler.received[0][0] == handler.received[1][0]


def test_an_address_elsewhere_is_not_called_and_the_history_says_why(
    server: EmulatorServer, http: httpx.Client
) -> None:
    run_id = ended(server, http, "https://hooks.example.com/runflow")
    (told,) = until(lambda: [d for d in history(http, run_id) if d["attempts"]])
    assert told["attempts"][0]["error_message"] == "not sent: the emulator calls loopback addresses only"
