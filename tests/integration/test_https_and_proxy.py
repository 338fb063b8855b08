# SPDX-License-Identifier: Apache-2.0
"""Https with a certificate authority of one's own, directly and through a proxy that opens TLS: the whole operator."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.emulator import Emulator, EmulatorServer
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.harness import Airflow, in_dag

pytestmark = pytest.mark.integration

#: A name that only the proxy can find.
NAME = "runflow.test"
KEY = "rf_live_behind_a_proxy"
#: The extensions of a certificate that must be marked critical.
CRITICAL = (x509.BasicConstraints, x509.KeyUsage)


class Gate:
    """
    Speaks TLS on a free port and hands on to the emulator; asked to CONNECT, it does so as a proxy.

    :ivar connected: what a proxy was asked to connect to.
    """

    def __init__(self, context: ssl.SSLContext, behind: str) -> None:
        self._context = context
        host, _, port = behind.removeprefix("http://").partition(":")
        self._behind = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.connected: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        # A caller that does not trust the certificate hangs up, which is an OSError here.
        with caller, contextlib.suppress(OSError):
            if caller.recv(1, socket.MSG_PEEK) == b"C":
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += caller.recv(1)
                self.connected.append(asked.split()[1].decode())
                caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                self._context.wrap_socket(caller, server_side=True) as outside,
                socket.create_connection(self._behind) as inside,
            ):
                _hand_on(outside, inside)


def _hand_on(outside: ssl.SSLSocket, inside: socket.socket) -> None:
    while True:
        ready: list[Any] = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
        for one in ready:
            data = one.recv(65536)
            if not data:
                return
            (inside if one is outside else outside).sendall(data)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority of one's own, as a file, and the TLS of a server that it vouches for."""
    authority = "The shop's own authority"
    began = datetime.now(timezone.utc) - timedelta(hours=1)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def made(subject: str, key: Any, *extensions: x509.ExtensionType) -> bytes:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (authority, subject)]
        builder = x509.CertificateBuilder(
            *names, key.public_key(), x509.random_serial_number(), began, began + timedelta(days=1)
        )
        # Python 3.13 reads certificates strictly, as RFC 5280 has them: without these it trusts none.
        whose = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        for extension in (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), whose, *extensions):
            builder = builder.add_extension(extension, critical=isinstance(extension, CRITICAL))
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    here = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    vouches = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    (folder / "ca.pem").write_bytes(
        made(authority, authority_key, x509.BasicConstraints(ca=True, path_length=None), vouches)
    )
    secret = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(made(NAME, server_key, here) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "ca.pem", context


def over_https(application: Any) -> Any:
    """What the emulator is told of requests that came in through the gate: its presigned URLs are https then."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        await application({**scope, "scheme": "https"}, receive, send)

    return told


@pytest.fixture
def server() -> Iterator[EmulatorServer]:
    with EmulatorServer(Emulator(time_scale=100, picture_size=(64, 64), api_keys=(KEY,)), around=over_https) as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return certificate(tmp_path)


@pytest.fixture
def gate(server: EmulatorServer, authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    protocol.ssl_context.cache_clear()
    gate = Gate(authority[1], server.url)
    yield gate
    gate.close()
    protocol.ssl_context.cache_clear()


def buy(airflow: Airflow, monkeypatch: pytest.MonkeyPatch, host: str, destination: Path, **facts: Any) -> Any:
    connection = {"conn_type": "runflow", "host": f"https://{host}", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(connection))
    with in_dag():
        task = GptImage2Operator(
            task_id="cat", prompt="a cat", quality="low", destination=str(destination), poll_interval=0.2, **facts
        )
    return airflow.finish(task)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("proxy", [False, True], ids=["direct", "through a proxy"])
def test_a_picture_is_bought_and_landed_where_an_authority_of_ones_own_is_trusted(
    airflow: Airflow,
    server: EmulatorServer,
    gate: Gate,
    authority: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    proxy: bool,
    deferrable: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{gate.address}")
    outcome = buy(airflow, monkeypatch, NAME if proxy else gate.address, tmp_path / "pictures", deferrable=deferrable)
    assert outcome.state == "success", outcome.error
    (bill,) = server.emulator.ledger(server.clock.now())["billed"]
    (picture,) = (tmp_path / "pictures").rglob("*.png")
    assert picture.read_bytes() == server.emulator.picture(bill["run_id"])
    assert set(gate.connected) == ({f"{NAME}:443"} if proxy else set())


def test_a_certificate_that_nobody_vouches_for_stops_before_anything_is_sent(
    airflow: Airflow, server: EmulatorServer, gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow_provider_runflow.hooks.runflow import RunflowHook

    class NoWaiting:
        uniform = staticmethod(lambda low, high: low)

    monkeypatch.setattr(RunflowHook, "jitter", NoWaiting())
    outcome = buy(airflow, monkeypatch, gate.address, tmp_path / "pictures")
    assert outcome.state != "success"
    assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error)
    assert not server.emulator.runs
