# SPDX-License-Identifier: Apache-2.0
"""Reading runs: one by its id, or a filtered, ordered and paged list."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from .assets import resolved
from .outputs import signed_urls
from .paging import limit_of
from .runs import Run
from .state import Call, State
from .wire import ApiError, JsonDict, Request, Response, json_response

FILTER = re.compile(r"(id|client_ref|status_code)\.(?:EQ|eq):'([^']*)'")
ORDERS = {"created_at": False, "created_at:asc": False, "created_at:desc": True}


def get_run(state: State, call: Call, run_id: str) -> Response:
    """Answer `GET /v1/runs/{id}`. URLs are signed with and without `add_signature`."""
    run = find_run(state, call, run_id)
    if call.plan.lag and _is_younger(run, call):
        raise _unknown()
    return json_response(200, run_object(state, call, run))


def run_object(state: State, call: Call, run: Run) -> JsonDict:
    """Give a run as every read shows it: with URLs that are signed now."""
    return _resolved(state, call, run.to_dict(call.now, signed_urls(state, run, call), state.config))


def _resolved(state: State, call: Call, row: JsonDict) -> JsonDict:
    return {**row, **{name: resolved(state, call, row[name]) for name in ("input", "metadata")}}


def find_run(state: State, call: Call, run_id: str) -> Run:
    """Find a run of the caller's organisation; that of another one does not exist."""
    run = state.runs.get(run_id)
    if run is None or run.org_id != call.org_id:
        raise _unknown()
    return run


def cancel_run(state: State, call: Call, run_id: str) -> Response:
    """Answer the admin cancellation: 201 when it changed the run, 200 when the run was terminal."""
    if not call.api_key.startswith("rf_svc_"):
        raise ApiError(403, "PERMISSION_DENIED", "Cancelling a run needs an organisation admin.")
    run = find_run(state, call, run_id)
    _check_reason(call.request)
    changed = run.cancel(call.now)
    return json_response(201 if changed else 200, run_object(state, call, run))


def statuses(state: State, call: Call) -> Response:
    """Answer `GET /v1/runs/statuses`."""
    # choice: the shape is not documented
    codes = ["queued", "dispatching", "running", "succeeded", "partial_succeeded", "failed"]
    return json_response(200, {"items": [{"code": code} for code in (*codes, state.config.cancelled_spelling)]})


def _check_reason(request: Request) -> None:
    body = request.json() if request.body else {}
    if not isinstance(body, dict):
        raise ApiError.invalid(["body"], "Input should be a valid dictionary", "dict_type")
    reason = body.get("reason")
    if reason is not None and not (isinstance(reason, str) and 3 <= len(reason) <= 500):
        raise ApiError.invalid(["body", "reason"], "String should have 3 to 500 characters", "string_length")


@dataclass(frozen=True)
class Cursor:
    """A place in an ordered list: right after a run, or right before it."""

    descending: bool
    number: int
    backwards: bool = False

    def encode(self) -> str:
        """Make it opaque."""
        text = json.dumps([self.descending, self.number, self.backwards])
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read it back."""
        try:
            descending, number, backwards = json.loads(base64.urlsafe_b64decode(text.encode()))
            return cls(bool(descending), int(number), bool(backwards))
        except (ValueError, TypeError) as exc:
            raise ApiError.invalid(["query", "pq"], "Invalid cursor", "value_error") from exc


def list_runs(state: State, call: Call) -> Response:
    """Answer `GET /v1/runs`."""
    request = call.request
    limit = limit_of(request)
    names = _fields(request)
    pq = request.param("pq")
    cursor = Cursor.decode(pq) if pq else None
    descending = _descending(request, cursor)
    rows = _matching(state, call)
    rows.sort(key=lambda run: run.sort_key, reverse=descending)
    start = _start(rows, cursor, limit)
    page = rows[start : start + limit]
    more = start + limit < len(rows)
    return json_response(
        200,
        {
            "items": [_row(state, call, run, names) for run in page],
            # numbers start at 1, so "after run 0" is the start of either order
            "first": Cursor(descending, 0).encode() if rows else None,
            "next": Cursor(descending, page[-1].number).encode() if page and more else None,
            "previous": Cursor(descending, page[0].number, True).encode() if page and start else None,
        },
    )


def _start(rows: list[Run], cursor: Cursor | None, limit: int) -> int:
    """Find where the page begins. The cursor names a run, so new runs do not shift the pages after it."""
    if cursor is None or cursor.number == 0:
        return 0
    place = next((place for place, run in enumerate(rows) if run.number == cursor.number), None)
    if place is None:
        # choice: the run no longer matches the filter, so its page cannot be found
        raise ApiError.invalid(["query", "pq"], "Stale cursor", "value_error")
    return max(0, place - limit) if cursor.backwards else place + 1


def _matching(state: State, call: Call) -> list[Run]:
    visible = (run for run in state.runs_of(call.org_id) if not _is_younger(run, call))
    text = call.request.param("q")
    if not text:
        return list(visible)
    found = FILTER.fullmatch(text)
    if found is None:
        # choice: the documents describe a richer language, but clients found that only exact match works
        raise ApiError.invalid(["query", "q"], "Only field.EQ:'value' is supported", "value_error")
    field, value = found.groups()
    if field == "id":
        return [run for run in visible if run.id == value]
    if field == "client_ref":
        return [run for run in visible if run.client_ref == value]
    spelling = state.config.cancelled_spelling
    statuses = ((run, run.status(call.now)) for run in visible)
    return [run for run, status in statuses if (spelling if status == "cancelled" else status) == value]


def _is_younger(run: Run, call: Call) -> bool:
    """Tell whether a lagging index does not know the run yet."""
    return call.now - run.timeline.created_at < timedelta(seconds=call.plan.lag)


def _row(state: State, call: Call, run: Run, names: list[str] | None) -> JsonDict:
    urls = signed_urls(state, run, call) if names is None or "output" in names else []
    row = run.to_dict(call.now, urls, state.config)
    if names is None or "input" in names or "metadata" in names:
        row = _resolved(state, call, row)
    if not state.config.list_metadata:
        row["metadata"] = None
    if names is None:
        return row
    unknown = [name for name in names if name not in row]
    if unknown:
        raise ApiError.invalid(["query", "fields"], f"Unknown field: {', '.join(unknown)}", "value_error")
    return {name: row[name] for name in names}


def _fields(request: Request) -> list[str] | None:
    text = request.param("fields")
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _descending(request: Request, cursor: Cursor | None) -> bool:
    text = request.param("sort_by")
    if text is None:
        return True if cursor is None else cursor.descending
    if text not in ORDERS or (cursor is not None and cursor.descending != ORDERS[text]):
        # choice: other orders, and a cursor of another order, are refused rather than guessed
        raise ApiError.invalid(["query", "sort_by"], "Unsupported order", "value_error")
    return ORDERS[text]


def _unknown() -> ApiError:
    return ApiError(404, "RUN_NOT_FOUND", "Run not found.")
