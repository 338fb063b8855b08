# SPDX-License-Identifier: Apache-2.0
"""
Who asks, what they may see, and what Airflow knows: the one module that leans on Airflow's own server modules.

They are not part of Airflow's documented interface, so nothing else here imports them, and
``tests/unit/plugins/test_airflow_access.py`` holds each name and each column against the Airflow that it runs with.
Imported in API servers only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.exceptions import AirflowNotFoundException  # type: ignore[attr-defined]
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi import Depends
from sqlalchemy import or_, select

from airflow_provider_runflow.compat import task_state_model
from airflow_provider_runflow.links import BATCH_XCOM_KEY
from airflow_provider_runflow.stores.task_state_log import DIRECTORY

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.store import Store

__all__ = ["DagRunFacts", "Instance", "User", "dag_run", "instances", "latest_runs", "may_read", "open_root"]

#: FastAPI dependency: the user of a request, by bearer token or by the UI's cookie; 401 without one.
User = GetUserDep
# The page tells of DAG runs, of the states of task instances, and of what they pushed.
_ENTITIES = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
#: FastAPI dependencies of a route with ``{dag_id}`` in its path: 403 for who may not read runs, task instances and
#: XComs of that DAG.
may_read: list[Any] = [Depends(requires_access_dag("GET", entity)) for entity in _ENTITIES]

RETURN_VALUE = "return_value"


@dataclass(frozen=True)
class DagRunFacts:
    """A DAG run."""

    dag_id: str
    run_id: str
    state: str
    run_after: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Instance:
    """
    A task instance.

    :param label: what its map index is called; ``None`` without a ``map_index_template``.
    :param state: ``None`` before it is scheduled.
    :param xcoms: what the light table reads of it, by key.
    :param kept: the journal of a batch that has pushed no result yet, by key.
    :param stamp: changes whenever one of them does.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    operator: str
    label: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    stamp: str = ""


def readable(user: Any, dag_ids: Collection[str]) -> set[str]:
    """Return those of some DAGs that a user may read: the same questions as :data:`may_read` asks."""
    manager = get_auth_manager()
    return {
        dag_id
        for dag_id in dag_ids
        for details in [DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))]
        if all(
            manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
            for entity in _ENTITIES
        )
    }


def latest_runs(
    user: Any, keys: Sequence[str], *, limit: int, dag_id: str | None = None
) -> tuple[list[DagRunFacts], list[str]]:
    """
    Find the latest DAG runs with something to show, of all DAGs that a user may read.

    :param keys: a task instance that pushed an XCom with one of them has something to show.
    :param dag_id: of this DAG only.
    :return: the runs, the latest first; and the ids of all DAGs that have some.
    """
    with create_session(scoped=False) as session:
        known = session.scalars(select(XComModel.dag_id).where(XComModel.key.in_(keys)).distinct()).all()
        allowed = readable(user, known)
        wanted = allowed if dag_id is None else allowed & {dag_id}
        if not wanted:
            return [], sorted(allowed)
        with_pictures = (
            select(XComModel.dag_run_id).where(XComModel.key.in_(keys), XComModel.dag_id.in_(wanted)).distinct()
        )
        runs = session.execute(
            select(*_RUN_COLUMNS)
            .where(DagRun.id.in_(with_pictures))
            .order_by(DagRun.run_after.desc(), DagRun.id.desc())
            .limit(limit)
        ).all()
    return [_run(row) for row in runs], sorted(allowed)


def dag_run(dag_id: str, run_id: str) -> DagRunFacts | None:
    """Return a DAG run; ``None`` when there is none."""
    with create_session(scoped=False) as session:
        query = select(*_RUN_COLUMNS).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        row = session.execute(query).one_or_none()
    return None if row is None else _run(row)


def instances(
    dag_id: str,
    run_id: str,
    *,
    keys: Collection[str],
    operators: Collection[str],
    task_id: str | None = None,
    map_index: int | None = None,
) -> list[Instance]:
    """
    Return the task instances of a DAG run that buy or land pictures, with what they pushed.

    :param keys: a task instance that pushed an XCom with one of them is one of those.
    :param operators: so is one whose operator has one of these names, even before it pushed anything.
    :param task_id: of this task only.
    :param map_index: of this map index only.
    """
    here = [XComModel.dag_id == dag_id, XComModel.run_id == run_id]
    there = [TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id]
    for name, value in (("task_id", task_id), ("map_index", map_index)):
        if value is not None:
            here.append(getattr(XComModel, name) == value)
            there.append(getattr(TaskInstance, name) == value)
    with create_session(scoped=False) as session:
        pushed = session.scalars(select(XComModel.task_id).where(*here, XComModel.key.in_(keys)).distinct()).all()
        ours = or_(TaskInstance.task_id.in_(pushed), TaskInstance.operator.in_(operators))
        rows = session.execute(
            select(*_INSTANCE_COLUMNS).where(*there, ours).order_by(TaskInstance.task_id, TaskInstance.map_index)
        ).all()
        tasks = {row.task_id for row in rows}
        wanted = [*keys, RETURN_VALUE]
        values = session.execute(
            select(XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value, XComModel.timestamp).where(
                *here, XComModel.task_id.in_(tasks), XComModel.key.in_(wanted)
            )
        ).all()
        pushed_keys = {(row.task_id, row.map_index, row.key) for row in values}
        underway = {
            (task, index)
            for task, index, key in pushed_keys
            if key == BATCH_XCOM_KEY and (task, index, RETURN_VALUE) not in pushed_keys
        }
        kept = _journals(session, dag_id, run_id, underway)
    xcoms: dict[tuple[str, int], dict[str, Any]] = {}
    stamps: dict[tuple[str, int], list[str]] = {}
    for row in values:
        who = (row.task_id, row.map_index)
        xcoms.setdefault(who, {})[row.key] = _json(row.value)
        stamps.setdefault(who, []).append(f"{row.key}={row.timestamp.isoformat()}")
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for row in kept:
        who = (row.task_id, row.map_index)
        records.setdefault(who, {})[row.key] = _json(row.value)
        stamps.setdefault(who, []).append(f"{row.key}={row.updated_at.isoformat()}")
    return [
        _instance(row, xcoms.get(who, {}), records.get(who, {}), stamps.get(who, []))
        for row in rows
        for who in [(row.task_id, row.map_index)]
    ]


def _journals(session: Any, dag_id: str, run_id: str, whose: Collection[tuple[str, int]]) -> Sequence[Any]:
    """Read what batches have on record."""
    model = task_state_model()
    if model is None or not whose:
        return []
    tasks = {task_id for task_id, _ in whose}
    query = select(model.task_id, model.map_index, model.key, model.value, model.updated_at).where(
        model.dag_id == dag_id, model.run_id == run_id, model.task_id.in_(tasks), model.key.startswith(DIRECTORY)
    )
    return [row for row in session.execute(query).all() if (row.task_id, row.map_index) in whose]


def open_root(scheme: str, bucket: str, folder: str, conn_id: str | None) -> tuple[Store, str]:
    """
    Open a store to read from, with the connection that the task used.

    API servers look connections up in their own secrets backends and database, without a task's supervisor. Where the
    default AWS connection is not defined, boto3 searches for credentials of its own, as it does on a worker.

    :param scheme: of the object's address.
    :param bucket: of the object's address.
    :param folder: of the object's address, with a slash at its end.
    :param conn_id: Airflow connection that the task told; ``None`` for the store's default.
    :return: the store, and what it is the root of: names in it begin after that.
    """
    from airflow_provider_runflow.stores import DEFAULT_AWS_CONN_ID, S3_SCHEMES, open_store

    if scheme in S3_SCHEMES:
        chosen: str | None = conn_id or DEFAULT_AWS_CONN_ID
        if chosen == DEFAULT_AWS_CONN_ID and not _is_defined(DEFAULT_AWS_CONN_ID):
            chosen = None
        return open_store(f"{scheme}://{bucket}", aws_conn_id=chosen), ""
    # A bucket needs one client, whatever its folders; a disk has no root that could be opened.
    root = folder if scheme == "file" else ""
    return open_store(f"{scheme}://{bucket}/{root}", conn_id=conn_id), root


def _is_defined(conn_id: str) -> bool:
    try:
        Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return False
    return True


_RUN_COLUMNS = (DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.run_after, DagRun.start_date, DagRun.end_date)
_INSTANCE_COLUMNS = (
    TaskInstance.dag_id,
    TaskInstance.run_id,
    TaskInstance.task_id,
    TaskInstance.map_index,
    TaskInstance.state,
    TaskInstance.try_number,
    TaskInstance.operator,
    TaskInstance._rendered_map_index.label("label"),
    TaskInstance.start_date,
    TaskInstance.end_date,
)


def _run(row: Any) -> DagRunFacts:
    state = getattr(row.state, "value", row.state)
    return DagRunFacts(row.dag_id, row.run_id, str(state), row.run_after, row.start_date, row.end_date)


def _instance(row: Any, xcoms: dict[str, Any], kept: dict[str, Any], stamps: list[str]) -> Instance:
    state = getattr(row.state, "value", row.state)
    return Instance(
        dag_id=row.dag_id,
        run_id=row.run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        state=None if state is None else str(state),
        try_number=row.try_number or 0,
        operator=row.operator or "",
        label=row.label,
        started_at=row.start_date,
        ended_at=row.end_date,
        xcoms=xcoms,
        kept=kept,
        stamp="|".join(sorted(stamps)),
    )


def _json(value: Any) -> Any:
    """Return what was pushed: the column holds JSON, as a text or taken apart already; anything else counts as none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
