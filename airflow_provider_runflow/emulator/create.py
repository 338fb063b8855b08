# SPDX-License-Identifier: Apache-2.0
"""Creating a run: idempotency, validation, money, and then a timeline."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid5

from .catalogue import NAMESPACE, Model
from .faults import Subject
from .inputs import check_create_body
from .runs import Run, cancellation, money, outcome, timeline
from .state import Call, Remembered, State
from .wire import ApiError, Response, json_response

NO_SCOPE_PREFIX = "rf_noscope_"


def create_run(state: State, call: Call, slug: str) -> Response:
    """Answer a create request, from memory when its idempotency key is known."""
    key = call.request.headers.get("idempotency-key")
    if not key or not state.config.idempotency:
        return _create(state, call, slug, key)
    # choice: the key belongs to the organisation, "same body" means the same bytes to the same path
    digest = hashlib.sha256(call.request.path.encode() + b"\n" + call.request.body).hexdigest()
    known = state.idempotency.get((call.org_id, key))
    lifetime = timedelta(seconds=state.config.idempotency_ttl)
    if known is not None and call.now - known.at < lifetime:
        if known.digest != digest:
            raise ApiError(409, "CONFLICT", "This Idempotency-Key was used with another request body.")
        return known.response
    response = _create(state, call, slug, key)
    # choice: only what was created is remembered; a refusal (raised above) may be tried again under its key
    state.idempotency[call.org_id, key] = Remembered(digest, response, call.now)
    return response


def _create(state: State, call: Call, slug: str, key: str | None) -> Response:
    if call.api_key.startswith(NO_SCOPE_PREFIX):
        # choice: lets a demo show a key without the scope `runs:create`
        raise ApiError(403, "PERMISSION_DENIED", "This key lacks the scope runs:create.")
    model = state.models.get(slug)
    if model is None:
        # choice: the reference has no code for an unknown model
        raise ApiError(404, "MODEL_NOT_FOUND", f"Model '{slug}' was not found.")
    body = check_create_body(call.request.json(), model.inputs, state.config.max_images)
    _check_balance(state, call, model, body["input"])
    run = _new_run(state, call, model, body, key)
    state.runs[run.id] = run
    return json_response(201, run.to_dict(call.now, [], state.config))


def _check_balance(state: State, call: Call, model: Model, given: dict[str, Any]) -> None:
    # choice: runs in flight are not held back from the balance; the reference debits succeeded runs only
    price = model.price(given) * model.images(given)
    left = state.balance(call.org_id, call.now)
    if left < price:
        text = f"Insufficient credit: this run costs ${money(price)}, the balance is ${money(left)}."
        raise ApiError(402, "INSUFFICIENT_CREDIT", text)


def _new_run(state: State, call: Call, model: Model, body: dict[str, Any], key: str | None) -> Run:
    number = len(state.runs) + 1
    given = body["input"]
    subject = Subject("create", str(given.get("prompt") or ""), body.get("client_ref"))
    fault = state.faults.outcome(subject)
    line = timeline(model, given, state.config, number, fault, call.now)
    return Run(
        id=state.new_run_id(number, call.now),
        number=number,
        org_id=call.org_id,
        model=model,
        input=given,
        timeline=line,
        outcome=outcome(model.images(given), fault),
        config=state.config,
        request_id=f"req_emulator_{number:06d}",
        created_by=str(uuid5(NAMESPACE, "user")),
        client_ref=body.get("client_ref"),
        metadata=body.get("metadata"),
        callback_url=body.get("callback_url"),
        idempotency_key=key,
        cancelled_at=cancellation(line, fault),
    )
