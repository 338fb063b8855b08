# SPDX-License-Identifier: Apache-2.0
"""benchmarks/land.py, source.py and sink.py: what is measured is what is said."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.landing.images import inspect
from benchmarks import sink
from benchmarks.land import judged, summed_up
from benchmarks.source import Pictures


@pytest.fixture
def bucket() -> Iterator[str]:
    with sink._Server(("127.0.0.1", 0), sink._Handler) as server:
        server.objects = sink.Objects()  # type: ignore[attr-defined]
        server.latency = 0.0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class TestTheSource:
    def test_serves_whole_pictures_of_a_megabyte_and_a_half(self, tmp_path: Path) -> None:
        pictures = Pictures()
        (tmp_path / "7.png").write_bytes(b"".join(pictures.parts(7)))
        assert inspect(tmp_path / "7.png").width == 707
        assert 1_480_000 < pictures.size_bytes < 1_520_000

    def test_no_two_pictures_have_the_same_bytes(self) -> None:
        pictures = Pictures(side=8)
        assert len({pictures.sha256(number) for number in range(50)}) == 50


class TestTheBucket:
    def test_tells_sizes_and_some_hashes_of_what_it_took(self, bucket: str) -> None:
        with httpx.Client(base_url=bucket, trust_env=False) as http:
            for number in range(sink.HASHED_ONE_IN):
                http.put(f"/bench/a/{number}.png", content=b"x" * number)
            told = http.get("/_landed/bench/a/").json()
        assert [size for size, _ in told.values()] == list(range(sink.HASHED_ONE_IN))
        assert [sha256 for _, sha256 in told.values() if sha256] == [hashlib.sha256(b"x" * 24).hexdigest()]

    def test_refuses_to_overwrite_when_it_is_asked_to_as_s3_does(self, bucket: str) -> None:
        with httpx.Client(base_url=bucket, trust_env=False) as http:
            assert http.head("/bench/a.png").status_code == 404
            statuses = [
                http.put("/bench/a.png", content=b"x", headers={"If-None-Match": "*"}).status_code for _ in "12"
            ]
            assert statuses == [200, 412]
            assert http.head("/bench/a.png").headers["content-length"] == "1"

    def test_lets_a_client_that_waits_for_100_continue_go_on(self, bucket: str) -> None:
        host, port = bucket.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(b"PUT /bench/b.png HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            client.sendall(b"ok")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


class TestTheVerdict:
    def row(self, speed: float, memory: float) -> dict[str, Any]:
        return {"objects_per_second": speed, "rss_growth_mb": memory}

    def test_says_whether_the_targets_hold(self) -> None:
        verdict = judged({"ours": self.row(90, 2), "serial": self.row(30, 0), "pool": self.row(80, 10)})
        assert verdict == {
            "times_the_serial_rival": 3.0,
            "times_the_pool": 1.12,
            "at_least_3_times_serial": True,
            "not_below_the_pool": True,
            "less_memory_than_the_pool": True,
        }

    def test_a_way_is_summed_up_by_medians_whatever_the_number_of_pictures(self) -> None:
        readings = [
            {"pictures": 100, "seconds": 2.0, "cpu_seconds": 1.0, "rss_growth_mb": 1.0},
            {"pictures": 100, "seconds": 4.0, "cpu_seconds": 3.0, "rss_growth_mb": 9.0},
            {"pictures": 50, "seconds": 1.0, "cpu_seconds": 0.5, "rss_growth_mb": 2.0},
        ]
        row = summed_up("ours", "loopback", readings)
        assert (row["objects_per_second"], row["cpu_ms_per_object"], row["rss_growth_mb"]) == (50.0, 10.0, 2.0)
