# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the API without sending anything: paths, headers, bodies, error envelopes."""

from __future__ import annotations

import email.utils
import json
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from airflow_provider_runflow import __version__
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.redact import public_code, strip_queries
from airflow_provider_runflow.client.retry import Effect, Failure
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    ConflictError,
    InsufficientCreditError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    ServiceUnavailableError,
    TransportError,
)

MAX_CLIENT_REF = 255
MAX_CALLBACK_URL = 2048
MAX_PAGE = 500

_FIELD_KEYS = ("loc", "msg", "message", "type")
_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    402: InsufficientCreditError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}
# Answers about key, balance, scopes and account, so that the connection is where to look.
_OF_THE_CONNECTION = frozenset({401, 402, 403, 404})
# Raised before a byte of the request reached Runflow. ProxyError: the proxy opened no way there; LocalProtocolError: a
# header that cannot be written.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """
    One API request.

    :param answer: the model that its answer must fit; ``None``: any JSON.
    :param paid: sending it twice could bill twice.
    """

    method: str
    path: str
    answer: type[Answer] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    paid: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@cache
def ssl_context() -> ssl.SSLContext:
    """Build the process's one TLS context: building costs 20 ms and would block the triggerer's loop each time."""
    return httpx.create_ssl_context()


def client_options(account: Account) -> dict[str, Any]:
    """Keyword arguments for ``httpx.Client`` and ``httpx.AsyncClient`` alike."""
    headers = {
        "Authorization": f"Bearer {account.api_key}",
        "Accept": "application/json",
        "User-Agent": f"airflow-provider-runflow/{__version__}",
    }
    if account.organization_id:
        headers["X-Organization-Id"] = account.organization_id
    return {
        "base_url": account.base_url,
        "headers": headers,
        "timeout": httpx.Timeout(account.request_timeout, connect=min(10.0, account.request_timeout)),
        "verify": ssl_context(),
        "follow_redirects": False,
    }


def send_options(call: Call[Any]) -> dict[str, Any]:
    """
    Keyword arguments for ``client.request``.

    :raises InvalidRequestError: when the body holds something that JSON cannot carry.
    """
    options: dict[str, Any] = {"method": call.method, "url": call.path, "headers": dict(call.headers)}
    if call.params:
        options["params"] = dict(call.params)
    if call.body is not None:
        options["content"] = _json_bytes(call.body)
        options["headers"]["Content-Type"] = "application/json"
    return options


def _json_bytes(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The request cannot be written as JSON ({error}). Nothing was submitted.") from error


def model_path(model: str) -> str:
    """
    Path of one model.

    :param model: model id, ``owner/slug`` or deeper.
    :raises InvalidRequestError: when a segment is empty, ``.`` or ``..``.
    """
    segments = str(model).split("/")
    if len(segments) < 2 or any(not part.strip() or part in (".", "..") for part in segments):
        raise InvalidRequestError(f"model={model!r}: must be owner/name, such as 'openai/gpt-image-2'.")
    return f"/v1/models/{'/'.join(quote(part, safe='') for part in segments)}"


def runs_path(model: str) -> str:
    """Path that creates runs of a model; raises as :func:`model_path` does."""
    return f"{model_path(model)}/runs"


def run_path(run_id: str) -> str:
    """
    Path of one run.

    :raises InvalidRequestError: when the id is empty or not a single path segment.
    """
    return f"/v1/runs/{segment('run_id', run_id, 'must be the id that creating the run returned')}"


def segment(name: str, value: str, rule: str) -> str:
    """
    Escape an id, so that it is one segment of a path.

    :param name: the parameter that it came in.
    :param rule: what it must be.
    :raises InvalidRequestError: when it is empty, ``.`` or ``..``.
    """
    if not str(value or "").strip() or value in (".", ".."):
        raise InvalidRequestError(f"{name}={value!r}: {rule}.")
    return quote(value, safe="")


def client_ref_filter(client_ref: str) -> str:
    """
    Exact-match filter of the list endpoint (reference, 8.1: the form that working clients use).

    :raises InvalidRequestError: when the reference is empty, over 255 characters or holds a quote.
    """
    check_client_ref(client_ref)
    return f"client_ref.EQ:'{client_ref}'"


def check_client_ref(client_ref: str) -> None:
    """Raise :class:`InvalidRequestError` unless the reference can be stored and found again."""
    if not client_ref or len(client_ref) > MAX_CLIENT_REF or "'" in client_ref or not client_ref.isprintable():
        raise InvalidRequestError(
            f"client_ref={client_ref!r}: must be 1-{MAX_CLIENT_REF} printable characters without a single quote."
        )


def check_idempotency_key(key: str) -> None:
    """Raise :class:`InvalidRequestError` unless the key can be sent in a header."""
    if not key.strip() or key != key.strip() or not (key.isascii() and key.isprintable()):
        raise InvalidRequestError(f"idempotency_key={key!r}: must be printable ASCII, without spaces around it.")


def list_params(
    *,
    q: str | None = None,
    fields: Sequence[str] | None = None,
    sort_by: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> dict[str, str]:
    """Query of the list endpoint; parameters that are ``None`` are left out."""
    if limit is not None and not 1 <= limit <= MAX_PAGE:
        raise InvalidRequestError(f"limit={limit!r}: must be between 1 and {MAX_PAGE}.")
    params = {"q": q, "fields": ",".join(fields) if fields else None, "sort_by": sort_by, "pq": cursor}
    chosen = {name: value for name, value in params.items() if value is not None}
    return chosen if limit is None else {**chosen, "limit": str(limit)}


def read_answer(call: Call[Any], account: Account, response: httpx.Response) -> Any:
    """Turn a response into the call's answer model, or a :class:`Failure` whose text never shows the account's key."""
    if not response.is_success:
        return Failure(_error_of(call, account, response), _effect_of(response.status_code))
    try:
        data = json.loads(response.content)
        return call.answer.model_validate(data) if call.answer else data
    except ValidationError as invalid:
        where = "; ".join(".".join(map(str, e["loc"])) + ": " + e["msg"] for e in invalid.errors()[:3])
        reason = f"the answer lacks what the API promises ({where})"
    except (ValueError, RecursionError):
        reason = "the answer is not JSON"
    error = MalformedResponseError(
        reason, status=response.status_code, request_id=_request_id(response, {}), request=str(call)
    )
    return Failure(error, Effect.UNKNOWN)


def unusable(call: Call[Any], reason: str) -> MalformedResponseError:
    """Make the error for an answer that came, but is not what the API promises."""
    return MalformedResponseError(reason, status=200, request=str(call))


def read_failure(call: Call[Any], account: Account, error: httpx.HTTPError | httpx.InvalidURL) -> Failure:
    """Turn an httpx error into a :class:`Failure` that tells whether the request may have taken effect."""
    host = urlsplit(account.base_url).netloc
    said = str(error) or type(error).__name__
    what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "could not be reached"
    advice = f"A firewall must allow {host}."
    if "refused" in said.lower():
        advice = "Nothing listens there, or a firewall refuses: check the connection's host."
    message = f"{host} {what} ({type(error).__name__}: {said}). {advice}"
    effect = Effect.NONE if isinstance(error, _NEVER_SENT) else Effect.UNKNOWN
    return Failure(TransportError(message, request=str(call), connection=account.name), effect)


def _effect_of(status: int) -> Effect:
    # A 5xx or a 408 may come from a proxy in front of a server that took the request, and a 303 answers one that was
    # taken. Any other redirect and any other 4xx say that it was not.
    return Effect.NONE if 300 <= status < 500 and status not in (303, 408) else Effect.UNKNOWN


def _error_of(call: Call[Any], account: Account, response: httpx.Response) -> ApiError:
    status = response.status_code
    body = _json_object(_without_key(response.content, account.api_key.encode()))
    code, message, errors = _envelope(body)
    cls = _BY_STATUS.get(status)
    if cls is None:
        cls = RequestRejectedError if 300 <= status < 500 else ServiceUnavailableError
    if response.has_redirect_location:
        target = strip_queries(response.headers["location"])
        message = f"redirected to {target}, which is not followed: is the connection's host right?"
    return cls(
        message or response.reason_phrase or "no message",
        status=status,
        code=public_code(code),
        errors=errors,
        request_id=_request_id(response, body),
        retry_after=_retry_after(response),
        request=str(call),
        connection=account.name if status in _OF_THE_CONNECTION else "",
    )


def _without_key(content: bytes, key: bytes) -> bytes:
    # A server may echo the key that it refuses. What is too short for a key would damage the words around it.
    return content.replace(key, b"***") if len(key) >= 6 else content


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _envelope(body: dict[str, Any]) -> tuple[str | None, str | None, list[dict[str, Any]]]:
    """Read the flat envelope, else a nested ``error``, else ``detail`` (reference, 9.1)."""
    nested, detail = body.get("error"), body.get("detail")
    inner: dict[str, Any] = next((part for part in (nested, detail) if isinstance(part, dict)), {})
    code = body.get("code") or inner.get("code")
    message = body.get("message") or inner.get("message") or (nested if isinstance(nested, str) else None)
    errors = body.get("errors") or inner.get("errors")
    if not errors and isinstance(detail, list):
        errors = detail
    if not message and isinstance(detail, str):
        message = detail
    listed = errors if isinstance(errors, list) else []
    fields = [_field(error) for error in listed if isinstance(error, (dict, str))]
    return (str(code) if code else None, strip_queries(str(message))[:2000] if message else None, fields)


def _field(error: dict[str, Any] | str) -> dict[str, Any]:
    # Validators also echo the refused input, which may be a presigned URL.
    told: dict[str, Any] = (
        {"msg": error} if isinstance(error, str) else {k: error[k] for k in _FIELD_KEYS if k in error}
    )
    return {key: strip_queries(value) if isinstance(value, str) else value for key, value in told.items()}


def _request_id(response: httpx.Response, body: dict[str, Any]) -> str | None:
    # No source names the header of API answers; these are the usual one and the callbacks' one.
    for name in ("x-request-id", "runflow-request-id"):
        if response.headers.get(name):
            return str(response.headers[name])
    return str(body["request_id"]) if body.get("request_id") else None


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
