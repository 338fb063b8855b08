# SPDX-License-Identifier: Apache-2.0
"""Requests and responses as plain values, and the error bodies of the API and of its object storage.

A response carries its *effects* (delay, dropped connection, slow or cut body) as data. The core decides them;
a skin, which owns a socket and a clock, carries them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from xml.sax.saxutils import escape

JsonDict = dict[str, Any]

CHUNK = 64 * 1024
PAUSES_PER_SECOND = 5  # how finely a slow body is cut: a client sees it trickle, not stall


@dataclass(frozen=True)
class Request:
    """One HTTP request. Header names are lower-case; `path` is decoded."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = "http://runflow.emulator"

    def param(self, name: str) -> str | None:
        """Give the last value of a query parameter, as web frameworks do."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def json(self) -> Any:
        """Decode the body, or refuse it as FastAPI does."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            raise ApiError.invalid(["body"], f"JSON decode error: {exc}", "json_invalid") from exc


@dataclass(frozen=True)
class Response:
    """One HTTP response and what is to happen to it on its way."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    render: Callable[[], bytes] | None = None
    """Makes the body later, outside the lock of the core: a picture is slow to draw."""
    delay: float = 0.0
    drop: Literal["before", "after"] | None = None
    bytes_per_second: float | None = None
    truncate_to: int | None = None
    pad_to: int | None = None
    """The body goes on with zeros up to this length."""
    chunked: bool = False
    """No Content-Length: the end of the body is the only sign that it has ended."""
    advance_clock: float | None = None
    """Asks the skin to move its clock. None: leave it."""

    def rendered(self) -> Response:
        """Make a deferred body."""
        return self if self.render is None else replace(self, body=self.render(), render=None)

    @property
    def declared_length(self) -> int | None:
        """The Content-Length, or None when the body is chunked."""
        return None if self.chunked else self.pad_to or len(self.body)

    @property
    def is_cut(self) -> bool:
        """Whether the connection breaks before the declared length has been sent."""
        return self.truncate_to is not None and not self.chunked and self.truncate_to < len(self.body)

    def wire_headers(self) -> dict[str, str]:
        """Give all headers, with the length of the body where it is declared."""
        length = self.declared_length
        return dict(self.headers) if length is None else {**self.headers, "content-length": str(length)}

    def pieces(self) -> Iterator[tuple[float, bytes]]:
        """Yield the body as (pause before it, bytes): short when truncated, padded when oversize."""
        size = CHUNK
        if self.bytes_per_second is not None:
            size = max(1, min(CHUNK, int(self.bytes_per_second / PAUSES_PER_SECOND)))
        body = self.body if self.truncate_to is None else self.body[: self.truncate_to]
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            yield self._pause(len(piece)), piece
        zeros = 0 if self.pad_to is None else self.pad_to - len(body)
        while zeros > 0:
            piece = bytes(min(size, zeros))
            zeros -= len(piece)
            yield self._pause(len(piece)), piece

    def _pause(self, size: int) -> float:
        return 0.0 if self.bytes_per_second is None else size / self.bytes_per_second


class ApiError(Exception):
    """A refusal in the flat envelope of the API: `{code, message, errors}`."""

    def __init__(self, status: int, code: str, message: str, errors: list[JsonDict] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    @classmethod
    def invalid(cls, loc: Sequence[str | int], msg: str, kind: str) -> ApiError:
        """One refused field, in the FastAPI style that Runflow's own plugin reads."""
        return cls.invalid_fields([{"loc": list(loc), "msg": msg, "type": kind}])

    @classmethod
    def invalid_fields(cls, errors: list[JsonDict]) -> ApiError:
        """Several refused fields at once."""
        # choice: the reference is silent about the `code` of a 422
        return cls(422, "VALIDATION_ERROR", "Request validation failed.", errors)

    def response(self) -> Response:
        """Give the error as it goes over the wire."""
        return json_response(self.status, {"code": self.code, "message": self.message, "errors": self.errors})


def json_response(status: int, body: Any) -> Response:
    """Build a JSON response."""
    data = json.dumps(body, separators=(",", ":")).encode()  # ASCII only: a prompt may hold a lone surrogate
    return Response(status, {"content-type": "application/json"}, data)


def html_response(status: int, page: str) -> Response:
    """Build an HTML response."""
    return Response(status, {"content-type": "text/html; charset=utf-8"}, page.encode(errors="replace"))


def storage_error(status: int, code: str, message: str, **details: str) -> Response:
    """Build an error body as S3 and R2 send it."""
    inner = "".join(
        f"<{tag}>{escape(text)}</{tag}>"
        for tag, text in {"Code": code, "Message": message, **details, "RequestId": "EMULATOR"}.items()
    )
    page = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Response(status, {"content-type": "application/xml"}, page.encode())
