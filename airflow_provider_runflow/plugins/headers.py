# SPDX-License-Identifier: Apache-2.0
"""The headers of every answer of the light table, errors included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
# Scripts and styles from our own files only, none within the page; embedded by Airflow's own pages only. A picture or
# JSON that is opened by itself runs nothing either. blob: is how pictures are shown where Airflow (3.1) has the
# user's token in the page instead of in a cookie.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS: dict[bytes, bytes] = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    # Two users of one browser: what one may see is not what the other is shown.
    # Scripts of an older version of the package must not stay.
    b"cache-control": b"no-cache",
    b"vary": b"Cookie, Authorization",
}


class SecureHeaders:
    """ASGI middleware that adds :data:`HEADERS`."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Answer a request."""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", ())}
                more = [(name, value) for name, value in HEADERS.items() if name not in there]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, send_secured)
