# SPDX-License-Identifier: Apache-2.0
"""The httpx transport: both kinds of client, and what a broken network looks like in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, Request, VirtualClock, emulator_transport
from tests.unit.emulator.api import BASE, MODEL, Api, urls

KEY = {"Authorization": "Bearer rf_live_test"}


def with_picture(**fault: Any) -> tuple[Api, str]:
    """An emulator with one finished run, then a fault on downloads."""
    api = Api()
    url = urls(api.finished())[0]
    api.emulator.add_fault(route="output", **fault)
    return api, url


class TestSync:
    def test_one_transport_serves_any_number_of_clients(self, api: Api) -> None:
        run_id = api.created()
        assert api.client("another_key").get(f"/v1/runs/{run_id}").status_code == 200

    def test_every_request_can_be_watched(self) -> None:
        seen: list[Request] = []
        transport = emulator_transport(Emulator(), on_request=seen.append)
        with httpx.Client(transport=transport, base_url=BASE, headers=KEY) as client:
            client.get("/v1/runs", params={"q": "client_ref.EQ:'a b'", "limit": 3})
        assert (seen[0].method, seen[0].path) == ("GET", "/v1/runs")
        assert list(seen[0].query) == [("q", "client_ref.EQ:'a b'"), ("limit", "3")]
        assert seen[0].headers["authorization"] == KEY["Authorization"]

    def test_a_truncated_download_breaks_off_below_its_announced_length(self) -> None:
        api, url = with_picture(effect="truncate", truncate_to=100)
        received: list[bytes] = []
        with api.client(None).stream("GET", url) as response:
            assert int(response.headers["content-length"]) > 100
            with pytest.raises(httpx.RemoteProtocolError, match="received 100 bytes"):
                received.extend(response.iter_bytes())
        assert len(b"".join(received)) == 100

    def test_a_truncated_download_without_length_simply_ends(self) -> None:
        api, url = with_picture(effect="truncate", truncate_to=100, chunked=True)
        response = api.download(url)
        assert "content-length" not in response.headers
        assert len(response.content) == 100

    def test_half_of_a_picture_is_the_default_of_a_truncated_download(self) -> None:
        api, url = with_picture(effect="truncate", chunked=True)
        cut = len(api.download(url).content)
        api.emulator.clear_faults()
        assert cut == len(api.download(url).content) // 2

    def test_a_slow_download_takes_its_time_on_the_clock_and_arrives_whole(self) -> None:
        api, url = with_picture(effect="slow", bytes_per_second=100)
        before = api.clock.now()
        size = len(api.download(url).content)
        assert (api.clock.now() - before).total_seconds() == pytest.approx(size / 100)

    def test_a_download_that_is_slower_than_the_patience_of_the_client_times_out(self) -> None:
        api, url = with_picture(effect="slow", bytes_per_second=1)
        client = httpx.Client(transport=api.transport, timeout=0.5)
        with pytest.raises(httpx.ReadTimeout):
            client.get(url)

    def test_a_client_without_timeout_waits_for_ever(self) -> None:
        api = Api({"effect": "latency", "seconds": 100_000})
        client = httpx.Client(transport=api.transport, base_url=BASE, headers=KEY, timeout=None)
        assert client.get("/v1/runs").status_code == 200


class TestAsync:
    async def test_an_async_client_sees_the_same_emulator(self, api: Api) -> None:
        run_id = api.created()
        async with httpx.AsyncClient(transport=api.transport, base_url=BASE, headers=KEY) as client:
            assert (await client.get(f"/v1/runs/{run_id}")).json() == api.run(run_id)
            body = {"input": {"prompt": "A red hen"}}
            assert (await client.post(f"/v1/models/{MODEL}/runs", json=body)).status_code == 201

    @pytest.mark.parametrize(
        ("fault", "seen"),
        [
            ({"effect": "drop_before"}, httpx.ConnectError),
            ({"effect": "drop_after"}, httpx.ReadError),
            ({"effect": "latency", "seconds": 60}, httpx.ReadTimeout),
            ({"effect": "truncate"}, httpx.RemoteProtocolError),
            ({"effect": "slow", "bytes_per_second": 1}, None),
        ],
    )
    async def test_it_meets_the_same_faults(self, fault: dict[str, object], seen: type[Exception] | None) -> None:
        api = Api({"route": "list", **fault})
        async with httpx.AsyncClient(transport=api.transport, base_url=BASE, headers=KEY) as client:
            if seen is None:
                assert (await client.get("/v1/runs")).status_code == 200
            else:
                with pytest.raises(seen):
                    await client.get("/v1/runs")


class TestCore:
    def test_the_core_wants_to_know_the_time_zone(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            Emulator().handle(Request("GET", "/v1/health"), datetime(2026, 1, 1))

    def test_the_same_request_at_another_moment_gives_another_answer_without_anything_happening(self) -> None:
        emulator, clock = Emulator(), VirtualClock()
        headers = {"authorization": "Bearer rf_live_test"}
        body = b'{"input": {"prompt": "A red fox"}}'
        created = emulator.handle(Request("POST", f"/v1/models/{MODEL}/runs", (), headers, body), clock.now())
        assert created.status == 201
        run_id = emulator.runs[0].id
        clock.advance(31)
        request = Request("GET", f"/v1/runs/{run_id}", (), headers)
        assert b'"succeeded"' in emulator.handle(request, clock.now()).body
        assert b'"queued"' in emulator.handle(request, VirtualClock().now()).body
