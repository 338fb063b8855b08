# SPDX-License-Identifier: Apache-2.0
"""The emulator as an ASGI application, without a framework. Effects happen to real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from .clock import Clock, SystemClock, moved
from .core import Emulator
from .wire import Request, Response

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Log = Callable[[str], None]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

QUIET = ("/v1/health", "/_emulator", "/favicon.ico")
HANG_UP_SECONDS = 5.0


def create_app(emulator: Emulator, clock: Clock | None = None, log: Log | None = None) -> Application:
    """Make an ASGI application. `log` gets one line per request, except for polls that find nothing wrong."""
    time = clock or SystemClock()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _exchange(emulator, time, log, scope, receive, send)

    return application


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _exchange(
    emulator: Emulator, clock: Clock, log: Log | None, scope: Scope, receive: Receive, send: Send
) -> None:
    request = await _request(scope, receive)
    if request.path.startswith("/outputs/"):
        # drawing takes a while and lets go of the lock of the core; others must not wait for it
        response = await asyncio.to_thread(emulator.handle, request, clock.now())
    else:
        response = emulator.handle(request, clock.now())
    response = moved(response, clock)
    if log is not None and not _is_routine(request, response):
        log(f"{'dropped' if response.drop else response.status} {request.method} {request.path}")
    await clock.asleep(response.delay)
    if response.drop is not None:
        await _hang_up(receive, send)
    else:
        await _answer(response, request.method == "HEAD", clock, receive, send)


async def _request(scope: Scope, receive: Receive) -> Request:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host") or "{}:{}".format(*(scope.get("server") or ("127.0.0.1", 80)))
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True),
        headers=headers,
        body=bytes(body),
        base_url=f"{scope.get('scheme', 'http')}://{host}",
    )


async def _answer(response: Response, is_head: bool, clock: Clock, receive: Receive, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _headers(response)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        for pause, piece in () if is_head else response.pieces():
            if pause:
                await clock.asleep(pause)
            elif response.pad_to is not None:
                await asyncio.sleep(0)  # let a disconnect be noticed: nobody may want all those zeros
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if response.is_cut:
            await _hang_up(receive, send, gone)
        else:
            await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


def _headers(response: Response) -> list[tuple[str, str]]:
    return list(response.wire_headers().items())


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang_up(receive: Receive, send: Send, gone: asyncio.Future[None] | None = None) -> None:
    """Close the connection under the answer, as a broken network or a killed server would.

    ASGI has no word for this. uvicorn binds `send` to an object that knows the transport; other servers get
    an error, on which they close the connection or answer 500.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the emulator drops this connection")
    transport.close()  # what was sent still arrives
    waiting = gone if gone is not None else asyncio.ensure_future(_disconnected(receive))
    # returning before the server has noticed would make it answer 500
    await asyncio.wait([waiting], timeout=HANG_UP_SECONDS)
    waiting.cancel()


def _is_routine(request: Request, response: Response) -> bool:
    if response.drop is not None:
        return False
    poll = response.status < 400 and request.method == "GET" and request.path.startswith("/v1/runs")
    return poll or request.path.startswith(QUIET)
