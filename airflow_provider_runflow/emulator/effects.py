# SPDX-License-Identifier: Apache-2.0
"""What a fault rule makes of a response."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

from .faults import Fault
from .state import State
from .wire import ApiError, Request, Response

RATE_LIMIT = 600  # choice: no numbers are documented
WINDOW = 60

CODES = {
    401: ("UNAUTHORIZED", "Missing or invalid API key."),
    402: ("INSUFFICIENT_CREDIT", "Insufficient credit."),
    403: ("PERMISSION_DENIED", "Your account is not authorized to access this resource."),
    404: ("RUN_NOT_FOUND", "Run not found."),
    409: ("CONFLICT", "Conflict."),
    429: ("RATE_LIMITED", "Rate limit exceeded: try again later."),
    503: ("MODEL_UNAVAILABLE", "The model is temporarily unavailable."),
}
PROXY_PAGE = b"<!doctype html><html><title>Sign in</title><body>Proxy sign-in required.</body></html>"
GARBAGE = b"\x00not what you asked for\xff" * 40


def fault_response(fault: Fault, now: datetime) -> Response:
    """Answer a request that is not processed."""
    if fault.effect == "drop_before":
        return Response(502, drop="before")
    status = fault.status or 503
    code, message = CODES.get(status, ("INTERNAL_ERROR", "Something went wrong."))
    response = ApiError(status, fault.code or code, fault.message or message).response()
    if not fault.headers:
        return response
    wait = math.ceil(1 if fault.seconds is None else fault.seconds)
    limits = {
        "retry-after": str(wait),
        "x-ratelimit-limit": str(RATE_LIMIT),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(math.ceil(now.timestamp()) + wait),
    }
    return replace(response, headers={**response.headers, **limits})


def damaged(response: Response, fault: Fault, *, head_only: bool = False) -> Response:
    """Damage the answer to a request that was processed. `head_only`: the body is not rendered yet."""
    body = response.body
    match fault.effect:
        case "drop_after":
            return replace(response, drop="after")
        case "status":
            return _error_over(fault, response)
        case "html":
            page = {"content-type": "text/html"}
            return replace(response, status=fault.status or 200, headers=page, body=PROXY_PAGE)
        case "malformed" if not head_only:
            is_json = response.headers.get("content-type") == "application/json"
            return replace(response, body=body[: len(body) * 2 // 3] if is_json else GARBAGE)
        case "truncate":
            kept = len(body) // 2 if fault.truncate_to is None else fault.truncate_to
            return replace(response, truncate_to=kept, chunked=fault.chunked)
        case "oversize":
            return replace(response, pad_to=max(fault.size, len(body)), chunked=fault.chunked)
    return response


def _error_over(fault: Fault, response: Response) -> Response:
    error = ApiError(
        fault.status or 502, fault.code or "INTERNAL_ERROR", fault.message or "The upstream answer was lost."
    ).response()
    return replace(error, delay=response.delay, bytes_per_second=response.bytes_per_second)


def rate_limit_headers(state: State, request: Request, response: Response, now: datetime) -> Response:
    """Add the headers that older documents promise on every answer; a 429 gets Retry-After too."""
    who = request.headers.get("x-organization-id", "")
    minute = int(now.timestamp()) // WINDOW
    window, count = state.windows.get(who, (minute, 0))
    count = count + 1 if window == minute else 1
    state.windows[who] = (minute, count)
    reset = (minute + 1) * WINDOW
    extra = {
        "x-ratelimit-limit": str(RATE_LIMIT),
        "x-ratelimit-remaining": str(max(0, RATE_LIMIT - count)),
        "x-ratelimit-reset": str(reset),
    }
    if response.status == 429:
        extra["retry-after"] = "1"
    return replace(response, headers={**extra, **response.headers})
