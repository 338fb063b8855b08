# SPDX-License-Identifier: Apache-2.0
"""A database with DAG runs whose tasks landed pictures on disk, and the light table over it, asked by several users."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_runflow.landing.manifest import name_of_run
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.stores.task_state_log import TaskStateLog
from tests.harness import HAS_TASK_STATE_STORE, register

RUN = "manual__2026-03-02T06:00:00+00:00"
DAG_ID = "campaign"
SECRET_DAG = "secret_campaign"
USERS = {"ada": "admin", "bob": "viewer", "eve": "viewer"}
START = dt.datetime(2026, 3, 2, 6, tzinfo=dt.timezone.utc)


def png(width: int = 640, height: int = 480, colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").point(lambda v: v).save(out, "PNG")
    return out.getvalue() + bytes(colour)  # bytes behind the end make each colour's file another one


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass
class World:
    """What there is, and who asks."""

    bucket: Path
    clients: dict[str, Any]
    app: Any
    runs: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
        monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.e2e.light_table.doorkeeper.Doorkeeper")
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        users = ",".join(f"{name}:{role}" for name, role in USERS.items())
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", users)
        monkeypatch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET", "a secret that is long enough for every algorithm there is, 64 bytes"
        )
        from airflow.api_fastapi.app import create_auth_manager
        from fastapi.testclient import TestClient

        from airflow_provider_runflow.plugins.app import make_app
        from airflow_provider_runflow.plugins.headers import SecureHeaders

        manager, app = create_auth_manager(), make_app()
        bucket = folder / "bucket"
        bucket.mkdir()
        secured = SecureHeaders(app)  # as the plugin does
        clients = {name: TestClient(secured, headers=_identity(manager, name, role)) for name, role in USERS.items()}
        world = cls(bucket, {**clients, "nobody": TestClient(secured)}, app)
        world.clean()
        try:
            yield world
        finally:
            world.clean()

    def clean(self) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            for model in (*_state_models(), XComModel, TaskInstance, DagRun):
                session.execute(delete(model))

    # ------------------------------------------------------------------ what the tasks did

    def dag_run(self, dag_id: str = DAG_ID, run_id: str = RUN, state: str = "success", day: int = 2) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        with DAG(dag_id, schedule=None, start_date=START) as dag:
            GptImage2Operator(task_id="hero", prompt="A sign", destination="file:///tmp/nowhere")
        register(dag)
        with create_session() as session:
            run = DagRun(
                dag_id=dag_id,
                run_id=run_id,
                run_after=START.replace(day=day),
                start_date=START.replace(day=day),
                run_type=DagRunType.MANUAL,
                state=state,
                triggered_by=DagRunTriggeredByType.TEST,
            )
            session.add(run)
            session.flush()
            self.runs[dag_id, run_id] = run.id

    def instance(
        self,
        task_id: str = "hero",
        state: str | None = "success",
        *,
        dag_id: str = DAG_ID,
        run_id: str = RUN,
        map_index: int = -1,
        operator: str = "GptImage2Operator",
        kept: Mapping[str, Any] | None = None,
        **xcoms: Any,
    ) -> None:
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import insert

        if (dag_id, run_id) not in self.runs:
            self.dag_run(dag_id, run_id)
        who = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        with create_session() as session:
            row = {
                **who,
                "id": _new_id(TaskInstance),
                "state": state,
                "operator": operator,
                "pool": "default_pool",
                "pool_slots": 1,
                "try_number": 1,
                "span_status": "not_started",
                "start_date": START,
                "end_date": START + dt.timedelta(seconds=30) if state in ("success", "failed") else None,
            }
            known = {column.name for column in TaskInstance.__table__.columns}
            row = {name: value for name, value in row.items() if name in known}
            session.execute(insert(TaskInstance.__table__).values(**row))
            for key, value in (kept or {}).items():
                from airflow.models.task_state_store import TaskStateStoreModel

                mark = {"dag_run_id": self.runs[dag_id, run_id], "updated_at": START}
                session.add(TaskStateStoreModel(key=key, value=json.dumps(value), **mark, **who))
            for key, value in xcoms.items():
                session.add(
                    XComModel(
                        dag_run_id=self.runs[dag_id, run_id], key=key, value=json.dumps(value), timestamp=START, **who
                    )
                )

    def stored(self, name: str, raw: bytes) -> dict[str, Any]:
        """Puts a picture into the bucket, and gives what a result tells of it."""
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return {
            "index": 0,
            "uri": f"file://{path}",
            "content_type": "image/png",
            "width": 640,
            "height": 480,
            "size_bytes": len(raw),
            "sha256": sha256(raw),
        }

    def landed(self, *images: Mapping[str, Any], task_id: str = "hero", **more: Any) -> None:
        """A task instance whose run landed pictures."""
        self.instance(task_id, runflow_run=FACTS, return_value=result(images), **more)

    @staticmethod
    def manifest_name(task_id: str = "catalogue") -> str:
        return name_of_run({"dag_id": DAG_ID, "run_id": RUN, "task_id": task_id})

    def batch(self, folder: str, rows: Sequence[Mapping[str, Any]], task_id: str = "catalogue", **more: Any) -> None:
        """A batch whose manifest has these rows."""
        path = self.bucket / folder / self.manifest_name(task_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        told = {"schema_version": 1, "status": "partial", "manifest_uri": f"file://{path}", "cost_usd": "0.018"}
        self.instance(
            task_id, operator="GptImage2BatchOperator", runflow_batch={"items": len(rows)}, return_value=told, **more
        )

    # ------------------------------------------------------------------ asking

    def get(self, path: str, *, who: str = "ada", **params: Any) -> Any:
        return self.clients[who].get(path, params=params or None, follow_redirects=False)

    def cards(self, **params: Any) -> list[dict[str, Any]]:
        answer = self.get(f"/api/dags/{DAG_ID}/pictures", run_id=RUN, **params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["cards"]
        return found

    def picture(
        self, digest: str, *, who: str = "ada", dag_id: str = DAG_ID, task_id: str = "hero", **params: Any
    ) -> Any:
        return self.get(f"/dags/{dag_id}/pictures/{digest}", who=who, run_id=RUN, task_id=task_id, **params)


FACTS = {
    "run_id": "0192-run",
    "model": "openai/gpt-image-2",
    "client_ref": "af.campaign",
    "prompt": "A brass sign",
    "quality": "low",
}


def result(images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run_id": "0192-run",
        "model": "openai/gpt-image-2",
        "status": "succeeded",
        "cost_usd": "0.009",
        "duration_ms": 12000,
        "client_ref": "af.campaign",
        "images": list(images),
    }


def row(key: str, *images: Mapping[str, Any], outcome: str = "succeeded", **more: Any) -> dict[str, Any]:
    told = {
        "prompt": f"{key} on linen",
        "labels": {"locale": "en"},
        "model": "openai/gpt-image-2",
        "input": {"quality": "low"},
    }
    return {
        "schema_version": 1,
        "key": key,
        "outcome": outcome,
        "cost_usd": "0.009",
        "images": list(images),
        **told,
        **more,
    }


class Kept(dict[str, Any]):
    """A task state store in memory, as a batch's journal writes it."""

    def set(self, key: str, value: Any, retention: Any = None) -> None:
        self[key] = value


def journal(*records: Record) -> Kept:
    """What a batch has on record."""
    kept = Kept()
    log = TaskStateLog(kept)
    for record in records:
        log.write(record.item_key, record)
    return kept


def record(key: str, state: Any, *images: Mapping[str, Any], **more: Any) -> Record:
    """One item of it."""
    return Record(
        state=state,
        account="https://api.runflow.io#",
        client_ref="af.campaign",
        item_key=key,
        fingerprint=sha256(key.encode()),
        ordinal=0,
        go=0,
        model="openai/gpt-image-2",
        input={"prompt": f"{key} on linen", "quality": "low"},
        variation=None,
        at=START,
        run_id=None if state == "intent" else f"run-of-{key}",
        result={"cost_usd": "0.009", "images": list(images)} if images else None,
        labels={"locale": "en"},
        **more,
    )


def _state_models() -> list[Any]:
    if not HAS_TASK_STATE_STORE:
        return []
    from airflow.models.task_state_store import TaskStateStoreModel

    return [TaskStateStoreModel]


def _identity(manager: Any, name: str, role: str) -> dict[str, str]:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = manager.generate_jwt(SimpleAuthManagerUser(username=name, role=role.upper()))
    return {"Authorization": f"Bearer {token}"}


def _new_id(model: Any) -> Any:
    from uuid6 import uuid7

    # A text in Airflow 3.1.
    return str(uuid7()) if model.__table__.c.id.type.python_type is str else uuid7()
