# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs of the object storage: made anew at every read, and checked as S3 checks them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode

from .state import Call, State
from .wire import Response, storage_error

ALGORITHM = "AWS4-HMAC-SHA256"
STAMP = "%Y%m%dT%H%M%SZ"


def signed_url(
    state: State, call: Call, path: str, *, method: str = "GET", content_type: str | None = None, lifetime: float = 0
) -> str:
    """Sign a path for one method, and for one content type when it is an upload; `lifetime` is in seconds."""
    lifetime = lifetime or state.config.url_ttl
    # rounded up: the stamp has whole seconds, and a short lifetime must not become shorter still
    since = call.now.astimezone(timezone.utc) + timedelta(microseconds=999_999)
    if call.plan.expired:
        since -= timedelta(seconds=lifetime + 60)
    day = since.strftime("%Y%m%d")
    query = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"EMULATOR/{day}/eu-central-1/s3/aws4_request",
        "X-Amz-Date": since.strftime(STAMP),
        "X-Amz-Expires": f"{lifetime:g}",
        # real signatures repeat within a second; a number in the token makes each read give a new URL
        "X-Amz-Security-Token": f"emulator-{state.next_signature()}",
        "X-Amz-SignedHeaders": "host" if content_type is None else "content-type;host",
    }
    headers = {} if content_type is None else {"content-type": content_type}
    signature = _signature(state, method, path, query, headers)
    encoded = urlencode({**query, "X-Amz-Signature": signature}, quote_via=quote)
    return f"{call.request.base_url}{quote(path)}?{encoded}"


def refusal(state: State, call: Call) -> Response | None:
    """Say why a request to the storage is refused; None when it is signed and in time."""
    request, now = call.request, call.now
    query = dict(request.query)
    signature = query.pop("X-Amz-Signature", None)
    if "authorization" in request.headers:
        return storage_error(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
            "Signature query string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
        )
    if signature is None:
        return storage_error(403, "AccessDenied", "Access Denied")
    expected = _signature(state, request.method, request.path, query, request.headers)
    if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
        message = "The request signature we calculated does not match the signature you provided."
        return storage_error(403, "SignatureDoesNotMatch", message)
    if call.plan.expired:
        return _expired(now - timedelta(seconds=1), now)
    since = datetime.strptime(query["X-Amz-Date"], STAMP).replace(tzinfo=timezone.utc)
    until = since + timedelta(seconds=float(query["X-Amz-Expires"]))
    return _expired(until, now) if now > until else None


def _signature(state: State, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    # the host is left out: a demo may reach the emulator under several names
    names = [name for name in query.get("X-Amz-SignedHeaders", "").split(";") if name != "host"]
    signed = [f"{name}:{headers.get(name, '')}" for name in names]
    text = "\n".join([method, path, *(f"{key}={query[key]}" for key in sorted(query)), *signed])
    secret = f"runflow-emulator:{state.config.seed}".encode()
    return hmac.new(secret, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _expired(until: datetime, now: datetime) -> Response:
    return storage_error(
        403,
        "AccessDenied",
        "Request has expired",
        Expires=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ServerTime=now.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
