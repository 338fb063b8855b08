# SPDX-License-Identifier: Apache-2.0
"""Presigned output URLs: signing them anew at every read, and serving what they point at as S3 would."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode

from .pictures import PictureCache, PictureSpec
from .runs import Run
from .state import Call, State
from .wire import Request, Response, storage_error

ALGORITHM = "AWS4-HMAC-SHA256"
STAMP = "%Y%m%dT%H%M%SZ"
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def output_path(run: Run, index: int) -> str:
    """Give the path of one picture."""
    return f"/outputs/{run.id}/{index}.{EXTENSIONS[run.format]}"


def signed_urls(state: State, run: Run, call: Call) -> list[str]:
    """Sign the URL of every picture that is there."""
    paths = [output_path(run, index) for index in range(run.delivered(call.now))]
    return [_sign(state, path, call) for path in paths]


def _sign(state: State, path: str, call: Call) -> str:
    lifetime = state.config.url_ttl
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
        "X-Amz-SignedHeaders": "host",
    }
    signature = _signature(state, path, query)
    encoded = urlencode({**query, "X-Amz-Signature": signature}, quote_via=quote)
    return f"{call.request.base_url}{path}?{encoded}"


def _signature(state: State, path: str, query: dict[str, str]) -> str:
    # the host is left out: a demo may reach the emulator under several names
    text = "\n".join([path, *(f"{key}={query[key]}" for key in sorted(query))])
    secret = f"runflow-emulator:{state.config.seed}".encode()
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def serve_output(state: State, cache: PictureCache, call: Call, run_id: str, name: str) -> Response:
    """Answer a request for one picture."""
    refusal = _refusal(state, call.request, call.now)
    if refusal is not None:
        return refusal
    if call.plan.expired:
        return _expired(call.now - timedelta(seconds=1), call.now)
    spec = _find(state, call, run_id, name)
    if spec is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.", Key=call.request.path[1:])
    headers = {"content-type": CONTENT_TYPES[spec.format], "etag": f'"{spec.digest}"', "server": "AmazonS3"}
    return Response(200, headers, render=lambda: cache.get(spec))


def _find(state: State, call: Call, run_id: str, name: str) -> PictureSpec | None:
    run = state.runs.get(run_id)
    if run is None:
        return None
    for index in range(run.delivered(call.now)):
        if output_path(run, index).endswith(f"/{name}"):
            return run.picture(index)
    return None


def _refusal(state: State, request: Request, now: datetime) -> Response | None:
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
    if request.method != "GET" or not hmac.compare_digest(
        signature.encode(errors="replace"), _signature(state, request.path, query).encode()
    ):
        message = "The request signature we calculated does not match the signature you provided."
        return storage_error(403, "SignatureDoesNotMatch", message)
    since = datetime.strptime(query["X-Amz-Date"], STAMP).replace(tzinfo=timezone.utc)
    until = since + timedelta(seconds=float(query["X-Amz-Expires"]))
    return _expired(until, now) if now > until else None


def _expired(until: datetime, now: datetime) -> Response:
    return storage_error(
        403,
        "AccessDenied",
        "Request has expired",
        Expires=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ServerTime=now.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
