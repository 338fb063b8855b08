# SPDX-License-Identifier: Apache-2.0
"""Who asks, and how much money is left."""

from __future__ import annotations

import re
from uuid import uuid5

from .catalogue import NAMESPACE
from .runs import stamp
from .state import Call, State, organisation
from .wire import ApiError, Request, Response, json_response

KEY = re.compile(r"[A-Za-z0-9_]+")
# choice: all keys belong to one organisation unless the header says otherwise: a new key finds old runs
DEFAULT_ORGANISATION = "emulator"
NO_SCOPE_PREFIX = "rf_noscope_"
USER = str(uuid5(NAMESPACE, "user"))


def authenticate(state: State, request: Request) -> tuple[str, str]:
    """Give the key and the organisation of a request, or refuse it."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    accepted = state.config.api_keys
    if scheme.lower() != "bearer" or not KEY.fullmatch(key) or (accepted and key not in accepted):
        raise ApiError(401, "UNAUTHORIZED", "Missing or invalid API key.")
    return key, organisation(request.headers.get("x-organization-id") or DEFAULT_ORGANISATION)


def check_scope(call: Call, scope: str) -> None:
    """Refuse a key that may not do this."""
    if call.api_key.startswith(NO_SCOPE_PREFIX):
        # choice: lets a demo show a key that may read, but neither submit nor upload
        raise ApiError(403, "PERMISSION_DENIED", f"This key lacks the scope {scope}.")


def health() -> Response:
    """Answer `GET /v1/health`."""
    return json_response(200, {"status": "ok"})


def me(state: State, call: Call) -> Response:
    """Answer `GET /v1/auth/me`."""
    # choice: the shape is not documented
    scopes = ["runs:read", "credit_balance:read", "assets:read"]
    if not call.api_key.startswith(NO_SCOPE_PREFIX):
        scopes += ["runs:create", "assets:create"]
    body = {"id": USER, "org_id": call.org_id, "email": "emulator@example.invalid", "scopes": sorted(scopes)}
    return json_response(200, body)


def balance(state: State, call: Call) -> Response:
    """Answer `GET /v1/billing/balance`."""
    now = stamp(call.now)
    return json_response(
        200,
        {
            "id": str(uuid5(NAMESPACE, f"balance:{call.org_id}")),
            "org_id": call.org_id,
            "balance": f"{state.balance(call.org_id, call.now):.6f}",
            "low_balance_threshold": None,
            "low_balance_notified_at": None,
            "created_at": now,
            "updated_at": now,
        },
    )
