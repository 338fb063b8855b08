# SPDX-License-Identifier: Apache-2.0
"""What Runflow logs of a run; like its status, read off its timeline."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import uuid5

from .catalogue import NAMESPACE
from .paging import page
from .reading import find_run, run_object
from .runs import Run, stamp
from .state import Call, State
from .wire import ApiError, JsonDict, Response, json_response


def list_logs(state: State, call: Call, run_id: str) -> Response:
    """Answer `GET /v1/runs/{id}/logs`."""
    return page(call.request, _rows(state, call, find_run(state, call, run_id)))


def get_log(state: State, call: Call, run_id: str, log_id: str) -> Response:
    """Answer `GET /v1/runs/{id}/logs/{log_id}`."""
    for row in _rows(state, call, find_run(state, call, run_id)):
        if row["id"] == log_id:
            return json_response(200, row)
    raise ApiError(404, "LOG_NOT_FOUND", "Log not found.")  # choice: no code is documented


def _rows(state: State, call: Call, run: Run) -> list[JsonDict]:
    whole = run_object(state, call, run)
    return [
        {
            "id": str(uuid5(NAMESPACE, f"log:{run.id}:{number}")),
            "run_id": run.id,
            "level_code": level,
            "message": message,
            "timestamp": stamp(at),
            "meta": {},
            "run": whole,
        }
        for number, (at, level, message) in enumerate(_lines(run, call.now))
    ]


def _lines(run: Run, now: datetime) -> Iterator[tuple[datetime, str, str]]:
    # choice: neither the texts nor the levels are documented
    ended = run.completed_at(now)
    steps = ((run.timeline.created_at, "Run queued"), (run.timeline.dispatching_at, "Run dispatched to the provider"))
    for at, message in (*steps, (run.timeline.started_at, "The provider has started")):
        if at <= now and (ended is None or at <= ended):
            yield at, "info", message
    if ended is None:
        return
    status = run.status(now)
    if status == "failed":
        yield ended, "error", f"Run failed: {run.outcome.message}"
    else:
        yield ended, "info", f"Run {status}"
