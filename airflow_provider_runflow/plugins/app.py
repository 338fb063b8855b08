# SPDX-License-Identifier: Apache-2.0
"""
The light table's HTTP interface, mounted by Airflow's API server below ``/runflow``.

Page and scripts hold no data and are open to anyone. Everything else carries the user's Airflow identity, and is
answered only to who may read DAG runs, task instances and XComs of the DAG that it is about.
"""

# No `from __future__ import annotations`: FastAPI evaluates the annotations of routes in this module's names.
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_provider_runflow.plugins import airflow_access
from airflow_provider_runflow.plugins.airflow_access import Instance, User, may_read
from airflow_provider_runflow.plugins.cards import KEYS, OPERATORS, make_sheet, run_facts
from airflow_provider_runflow.plugins.landed import NotShown, Picture, Stores, find_picture, picture_at
from airflow_provider_runflow.plugins.serving import Pictures, can_scale

log = logging.getLogger(__name__)
STATIC = Path(__file__).parent / "static"
RUNS_SHOWN = 20
CARDS_A_RUN = 24
CARDS_A_PAGE = 1000
# Requests that read a store at the same time. The threads that FastAPI runs plain functions in are few and belong to
# the whole API server: a store that hangs would hold all of Airflow's own pages.
READERS = 8
# Names of an identity in Airflow; longer ones do not exist.
Name = Annotated[str, Query(min_length=1, max_length=250)]
# A database's integer ends there.
Index = Annotated[int, Query(ge=-1, le=2**31 - 1)]
Size = Annotated[str, Query(pattern="^(full|thumbnail)$")]
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}

pages = APIRouter()
data = APIRouter()


@pages.get("/pictures")
def page() -> FileResponse:
    """Return the page: without any data, and the same for anyone."""
    return FileResponse(STATIC / "index.html", media_type="text/html")


@data.get("/api/latest")
async def latest(request: Request, user: User, dag_id: Annotated[str | None, Query(max_length=250)] = None) -> Response:
    """Return the latest DAG runs that made pictures, each with the first of them."""
    return await _read(request, lambda: _latest(request, user, dag_id))


def _latest(request: Request, user: Any, dag_id: str | None) -> Response:
    found, dag_ids = airflow_access.latest_runs(user, KEYS, limit=RUNS_SHOWN, dag_id=dag_id)
    stores: Stores = request.app.state.stores
    runs, moving, troubles = [], False, []
    for run in found:
        sheet = make_sheet((each, stores.manifest(each)) for each in _instances(run.dag_id, run.run_id))
        moving = moving or sheet.moving
        troubles += sheet.troubles
        facts = {"counts": sheet.counts, "cost_usd": sheet.cost_usd, "total": len(sheet.cards), "moving": sheet.moving}
        runs.append({**run_facts(run), **facts, "cards": sheet.cards[:CARDS_A_RUN]})
    answer = {"runs": runs, "dag_ids": dag_ids, "moving": moving, "troubles": troubles, "scaled": can_scale()}
    return _json(request, answer)


@data.get("/api/dags/{dag_id}/pictures", dependencies=may_read)
async def pictures(
    request: Request,
    user: User,
    dag_id: str,
    run_id: Name,
    task_id: Annotated[str | None, Query(max_length=250)] = None,
    map_index: Index | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=CARDS_A_PAGE)] = CARDS_A_PAGE,
) -> Response:
    """Return the cards of a DAG run, or of one of its task instances, at most 1,000 at a time."""
    return await _read(
        request, lambda: _cards(request, dag_id, run_id, task_id, map_index, range(offset, offset + limit))
    )


def _cards(
    request: Request, dag_id: str, run_id: str, task_id: str | None, map_index: int | None, page: range
) -> Response:
    run = airflow_access.dag_run(dag_id, run_id)
    if run is None:
        raise NotShown(404, "There is no such DAG run.")
    stores: Stores = request.app.state.stores
    told = [(each, stores.manifest(each)) for each in _instances(dag_id, run_id, task_id, map_index)]
    sheet = make_sheet(told)
    answer = {
        "run": run_facts(run),
        "counts": sheet.counts,
        "cost_usd": sheet.cost_usd,
        "moving": sheet.moving or run.state in ("queued", "running"),
        "troubles": sheet.troubles,
        "total": len(sheet.cards),
        "next": page.stop if page.stop < len(sheet.cards) else None,
        "cards": sheet.cards[page.start : page.stop],
        "scaled": can_scale(),
    }
    return _json(request, answer)


@data.get("/dags/{dag_id}/pictures/{sha256}", dependencies=may_read)
async def picture(
    request: Request,
    user: User,
    dag_id: str,
    sha256: str,
    run_id: Name,
    task_id: Name,
    map_index: Index = -1,
    size: Size = "full",
    download: bool = False,
) -> Response:
    """Return the bytes of a picture that this task instance landed."""

    def read() -> Response:
        found = _find(request, dag_id, run_id, task_id, map_index, sha256)
        # The bytes are what the address says, for good: who has them need not ask again.
        return _picture(request, found, size, keep="private, max-age=3600", download=download)

    return await _read(request, read)


@data.get("/dags/{dag_id}/picture", dependencies=may_read)
async def picture_of_now(
    request: Request,
    user: User,
    dag_id: str,
    run_id: Name,
    task_id: Name,
    map_index: Index = -1,
    key: Annotated[str | None, Query(max_length=1000)] = None,
    index: Annotated[int, Query(ge=0, le=100)] = 0,
    size: Size = "full",
) -> Response:
    """Return the bytes of the picture that this task instance has landed by now, by its place in the result."""

    def read() -> Response:
        found = picture_at(request.app.state.stores, _instance(dag_id, run_id, task_id, map_index), key, index)
        return _picture(request, found, size, keep="private, no-cache")

    return await _read(request, read)


@data.get("/api/dags/{dag_id}/sidecars/{sha256}", dependencies=may_read)
async def sidecar(
    request: Request, user: User, dag_id: str, sha256: str, run_id: Name, task_id: Name, map_index: Index = -1
) -> Response:
    """Return what the sidecar beside a picture tells; ``null`` when there is none."""

    def read() -> Response:
        found = _find(request, dag_id, run_id, task_id, map_index, sha256)
        served: Pictures = request.app.state.pictures
        return _json(request, {"sidecar": served.sidecar(found)})

    return await _read(request, read)


async def _read(request: Request, work: Callable[[], Response]) -> Response:
    """Do in a thread what reads the database and a store: so many at a time, the others wait without one."""
    return await to_thread.run_sync(work, limiter=request.app.state.readers)


def _picture(request: Request, found: Picture, size: str, *, keep: str, download: bool = False) -> Response:
    served: Pictures = request.app.state.pictures
    headers = {"ETag": f'"{found.sha256[:32]}-{size}"', "Cache-Control": keep}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    shown = served.thumbnail(found) if size == "thumbnail" else served.full(found)
    name = f"{found.sha256[:16]}.{EXTENSIONS[shown.content_type]}"
    headers["Content-Disposition"] = f'{"attachment" if download else "inline"}; filename="{name}"'
    return Response(shown.body, media_type=shown.content_type, headers=headers)


def _find(request: Request, dag_id: str, run_id: str, task_id: str, map_index: int, sha256: str) -> Picture:
    return find_picture(request.app.state.stores, _instance(dag_id, run_id, task_id, map_index), sha256)


def _instance(dag_id: str, run_id: str, task_id: str, map_index: int) -> Instance:
    there = _instances(dag_id, run_id, task_id, map_index)
    if not there:
        raise NotShown(404, "There is no such task instance, or it landed nothing.")
    return there[0]


def _instances(dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None) -> list[Instance]:
    return airflow_access.instances(
        dag_id, run_id, keys=KEYS, operators=OPERATORS, task_id=task_id, map_index=map_index
    )


def _json(request: Request, answer: dict[str, Any]) -> Response:
    """Answer with JSON, or with 304 when the browser has this very answer: the page asks again while tasks wait."""
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        "utf-8", "backslashreplace"
    )
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


async def _not_shown(request: Request, error: Exception) -> Response:
    status, reason = (error.status, error.reason) if isinstance(error, NotShown) else (500, "")
    if error.__cause__ is not None:
        log.warning("%s: %s", reason, error.__cause__)
    return JSONResponse({"detail": reason}, status_code=status)


def make_app() -> FastAPI:
    """Make the application; its caches live as long as it does."""
    app = FastAPI(title="Runflow pictures", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.stores = Stores()
    app.state.pictures = Pictures(app.state.stores)
    app.state.readers = CapacityLimiter(READERS)
    app.include_router(pages)
    app.include_router(data)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(NotShown, _not_shown)
    return app
