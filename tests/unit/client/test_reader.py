# SPDX-License-Identifier: Apache-2.0
"""client/reader.py against a web server on loopback: what comes through, and whose errors."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from airflow_provider_runflow.client import storage  # noqa: F401 - quiets urllib3's log, as every user of the reader does
from airflow_provider_runflow.client.reader import PIECE_BYTES, LargeReads, reader
from scripts.processes import free_port

BODY = bytes(range(256)) * 4096
SECRET = "X-Amz-Signature=5ec7e7"
TLS = ssl.create_default_context()


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: set[tuple[str, int]] = set()
    headers_seen: list[dict[str, str]] = []
    wait = threading.Event()

    def do_GET(self) -> None:
        Web.connections.add(self.client_address)
        Web.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
        if self.path.startswith("/slow"):
            Web.wait.wait(5)
        self.send_response(404 if self.path.startswith("/gone") else 200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Web.connections, Web.headers_seen, Web.wait = set(), [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        Web.wait.set()
        server.shutdown()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(transport=LargeReads(TLS), timeout=5) as made:
        yield made


def test_a_body_comes_whole_in_large_pieces(web: str, client: httpx.Client) -> None:
    with client.stream("GET", f"{web}/0.png?{SECRET}") as answer:
        pieces = list(answer.iter_bytes())
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) == PIECE_BYTES


def test_a_connection_is_used_again_after_a_body_was_read_and_not_after_half_of_one(
    web: str, client: httpx.Client
) -> None:
    for _ in range(3):
        client.get(f"{web}/0.png")
    assert len(Web.connections) == 1
    with client.stream("GET", f"{web}/0.png") as answer:
        next(answer.iter_bytes())
    assert client.get(f"{web}/0.png").content == BODY
    assert len(Web.connections) == 2


def test_any_status_is_an_answer_and_the_headers_are_httpxs_own(web: str, client: httpx.Client) -> None:
    answer = client.get(f"{web}/gone", headers={"Accept-Encoding": "identity"})
    assert (answer.status_code, answer.headers["content-length"]) == (404, str(len(BODY)))
    assert Web.headers_seen[0]["accept-encoding"] == "identity"
    assert "authorization" not in Web.headers_seen[0]


def test_what_is_sent_goes_through_httpx(web: str, client: httpx.Client) -> None:
    assert client.put(f"{web}/upload", content=b"x").status_code == 200


def test_a_host_that_is_not_there_is_a_connect_error_without_the_query(client: httpx.Client) -> None:
    with pytest.raises(httpx.ConnectError, match="refused") as caught:
        client.get(f"http://127.0.0.1:{free_port()}/0.png?{SECRET}")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_host_that_says_nothing_is_a_read_timeout(web: str, client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"{web}/slow?{SECRET}", timeout=0.2)


def test_its_log_has_no_query_at_any_level(web: str, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")
    client.get(f"{web}/0.png?{SECRET}")
    assert "GET /0.png" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_where_a_proxy_is_set_httpx_reads_by_itself(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.lower(), raising=False)
    assert isinstance(reader(TLS), LargeReads)
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert reader(TLS) is None
