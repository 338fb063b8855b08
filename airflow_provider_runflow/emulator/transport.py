# SPDX-License-Identifier: Apache-2.0
"""The emulator as an httpx transport: for `httpx.Client` and `httpx.AsyncClient`, without a socket.

It does what `httpx.MockTransport` does, and also carries out the effects of a response: what a broken or slow
network does to a client looks here as httpx would show it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import parse_qsl

import httpx

from .clock import Clock, VirtualClock, moved
from .core import Emulator
from .wire import Request, Response

OnRequest = Callable[[Request], None]


def emulator_transport(
    emulator: Emulator, clock: Clock | None = None, on_request: OnRequest | None = None
) -> EmulatorTransport:
    """Make a transport for both kinds of httpx client. Without a clock, time is virtual."""
    return EmulatorTransport(emulator, clock or VirtualClock(), on_request)


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests of an httpx client to an emulator; safe for several threads."""

    def __init__(self, emulator: Emulator, clock: Clock, on_request: OnRequest | None = None) -> None:
        self.emulator = emulator
        self.clock = clock
        self._on_request = on_request

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.Client`."""
        response = self._respond(request, request.read())
        patience = _patience(request)
        self.clock.sleep(min(response.delay, patience))
        _check_arrival(request, response, patience)
        stream = _Body(request, response, self.clock)
        return httpx.Response(response.status, headers=response.wire_headers(), stream=stream)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.AsyncClient`."""
        response = self._respond(request, await request.aread())
        patience = _patience(request)
        await self.clock.asleep(min(response.delay, patience))
        _check_arrival(request, response, patience)
        stream = _AsyncBody(request, response, self.clock)
        return httpx.Response(response.status, headers=response.wire_headers(), stream=stream)

    def _respond(self, request: httpx.Request, body: bytes) -> Response:
        url = request.url
        known = Request(
            method=request.method,
            path=url.path,
            query=parse_qsl(url.query.decode("ascii", "replace"), keep_blank_values=True),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            base_url=f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}",
        )
        if self._on_request is not None:
            self._on_request(known)
        response = self.emulator.handle(known, self.clock.now())
        return moved(response, self.clock)


def _patience(request: httpx.Request) -> float:
    timeout = request.extensions.get("timeout", {}).get("read")
    return float("inf") if timeout is None else float(timeout)


def _check_arrival(request: httpx.Request, response: Response, patience: float) -> None:
    if response.drop == "before":
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
    if response.delay > patience:
        raise httpx.ReadTimeout("timed out", request=request)
    if response.drop == "after":
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)


class _BodyBase:
    def __init__(self, request: httpx.Request, response: Response, clock: Clock) -> None:
        self._request = request
        self._response = response
        self._clock = clock
        self._patience = _patience(request)

    def _check_pause(self, pause: float) -> None:
        if pause > self._patience:
            raise httpx.ReadTimeout("timed out", request=self._request)

    def _check_end(self) -> None:
        if self._response.is_cut:
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body "
                f"(received {self._response.truncate_to} bytes, expected {self._response.declared_length})",
                request=self._request,
            )


class _Body(_BodyBase, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        for pause, piece in self._response.pieces():
            self._clock.sleep(min(pause, self._patience))
            self._check_pause(pause)
            yield piece
        self._check_end()


class _AsyncBody(_BodyBase, httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for pause, piece in self._response.pieces():
            if pause:
                await self._clock.asleep(min(pause, self._patience))
            self._check_pause(pause)
            yield piece
        self._check_end()
