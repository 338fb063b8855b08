# SPDX-License-Identifier: Apache-2.0
"""Callbacks: what is due, what is in them, how they are signed, and what became of each try. Nothing is sent here.

A skin that can send (the server, see courier.py) asks what is due and tells how it went.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from random import Random
from uuid import uuid5

from .catalogue import NAMESPACE
from .faults import Plan
from .inputs import Text
from .outputs import signed_urls
from .reading import find_run
from .runs import Run, stamp
from .state import Call, State
from .wire import ApiError, JsonDict, Request, Response, json_response

# choice: "an exponential schedule" that "stops after a few attempts" is all that is documented
MAX_ATTEMPTS = 5
FIRST_PAUSE = 1.0
EVENTS = {
    "succeeded": "run.completed",
    "failed": "run.failed",
    "cancelled": "run.cancelled",
    "partial_succeeded": "run.partial_succeeded",
}
SHOWN_BYTES = 1000


@dataclass(frozen=True)
class Secret:
    """One signing secret of an organisation."""

    id: str
    plain: str
    label: str | None
    created_at: datetime

    def signature(self, body: bytes) -> str:
        """Sign a body."""
        return hmac.new(self.plain.encode(), body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Result:
    """What became of one try; without a status, `error` says why there is none."""

    status: int | None = None
    body: str = ""
    error: str | None = None
    milliseconds: int = 0


@dataclass
class Delivery:
    """The callback of one run: its bytes are frozen when it is first due."""

    run: Run
    body: bytes = b""
    secret: Secret | None = None
    created_at: datetime | None = None
    next_at: datetime | None = None
    completed_at: datetime | None = None
    attempts: list[tuple[datetime, Result]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it goes."""
        return self.run.callback_url or ""

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with the body."""
        signed = {} if self.secret is None else {"Runflow-Signature": self.secret.signature(self.body)}
        return {"Content-Type": "application/json", "Runflow-Request-Id": self.run.request_id, **signed}


def create_secret(state: State, call: Call) -> Response:
    """Answer `POST /v1/callback-secrets`. The newest secret signs."""
    body = call.request.json() if call.request.body else {}
    label = body.get("label") if isinstance(body, dict) else None
    for _, msg, kind in () if label is None else Text(0, 255).problems(label):
        raise ApiError.invalid(["body", "label"], msg, kind)
    known = state.secrets.setdefault(call.org_id, [])
    dice = Random(f"{state.config.seed}:secret:{call.org_id}:{len(known)}")  # repeatable
    secret = Secret(
        id=str(uuid5(NAMESPACE, f"secret:{call.org_id}:{len(known)}")),
        plain=f"whsec_{dice.getrandbits(256):064x}",
        label=label,
        created_at=call.now,
    )
    known.append(secret)
    created = stamp(call.now)
    return json_response(
        201,
        {
            "plain_secret": secret.plain,
            "id": secret.id,
            "org_id": call.org_id,
            "key_prefix": secret.plain[:10],
            "is_current": True,
            "label": secret.label,
            "disabled_at": None,
            "last_used_at": None,
            "created_at": created,
            "updated_at": created,
        },
    )


def expect(state: State, run: Run) -> None:
    """Remember that a new run wants to be told of."""
    if run.callback_url:
        state.deliveries[run.id] = Delivery(run)


def due(state: State, now: datetime, base_url: str) -> list[Delivery]:
    """Give the deliveries whose time has come."""
    found = []
    for delivery in state.deliveries.values():
        if delivery.completed_at is not None:
            continue
        if delivery.created_at is None and delivery.run.completed_at(now) is not None:
            _freeze(state, delivery, now, base_url)
        if delivery.next_at is not None and delivery.next_at <= now:
            found.append(delivery)
    return found


def record(delivery: Delivery, result: Result, now: datetime) -> None:
    """Remember what became of a try; decide when to try again."""
    delivery.attempts.append((now, result))
    arrived = result.status is not None and 200 <= result.status < 300
    if arrived or len(delivery.attempts) >= MAX_ATTEMPTS:
        delivery.next_at, delivery.completed_at = None, now
    else:
        delivery.next_at = now + timedelta(seconds=FIRST_PAUSE * 2 ** (len(delivery.attempts) - 1))


def history(state: State, call: Call, run_id: str) -> Response:
    """Answer `GET /v1/runs/{id}/callback`: an array of deliveries."""
    run = find_run(state, call, run_id)
    delivery = state.deliveries.get(run.id)
    known = delivery is not None and delivery.created_at is not None
    return json_response(200, [_delivery(delivery)] if delivery is not None and known else [])


def _freeze(state: State, delivery: Delivery, now: datetime, base_url: str) -> None:
    run = delivery.run
    delivery.body = json.dumps(_payload(state, run, now, base_url), separators=(",", ":")).encode()
    secrets = state.secrets.get(run.org_id)
    delivery.secret = secrets[-1] if secrets else None
    delivery.created_at = delivery.next_at = now


def _payload(state: State, run: Run, now: datetime, base_url: str) -> JsonDict:
    urls = signed_urls(state, run, Call(Request("GET", "/", base_url=base_url), now, Plan()))
    whole = run.to_dict(now, urls, state.config)
    output = whole["output"]
    if run.status(now) == "failed":
        # choice: "an error envelope" is all that is documented
        output = {"error": {"code": run.outcome.code, "message": run.outcome.message, "stage": run.outcome.stage}}
    return {
        "event": EVENTS[run.status(now)],
        "run_id": run.id,
        "status": whole["status_code"],
        "output": output,
        "duration_ms": whole["duration_ms"],
        "created_at": _isoformat(run.timeline.created_at),
        "completed_at": _isoformat(run.completed_at(now)),
        "metadata": run.metadata,
    }


def _delivery(delivery: Delivery) -> JsonDict:
    last = delivery.attempts[-1][1] if delivery.attempts else None
    failed = delivery.completed_at is not None and (last is None or last.status is None or last.status >= 300)
    delivery_id = str(uuid5(NAMESPACE, f"delivery:{delivery.run.id}"))
    created = stamp(delivery.created_at)
    return {
        "id": delivery_id,
        "run_id": delivery.run.id,
        "callback_url": delivery.url,
        "payload_bytes": delivery.body.decode(),
        "payload": json.loads(delivery.body),
        "signing_secret_id": None if delivery.secret is None else delivery.secret.id,
        "is_automatic": True,
        # choice: neither these codes nor the reasons are documented
        "status_code": "pending" if delivery.completed_at is None else "failed" if failed else "delivered",
        "failure_reason_code": "attempts_exhausted" if failed else None,
        "failure_detail": last.error if failed and last is not None else None,
        "attempt_count": len(delivery.attempts),
        "max_attempts": MAX_ATTEMPTS,
        "next_attempt_at": stamp(delivery.next_at),
        "created_at": created,
        "updated_at": stamp(delivery.attempts[-1][0]) if delivery.attempts else created,
        "completed_at": stamp(delivery.completed_at),
        "attempts": [
            {
                "id": str(uuid5(NAMESPACE, f"attempt:{delivery.run.id}:{number}")),
                "delivery_id": delivery_id,
                "attempt_number": number,
                "status_code": result.status,
                "response_body": result.body[:SHOWN_BYTES],
                "response_time_ms": result.milliseconds,
                "error_message": result.error,
                "created_at": stamp(at),
            }
            for number, (at, result) in enumerate(delivery.attempts, start=1)
        ],
    }


def _isoformat(moment: datetime | None) -> str | None:
    # callbacks write +00:00 where the API writes Z
    return None if moment is None else moment.astimezone(timezone.utc).isoformat()
