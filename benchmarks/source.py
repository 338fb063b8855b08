# SPDX-License-Identifier: Apache-2.0
"""
A storage host for the landing benchmark: PNG files of 1.5 MB at presigned-looking URLs, as fast as one process can.

    python -m benchmarks.source READY_FILE LATENCY_MS      writes the base URL there, and serves until told to stop

Each answer begins LATENCY_MS late, as that of a host which is not on this machine does.
"""

from __future__ import annotations

import hashlib
import random
import socketserver
import struct
import sys
import time
import zlib
from pathlib import Path

SIDE = 707
#: The server thread that waits longer than that for a next request ends.
IDLE_SECONDS = 120


def picture_path(number: int) -> str:
    """The path and query of a picture, as a storage host would sign it."""
    return f"/outputs/run-{number:05}/0.png?X-Amz-Expires=86400&X-Amz-Signature={'0' * 64}"


class Pictures:
    """One square of noise; every number has bytes of its own by the text in front of the end."""

    def __init__(self, side: int = SIDE) -> None:
        dice = random.Random(1)  # noqa: S311 - the same picture every time
        rows = b"".join(b"\0" + dice.randbytes(side * 3) for _ in range(side))
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        self._begin = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 0))
        self._end = _chunk(b"IEND", b"")

    def parts(self, number: int) -> tuple[bytes, bytes]:
        """The bytes of a picture, in two pieces so that the long one is shared."""
        return self._begin, _chunk(b"tEXt", b"Number\0%d" % number) + self._end

    def sha256(self, number: int) -> str:
        """What the picture must still hash to once it has landed."""
        begin, end = self.parts(number)
        return hashlib.sha256(begin + end).hexdigest()

    @property
    def size_bytes(self) -> int:
        """About how long each of them is."""
        return sum(map(len, self.parts(1)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class _Handler(socketserver.StreamRequestHandler):
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def handle(self) -> None:
        pictures: Pictures = self.server.pictures  # type: ignore[attr-defined]
        try:
            while line := self.rfile.readline(8192):
                while self.rfile.readline(8192) not in (b"\r\n", b""):
                    pass
                time.sleep(self.server.latency)  # type: ignore[attr-defined]
                begin, end = pictures.parts(int(line.split(b"/run-")[1][:5]))
                head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
                self.request.sendall(head % (len(begin) + len(end)))
                self.request.sendall(begin)
                self.request.sendall(end)
        except (OSError, IndexError, ValueError):
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    """Serve until told to stop."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.pictures = Pictures()  # type: ignore[attr-defined]
        server.latency = float(sys.argv[2]) / 1000  # type: ignore[attr-defined]
        Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_address[1]}")
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
