# SPDX-License-Identifier: Apache-2.0
"""`/_emulator/…`: what the real Runflow does not have. In Python, `Emulator` has methods for the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import page
from .wire import ApiError, Request, Response, html_response, json_response

if TYPE_CHECKING:
    from .core import Emulator

PREFIX = "/_emulator"


def answer(emulator: Emulator, request: Request, now: datetime) -> Response:
    """Answer an admin request. No key is needed: the emulator belongs to whoever started it."""
    parts = [part for part in request.path[len(PREFIX) :].split("/") if part]
    name, rest = (parts[0] if parts else ""), parts[1:]
    match request.method, name, rest:
        case "GET", "", []:
            return html_response(200, page.index_page(emulator.state, now))
        case "GET", "runs", [run_id]:
            return _run_page(emulator, request, now, run_id)
        case "GET", "ledger", []:
            return json_response(200, emulator.ledger(now))
        case "GET", "config", []:
            return json_response(200, emulator.config.to_dict())
        case "POST", "config", []:
            return _configure(emulator, request)
        case "POST", "reset", []:
            emulator.reset()
            return json_response(200, {"reset": True})
        case "POST", "clock", []:
            return _clock(request)
        case _, "faults", _:
            return _faults(emulator, request, rest)
    raise ApiError(404, "NOT_FOUND", f"The emulator has no {request.method} {request.path}.")


def _faults(emulator: Emulator, request: Request, rest: list[str]) -> Response:
    match request.method, rest:
        case "GET", []:
            return json_response(200, {"faults": [armed.to_dict() for armed in emulator.faults]})
        case "POST", []:
            body = request.json()
            rules = body if isinstance(body, list) else [body]
            try:
                added = emulator.add_faults([_object(rule) for rule in rules])
            except (TypeError, ValueError) as exc:
                raise ApiError.invalid(["body"], str(exc), "value_error") from exc
            return json_response(201, {"faults": [armed.to_dict() for armed in added]})
        case "DELETE", []:
            return json_response(200, {"removed": emulator.clear_faults()})
        case "DELETE", [fault_id]:
            return json_response(200, {"removed": emulator.clear_faults(fault_id)})
    raise ApiError(404, "NOT_FOUND", f"The emulator has no {request.method} {request.path}.")


def _configure(emulator: Emulator, request: Request) -> Response:
    try:
        emulator.configure(**_object(request.json()))
    except (TypeError, ValueError) as exc:
        raise ApiError.invalid(["body"], str(exc), "value_error") from exc
    return json_response(200, emulator.config.to_dict())


def _clock(request: Request) -> Response:
    body = request.json()
    seconds = body.get("advance") if isinstance(body, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        raise ApiError.invalid(["body", "advance"], "Input should be a number of seconds", "float_type")
    # the clock belongs to the skin: it moves it, or answers 409 when its clock is real
    return replace(json_response(200, {"advanced": seconds}), advance_clock=float(seconds))


def _run_page(emulator: Emulator, request: Request, now: datetime, run_id: str) -> Response:
    run = emulator.state.runs.get(run_id)
    if run is None:
        return html_response(404, page.missing_page(run_id))
    return html_response(200, page.run_page(run, emulator.picture_urls(run_id, now, request.base_url), now))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is expected")
    return value
