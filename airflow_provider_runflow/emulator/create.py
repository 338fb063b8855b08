# SPDX-License-Identifier: Apache-2.0
"""Creating a run: idempotency, validation, money, and then a timeline."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from . import assets, callbacks
from .account import USER, check_scope
from .catalogue import Model
from .faults import Subject
from .inputs import check_create_body
from .models import find_model
from .reading import run_object
from .runs import Run, cancellation, money, outcome, timeline
from .state import Call, Remembered, State
from .wire import ApiError, Response, json_response


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
    check_scope(call, "runs:create")
    model = find_model(state, slug)
    body = check_create_body(call.request.json(), model.inputs, state.config.max_images)
    assets.check_references(state, call, body["input"])
    _check_balance(state, call, model, body["input"])
    body |= {name: assets.kept(state, call, body.get(name)) for name in ("input", "metadata")}
    run = _new_run(state, call, model, body, key)
    state.runs[run.id] = run
    callbacks.expect(state, run)
    return json_response(201, run_object(state, call, run))


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
        created_by=USER,
        client_ref=body.get("client_ref"),
        metadata=body.get("metadata"),
        callback_url=body.get("callback_url"),
        idempotency_key=key,
        cancelled_at=cancellation(line, fault),
    )
