# SPDX-License-Identifier: Apache-2.0
"""
A bucket for the landing benchmark: the S3 API's PUT and HEAD, over HTTP, in as little CPU time as one process can.

    python -m benchmarks.sink READY_FILE LATENCY_MS        writes the base URL there, and serves until told to stop

It reads every byte, keeps sizes and (of some) hashes, and forgets the bytes. It honours `If-None-Match: *`, as S3 does,
and answers each request LATENCY_MS late, as a bucket that is not on this machine does. `GET /_landed/bucket/prefix`
tells what is there.
"""

from __future__ import annotations

import hashlib
import json
import socketserver
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

IDLE_SECONDS = 120
PIECE = 256 * 1024
#: One picture in so many is hashed on arrival, to see that it is what the source served.
HASHED_ONE_IN = 25

EMPTY_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"


class Objects:
    """What has been stored: by key its size, sha256 if it was taken, and metadata."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, str | None, str | None]] = {}
        self._seen = 0

    def hash_this_one(self, key: str) -> bool:
        """Whether this picture is one of those to hash."""
        self._seen += key.endswith(".png")
        return key.endswith(".png") and self._seen % HASHED_ONE_IN == 0

    def below(self, prefix: str) -> dict[str, tuple[int, str | None]]:
        """What is stored below a prefix."""
        return {key: (size, sha256) for key, (size, sha256, _) in self.kept.items() if key.startswith(prefix)}


def answer(status: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, length: int = -1) -> bytes:
    """The bytes of an answer; `length` is that of a body which HEAD does not send."""
    shown = {"Content-Length": str(len(body) if length < 0 else length), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def error(status: str, code: str) -> bytes:
    """An error as S3 words it."""
    return answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())


class _Handler(socketserver.StreamRequestHandler):
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024

    def handle(self) -> None:
        self.objects: Objects = self.server.objects  # type: ignore[attr-defined]
        self.latency: float = self.server.latency  # type: ignore[attr-defined]
        self.buffer = bytearray(PIECE)
        try:
            while line := self.rfile.readline(16_384):
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = self._headers()
                self.request.sendall(self._answer(method, target, headers))
        except (OSError, ValueError):
            return

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(16_384)) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _answer(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        parts = urlsplit(target)
        key = unquote(parts.path)[1:]
        if key.startswith("_landed/"):
            return answer("200 OK", json.dumps(self.objects.below(key.removeprefix("_landed/"))).encode())
        if "100-continue" in headers.get("expect", ""):
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        size, sha256 = self._read_body(int(headers.get("content-length") or 0), key)
        time.sleep(self.latency)
        if method == "PUT":
            if headers.get("if-none-match") == "*" and key in self.objects.kept:
                return error("412 Precondition Failed", "PreconditionFailed")
            self.objects.kept[key] = (size, sha256, headers.get("x-amz-meta-sha256"))
            return answer("200 OK", headers={"ETag": '"0"'})
        if method == "HEAD":
            return self._head(key)
        if method == "GET" and "list-type=2" in parts.query:
            return answer("200 OK", EMPTY_LIST, {"Content-Type": "application/xml"})
        return error("501 Not Implemented", "NotImplemented")

    def _head(self, key: str) -> bytes:
        kept = self.objects.kept.get(key)
        if kept is None:
            return answer("404 Not Found")
        size, _, told = kept
        return answer("200 OK", headers={"x-amz-meta-sha256": told} if told else {}, length=size)

    def _read_body(self, size: int, key: str) -> tuple[int, str | None]:
        digest = hashlib.sha256() if self.objects.hash_this_one(key) else None
        left, view = size, memoryview(self.buffer)
        while left:
            got = self.rfile.readinto(view[: min(left, PIECE)])
            if not got:
                raise OSError("the body ended early")
            if digest is not None:
                digest.update(view[:got])
            left -= got
        return size, digest.hexdigest() if digest is not None else None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    """Serve until told to stop."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.objects = Objects()  # type: ignore[attr-defined]
        server.latency = float(sys.argv[2]) / 1000  # type: ignore[attr-defined]
        Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_address[1]}")
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
