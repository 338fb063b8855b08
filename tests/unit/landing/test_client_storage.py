# SPDX-License-Identifier: Apache-2.0
"""client/storage.py: reading from storage hosts without giving anything away."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from airflow_provider_runflow.client import storage
from airflow_provider_runflow.client.storage import (
    StorageClient,
    UnsafeUrlError,
    host_of,
    redact_url,
    strip_queries,
)
from airflow_provider_runflow.exceptions import TransportError
from tests.unit.landing.fakes import HOST, SECRET, Host, host_with, png, url

SIGNED = f"https://b.s3.example/outputs/a.png?{SECRET}&X-Amz-Expires=60"


@pytest.fixture
def web() -> Iterator[type[BaseHTTPRequestHandler]]:
    """A real web server on loopback; tests set what it does, it records the headers it was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        seen: list[dict[str, str]] = []
        address = ""

        def do_GET(self) -> None:
            Handler.seen.append({key.lower(): value for key, value in self.headers.items()})
            if self.path.startswith("/short"):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"only this")
                self.close_connection = True
                return
            self.send_response(307 if self.path.startswith("/moved") else 200)
            self.send_header("Set-Cookie", "session=1; Path=/")
            self.send_header("Location", f"{Handler.address}/elsewhere?{SECRET}")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Handler
    server.shutdown()
    server.server_close()
    thread.join(5)


def read(client: StorageClient, address: str) -> tuple[int, bytes]:
    with client.stream(address) as body:
        return body.status, b"".join(body.chunks)


class TestWhatIsShownOfAUrl:
    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            (SIGNED, "https://b.s3.example/outputs/a.png"),
            ("https://user:pass@b.example:8443/x?y#z", "https://b.example:8443/x"),
            ("runflow://assets/1234?token=s", "runflow://assets/1234"),
            ("data:image/png;base64,AAAA", "data:…"),
            ("no url at all", "(unreadable URL)"),
            ("https://[broken", "(unreadable URL)"),
        ],
    )
    def test_no_query_no_fragment_no_user(self, address: str, shown: str) -> None:
        assert redact_url(address) == shown

    def test_a_firewall_needs_host_and_port(self) -> None:
        assert host_of(SIGNED) == "b.s3.example:443"
        assert host_of("http://h:8080/x") == "h:8080"
        assert host_of("https://[broken") == "(no host)"
        assert host_of("nothing") == "(no host)"

    def test_text_around_a_url_stays(self) -> None:
        assert strip_queries(f"see {SIGNED}, then stop") == "see https://b.s3.example/outputs/a.png then stop"
        assert strip_queries("(b'Location', b'https://h/x?sig=1')") == "(b'Location', b'https://h/x')"
        assert strip_queries("https://me:pw@h/x") == "https://h/x"
        assert strip_queries("is it ok? yes") == "is it ok? yes"


class TestWhatIsSent:
    def test_no_authorization_and_no_cookie_even_after_one_was_set(self, web: type[BaseHTTPRequestHandler]) -> None:
        with StorageClient(None, allow_http=True) as client:
            read(client, f"{web.address}/a?{SECRET}")  # type: ignore[attr-defined]
            read(client, f"{web.address}/b?{SECRET}")  # type: ignore[attr-defined]
        for headers in web.seen:  # type: ignore[attr-defined]
            assert "authorization" not in headers
            assert "cookie" not in headers
            assert headers["accept-encoding"] == "identity"

    def test_a_user_in_the_url_does_not_become_an_authorization_header(self) -> None:
        host = host_with(png())
        read(host.client(), url().replace("https://", "https://user:pass@"))
        assert "authorization" not in host.requests[0].headers

    def test_a_redirect_is_an_answer_and_is_not_followed(self, web: type[BaseHTTPRequestHandler]) -> None:
        with StorageClient(None, allow_http=True) as client:
            assert read(client, f"{web.address}/moved")[0] == 307  # type: ignore[attr-defined]
        assert len(web.seen) == 1  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "address", ["http://h/x?sig=1", "file:///etc/passwd", "ftp://h/x", "//h/x", "https://", "https://[broken"]
    )
    def test_only_https_is_read(self, address: str) -> None:
        host = Host()
        with pytest.raises(UnsafeUrlError) as caught, host.client().stream(address):
            pass
        assert "sig=1" not in str(caught.value)
        assert host.requests == []

    def test_http_is_read_when_the_connection_itself_is_http(self) -> None:
        host = host_with(png())
        assert read(host.client(allow_http=True), url().replace("https:", "http:"))[0] == 200

    def test_a_proxy_from_the_environment_is_asked(
        self, web: type[BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", web.address)  # type: ignore[attr-defined]
        with StorageClient(None, allow_http=True) as client:
            assert read(client, f"http://storage.invalid/a?{SECRET}") == (200, b"ok")
        assert web.seen[0]["host"] == "storage.invalid"  # type: ignore[attr-defined]


class TestErrors:
    def test_name_the_host_that_a_firewall_must_allow_and_the_cause(self) -> None:
        host = host_with(httpx.ConnectError("[Errno 111] Connection refused"))
        with pytest.raises(TransportError) as caught, host.client().stream(url()):
            pass
        assert str(caught.value) == (
            "no complete answer from bucket.storage.example:443 (ConnectError: [Errno 111] Connection refused); "
            f"a firewall or proxy must allow this host (GET {HOST}/outputs/0.png)"
        )

    def test_a_body_that_breaks_off_is_one(self, web: type[BaseHTTPRequestHandler]) -> None:
        with StorageClient(None, allow_http=True) as client, pytest.raises(TransportError) as caught:
            read(client, f"{web.address}/short?{SECRET}")  # type: ignore[attr-defined]
        assert "9 bytes read, 991 more expected" in str(caught.value)
        assert SECRET not in str(caught.value)

    def test_what_the_reader_raises_passes_unchanged(self) -> None:
        with pytest.raises(KeyError), host_with(png()).client().stream(url()):
            raise KeyError("mine")

    def test_a_query_in_the_cause_is_cut(self) -> None:
        host = host_with(httpx.ReadError(f"while reading {SIGNED}"))
        with pytest.raises(TransportError) as caught, host.client().stream(url()):
            pass
        assert SECRET not in str(caught.value)


class TestHttpxLogs:
    def test_no_query_reaches_a_log_at_any_level(
        self, web: type[BaseHTTPRequestHandler], caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in (None, "httpx", "httpcore", "urllib3"):  # Airflow's own logging may have quieted them
            caplog.set_level(logging.DEBUG, logger=name)
        with StorageClient(None, allow_http=True) as client:
            read(client, f"{web.address}/moved?{SECRET}")  # type: ignore[attr-defined]
        assert f"{web.address}/moved" in caplog.text  # type: ignore[attr-defined]
        assert '"GET /moved HTTP/1.1" 307' in caplog.text  # urllib3's own line
        assert SECRET not in caplog.text

    def test_other_httpx_clients_of_the_process_are_covered_too(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="httpx")
        with httpx.Client(transport=httpx.MockTransport(host_with(png()))) as client:
            client.get(url())
        assert caplog.messages == [f'HTTP Request: GET {HOST}/outputs/0.png "HTTP/1.1 200 OK"']

    def test_arguments_by_name_are_cleaned_too(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.getLogger("httpx").warning("%(what)s", {"what": SIGNED})
        assert SECRET not in caplog.text

    def test_the_filter_is_installed_once_however_often_the_module_is_loaded(self) -> None:
        before = len(logging.getLogger("httpx").filters)
        importlib.reload(storage)
        assert len(logging.getLogger("httpx").filters) == before == 1
