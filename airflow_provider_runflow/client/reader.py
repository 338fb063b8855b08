# SPDX-License-Identifier: Apache-2.0
"""
An httpx transport that reads large bodies with urllib3, which boto3 brings along: half the CPU time a picture.

httpx's own parser handles each 64 KiB (over TLS: each 16 KiB) in Python, and hands the interpreter over each time. What
is sent, and what comes through a proxy, stays with httpx.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.request import getproxies

import httpx

PIECE_BYTES = 256 * 1024
CONNECTIONS = 64


def reader(ssl_context: ssl.SSLContext) -> httpx.BaseTransport | None:
    """Make a transport for reading; ``None`` where a proxy is set, which httpx knows how to use."""
    return None if getproxies().keys() & {"all", "http", "https"} else LargeReads(ssl_context)


class LargeReads(httpx.BaseTransport):
    """
    GET with urllib3, everything else with httpx. Safe to share between threads.

    :param ssl_context: the process's TLS context.
    """

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._rest = httpx.HTTPTransport(verify=ssl_context)
        self._lock = threading.Lock()
        self._made: Any = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer's body is read as it is asked for."""
        if request.method != "GET":
            return self._rest.handle_request(request)
        import urllib3

        seconds = request.extensions.get("timeout", {})
        with _as_httpx(request):
            answer = self._pools.request(
                "GET",
                str(request.url.copy_with(username=None, password=None)),
                headers=dict(request.headers),
                timeout=urllib3.Timeout(connect=seconds.get("connect"), read=seconds.get("read")),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        return httpx.Response(
            answer.status, headers=list(answer.headers.items()), stream=_Pieces(answer, request), request=request
        )

    @property
    def _pools(self) -> Any:
        import urllib3

        with self._lock:
            if self._made is None:
                self._made = urllib3.PoolManager(maxsize=CONNECTIONS, ssl_context=self._ssl_context)
            return self._made

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()
        if self._made is not None:
            self._made.clear()


class _Pieces(httpx.SyncByteStream):
    """A body, in large pieces; a connection whose body was read to its end is used again."""

    def __init__(self, answer: Any, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            while piece := self._answer.read(PIECE_BYTES):
                yield piece
        self._whole = True

    def close(self) -> None:
        if not self._whole:
            self._answer.close()
        self._answer.release_conn()


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """Let urllib3's errors be httpx's. Not chained: urllib3 quotes addresses whole."""
    from urllib3 import exceptions

    try:
        yield
    except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.SSLError) as error:
        raise httpx.ConnectError(_said(error), request=request) from None
    except exceptions.ReadTimeoutError as error:
        raise httpx.ReadTimeout(_said(error), request=request) from None
    except exceptions.HTTPError as error:
        raise httpx.RemoteProtocolError(_said(error), request=request) from None


def _said(error: Exception) -> str:
    # "HTTPSConnection(host='…', port=443): Failed to …", or a pair of a text and its cause.
    text = ": ".join(str(part) for part in error.args if isinstance(part, (str, OSError)))
    return text or type(error).__name__
