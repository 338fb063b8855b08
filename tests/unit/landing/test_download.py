# SPDX-License-Identifier: Apache-2.0
"""landing/download.py: a paid picture comes down, or the error says what happened to the money."""

from __future__ import annotations

import logging
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    LandingError,
    OutputsGoneError,
    ServiceUnavailableError,
)
from airflow_provider_runflow.landing.download import Spooled, download
from tests.unit.landing.fakes import HOST, JPEG, RUN, SECRET, Host, Lines, Sleeps, host_with, png, sha, url

FRESH = "X-Amz-Signature=f4e5h"


class Case:
    """One download, with everything that it is given."""

    def __init__(self, tmp_path: Path, host: Host, rereads: list[Any] | None = None, **options: Any) -> None:
        self.spool_dir = tmp_path
        self.host = host
        self.rereads = rereads or []
        self.reads = 0
        self.sleeps = Sleeps()
        self.log = Lines()
        self.options = options

    def reread(self) -> list[str]:
        answer = self.rereads[min(self.reads, len(self.rereads) - 1)]
        self.reads += 1
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def run(self, address: str = "") -> Spooled:
        with self.host.client() as client:
            return download(
                address or url(),
                0,
                self.spool_dir,
                client,
                run_id=RUN,
                reread=self.reread,
                sleep=self.sleeps,
                log=self.log,
                **self.options,
            )

    def error(self, address: str = "") -> LandingError:
        with pytest.raises(LandingError) as caught:
            self.run(address)
        for text in (str(caught.value), *self.log.warnings):
            assert SECRET not in text
            assert FRESH not in text
        assert list(self.spool_dir.iterdir()) == []
        return caught.value


def test_a_picture_is_spooled_hashed_and_inspected(tmp_path: Path) -> None:
    picture = png(padding=200_000)
    spooled = Case(tmp_path, host_with(picture)).run()
    assert spooled.path.read_bytes() == picture
    assert (spooled.sha256, spooled.size_bytes) == (sha(picture), len(picture))
    assert (spooled.facts.content_type, spooled.facts.width) == ("image/png", 16)


class TestWhatPassesIsTriedAgain:
    @pytest.mark.parametrize(
        "trouble",
        [
            httpx.ConnectTimeout("timed out"),
            httpx.Response(500),
            httpx.Response(503, text="SlowDown"),
            httpx.Response(429),
            httpx.Response(200, content=b""),
            png()[:-3],
            b"<html>the proxy is restarting</html>",
            httpx.Response(200, headers={"content-length": "999"}, content=png()),
        ],
        ids=["time-out", "500", "503", "429", "empty", "truncated", "html", "short"],
    )
    def test_once_and_then_lands(self, tmp_path: Path, trouble: Any) -> None:
        case = Case(tmp_path, host_with([trouble, png()]))
        assert case.run().sha256 == sha(png())
        assert case.sleeps == [0.5]
        assert case.reads == 0

    def test_five_times_at_most_with_doubling_waits(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with(httpx.Response(503)))
        error = case.error()
        assert len(case.host.requests) == 5
        assert case.sleeps == [0.5, 1, 2, 4]
        assert str(error) == (
            f"Picture 0 of run {RUN} was not downloaded from bucket.storage.example:443: HTTP 503 (5 tries). "
            "It is paid, and a retry of the task lands the same run for $0."
        )
        assert not isinstance(error, OutputsGoneError)

    def test_no_wait_is_longer_than_eight_seconds(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with(httpx.Response(503)), tries=8)
        case.error()
        assert case.sleeps == [0.5, 1, 2, 4, 8, 8, 8]

    def test_each_failed_try_is_logged_with_what_happened_and_where(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with([httpx.Response(503), png()]))
        case.run()
        assert case.log.warnings == [
            f"Picture 0 of run {RUN}: try 1 of 5 failed (HTTP 503 from bucket.storage.example:443); next in 0.5 s"
        ]

    def test_a_host_that_cannot_be_reached_is_named_for_the_firewall(self, tmp_path: Path) -> None:
        error = Case(tmp_path, host_with(httpx.ConnectError("no route"))).error()
        assert "no complete answer from bucket.storage.example:443 (ConnectError: no route)" in str(error)
        assert "a firewall or proxy must allow this host" in str(error)

    def test_an_html_page_is_named_in_the_end(self, tmp_path: Path) -> None:
        error = Case(tmp_path, host_with(b"<html>login</html>")).error()
        assert "not an image but an HTML or XML document (5 tries)" in str(error)


class TestExpiredUrls:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_the_run_is_read_again_and_its_fresh_url_used(self, tmp_path: Path, status: int) -> None:
        case = Case(tmp_path, host_with([httpx.Response(status), png()]), [[url(0, FRESH)]])
        assert case.run().sha256 == sha(png())
        assert case.reads == 1
        assert case.host.requests[1].url.query.decode() == FRESH

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_refused_to_fresh_urls_too_means_gone_and_no_retry(self, tmp_path: Path, status: int) -> None:
        case = Case(tmp_path, host_with(httpx.Response(status)), [[url(0, FRESH)]])
        error = case.error()
        assert isinstance(error, OutputsGoneError)
        assert error.retry == "never"
        assert len(case.host.requests) == 5
        assert str(error) == (
            f"Picture 0 of run {RUN} is gone: bucket.storage.example:443 answers HTTP {status}, to a fresh URL too "
            f"({HOST}/outputs/0.png, 5 tries). "
            "It is paid, but a retry of the task finds the same; ask Runflow for it with this run id."
        )

    def test_not_gone_as_long_as_the_run_could_not_be_read_again(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with(httpx.Response(403)), [ServiceUnavailableError("down", status=503)])
        error = case.error()
        assert not isinstance(error, OutputsGoneError)
        assert "a retry of the task lands the same run for $0" in str(error)
        assert f"Run {RUN} could not be read again for fresh URLs: HTTP 503: down" in case.log.warnings[1]

    def test_whatever_the_read_raises_the_picture_is_still_asked_for(self, tmp_path: Path) -> None:
        host = host_with([httpx.Response(403), png()])
        case = Case(tmp_path, host, [KeyError("connection")])
        assert case.run().sha256 == sha(png())
        assert "could not be read again for fresh URLs: KeyError: 'connection'" in case.log.warnings[1]

    def test_a_read_that_fails_once_is_done_again(self, tmp_path: Path) -> None:
        host = host_with([httpx.Response(403), httpx.Response(403), png()])
        case = Case(tmp_path, host, [AuthenticationError("rotated", status=401), [url(0, FRESH)]])
        assert case.run().sha256 == sha(png())

    def test_not_gone_when_the_last_answer_was_another_trouble(self, tmp_path: Path) -> None:
        host = host_with([httpx.Response(404)] * 4 + [httpx.Response(503)])
        assert type(Case(tmp_path, host, [[url(0, FRESH)]]).error()) is LandingError

    def test_a_400_that_stays_is_no_proof_that_it_is_gone(self, tmp_path: Path) -> None:
        assert type(Case(tmp_path, host_with(httpx.Response(400)), [[url()]]).error()) is LandingError

    def test_a_run_that_lists_fewer_pictures_now_is_said_so(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with(httpx.Response(404)), [[]])
        assert type(case.error()) is LandingError
        assert f"Run {RUN} was read again and now lists 0 pictures; picture 0 is missing" in case.log.warnings


class TestWhatIsNotTriedAgain:
    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(200, headers={"content-length": "70000"}, content=b"x"),
            httpx.Response(200, content=(b"x" * 600 for _ in range(100))),
        ],
        ids=["declared", "while streaming"],
    )
    def test_too_large(self, tmp_path: Path, answer: httpx.Response) -> None:
        case = Case(tmp_path, _Passing(answer), max_bytes=50_000)
        error = case.error()
        assert "over the limit of 50000" in str(error)
        assert "It is paid, and a retry of the task lands the same run for $0, once what stopped it" in str(error)
        assert case.sleeps == []

    def test_a_redirect(self, tmp_path: Path) -> None:
        answer = httpx.Response(302, headers={"location": f"https://other/?{SECRET}"})
        case = Case(tmp_path, host_with(answer))
        assert "HTTP 302, a redirect, which is not followed (1 try)" in str(case.error())

    def test_plain_http(self, tmp_path: Path) -> None:
        case = Case(tmp_path, host_with(png()))
        error = case.error(url().replace("https:", "http:"))
        assert "is plain http, which is used only when the Runflow connection itself is http" in str(error)
        assert case.host.requests == []

    def test_a_full_disk(self, tmp_path: Path) -> None:
        case = Case(tmp_path / "not there", host_with(png()))
        with pytest.raises(LandingError, match=r"the worker's disk refused it .*No such file"):
            case.run()


class _Passing(Host):
    """Hands out one response as it is, without reading it first."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return self.answer


def test_a_large_picture_is_never_held_in_memory(tmp_path: Path) -> None:
    size = 40 * 1024 * 1024
    head, tail = png()[:-12], png()[-12:]

    def body() -> Iterator[bytes]:
        yield head + struct.pack(">I4s", size, b"prIv")
        for _ in range(size // 65536):
            yield bytes(65536)
        yield bytes(4) + tail

    case = Case(tmp_path, _Passing(httpx.Response(200, content=body())))
    tracemalloc.start()
    try:
        assert case.run().size_bytes > size
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_picture_of_another_format_is_a_picture(tmp_path: Path) -> None:
    assert Case(tmp_path, host_with(JPEG)).run().facts.ext == "jpg"


def test_no_query_reaches_any_log_even_at_debug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "httpx", "httpcore"):  # Airflow's own logging may have quieted them
        caplog.set_level(logging.DEBUG, logger=name)
    case = Case(tmp_path, host_with(httpx.Response(404)), [[url(0, FRESH)]])
    case.error()
    assert "HTTP Request: GET" in caplog.text
    assert SECRET not in caplog.text
    assert FRESH not in caplog.text
