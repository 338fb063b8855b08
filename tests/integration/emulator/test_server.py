# SPDX-License-Identifier: Apache-2.0
"""The emulator behind a real socket: what a real HTTP client meets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorServer, VirtualClock

pytestmark = pytest.mark.integration

RUNS = "/v1/models/openai/gpt-image-2/runs"
BODY = {"input": {"prompt": "A red fox", "quality": "low"}}
KEY = {"Authorization": "Bearer rf_live_test"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One server for all tests of this file, on a virtual clock."""
    emulator = Emulator(picture_size=(200, 100))
    with EmulatorServer(emulator, VirtualClock()) as running:
        yield running


@pytest.fixture
def http(server: EmulatorServer) -> Iterator[httpx.Client]:
    server.emulator.reset()
    with httpx.Client(base_url=server.url, headers=KEY, trust_env=False) as client:
        yield client


def finished(http: httpx.Client) -> dict[str, Any]:
    run_id = http.post(RUNS, json=BODY).json()["id"]
    http.post("/_emulator/clock", json={"advance": 31})
    run: dict[str, Any] = http.get(f"/v1/runs/{run_id}").json()
    return run


def picture_url(http: httpx.Client) -> str:
    return str(finished(http)["output"]["outputs"][0]["url"])


def get(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, **options)


def test_a_picture_is_made_fetched_and_billed_over_http(http: httpx.Client, server: EmulatorServer) -> None:
    run = finished(http)
    url = run["output"]["outputs"][0]["url"]
    assert url.startswith(server.url + "/outputs/")
    picture = get(url)
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["content-length"] == str(len(picture.content))
    assert get(url).content == picture.content
    assert get(url, headers=KEY).status_code == 400
    assert http.get("/_emulator/ledger").json()["totals"]["cost_usd"] == "0.009000"


def test_filters_and_cursors_survive_url_encoding(http: httpx.Client) -> None:
    reference = "ns:dag/täsk & run+1=2026-03-01T00:00:00+00:00"
    for _ in range(3):
        http.post(RUNS, json={**BODY, "client_ref": reference})
    query = {"q": f"client_ref.EQ:'{reference}'", "limit": "2"}
    first = http.get("/v1/runs", params=query).json()
    second = http.get("/v1/runs", params={**query, "pq": first["next"]}).json()
    assert (len(first["items"]), len(second["items"])) == (2, 1)


def test_a_head_request_has_no_body(http: httpx.Client) -> None:
    response = http.head("/v1/health")
    assert response.status_code == 405
    assert response.content == b""


@pytest.mark.parametrize("effect", ["drop_before", "drop_after"])
def test_a_dropped_connection_is_closed_without_an_answer(http: httpx.Client, effect: str) -> None:
    http.post("/_emulator/faults", json={"route": "create", "effect": effect, "times": 1})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.post(RUNS, json=BODY, headers={"Idempotency-Key": "k"})
    runs = http.get("/_emulator/ledger").json()["totals"]["runs"]
    assert runs == (0 if effect == "drop_before" else 1)
    assert http.post(RUNS, json=BODY, headers={"Idempotency-Key": "k"}).status_code == 201
    assert http.get("/_emulator/ledger").json()["totals"]["runs"] == 1


def test_a_dropped_connection_sends_not_a_single_byte(http: httpx.Client, server: EmulatorServer) -> None:
    http.post("/_emulator/faults", json={"route": "list", "effect": "drop_after"})
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer rf_a\r\n\r\n")
        assert raw.recv(100) == b""


def test_a_truncated_download_breaks_off(http: httpx.Client) -> None:
    url = picture_url(http)
    http.post("/_emulator/faults", json={"route": "output", "effect": "truncate", "truncate_to": 64})
    with pytest.raises(httpx.RemoteProtocolError, match="received 64 bytes"):
        get(url)


def test_a_truncated_chunked_download_looks_complete(http: httpx.Client) -> None:
    url = picture_url(http)
    rule = {"route": "output", "effect": "truncate", "truncate_to": 64, "chunked": True}
    http.post("/_emulator/faults", json=rule)
    response = get(url)
    assert "content-length" not in response.headers
    assert len(response.content) == 64


def test_an_oversize_download_announces_its_length_and_stops_when_the_client_goes(http: httpx.Client) -> None:
    url = picture_url(http)
    http.post("/_emulator/faults", json={"route": "output", "effect": "oversize", "times": 1})
    with httpx.stream("GET", url, trust_env=False) as response:
        assert int(response.headers["content-length"]) == 4 * 1024**3
        assert len(next(response.iter_bytes())) > 0
    assert get(url).content.startswith(b"\x89PNG")  # the server is free for the next one


def test_malformed_json_and_proxy_pages_arrive_as_such(http: httpx.Client) -> None:
    http.post("/_emulator/faults", json=[{"route": "list", "effect": "malformed", "times": 1}])
    http.post("/_emulator/faults", json=[{"route": "list", "effect": "html", "times": 1}])
    broken, page = http.get("/v1/runs"), http.get("/v1/runs")
    assert (broken.status_code, broken.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        broken.json()
    assert page.headers["content-type"] == "text/html"


def test_many_clients_at_once_get_their_own_answers(server: EmulatorServer, http: httpx.Client) -> None:
    async def create_all() -> list[str]:
        async with httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as client:
            posts = [client.post(RUNS, json={**BODY, "client_ref": str(n)}) for n in range(40)]
            return [answer.json()["client_ref"] for answer in await asyncio.gather(*posts)]

    assert asyncio.run(create_all()) == [str(n) for n in range(40)]
    assert len(server.emulator.runs) == 40


@pytest.fixture
def fast() -> Iterator[httpx.Client]:
    """A server on the real clock whose runs finish in some ten milliseconds."""
    with (
        EmulatorServer(Emulator(time_scale=1000, picture_size=(16, 16))) as server,
        httpx.Client(base_url=server.url, headers=KEY, trust_env=False) as client,
    ):
        yield client


def waited_for(http: httpx.Client) -> dict[str, Any]:
    """Create a run and poll until it has succeeded."""
    run: dict[str, Any] = http.post(RUNS, json=BODY).json()
    deadline = time.monotonic() + 10
    while run["status_code"] != "succeeded":
        assert time.monotonic() < deadline
        run = http.get(f"/v1/runs/{run['id']}").json()
    return run


class TestOnARealClock:
    """Time that really passes: short, and compared with generous bounds only."""

    def test_a_time_scale_finishes_runs_quickly_and_latency_is_felt(self, fast: httpx.Client) -> None:
        path = f"/v1/runs/{waited_for(fast)['id']}"
        fast.post("/_emulator/faults", json={"route": "get", "effect": "latency", "seconds": 0.3})
        start = time.monotonic()
        assert fast.get(path).status_code == 200
        assert time.monotonic() - start >= 0.3
        with pytest.raises(httpx.ReadTimeout):
            fast.get(path, timeout=0.1)

    def test_a_slow_download_trickles_and_does_not_hold_up_others(self, fast: httpx.Client) -> None:
        run = waited_for(fast)
        url = run["output"]["outputs"][0]["url"]
        speed = len(get(url).content) * 2
        fast.post("/_emulator/faults", json={"route": "output", "effect": "slow", "bytes_per_second": speed})
        start = time.monotonic()
        slow = threading.Thread(target=get, args=(url,))
        slow.start()
        polls = 0
        while slow.is_alive():
            assert fast.get(f"/v1/runs/{run['id']}").status_code == 200
            polls += 1
        assert time.monotonic() - start >= 0.4
        assert polls > 10

    def test_the_clock_of_a_real_server_cannot_be_moved(self) -> None:
        with EmulatorServer() as server:
            response = httpx.post(f"{server.url}/_emulator/clock", json={"advance": 1}, trust_env=False)
            assert response.json()["code"] == "CLOCK_IS_REAL"

    def test_a_server_gives_its_port_back(self) -> None:
        with EmulatorServer() as server:
            port = int(server.url.rpartition(":")[2])
            assert '"host": "' + server.url + '"' in server.connection_json()
        with EmulatorServer(port=port) as again:
            assert again.url == server.url
