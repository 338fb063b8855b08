# SPDX-License-Identifier: Apache-2.0
"""`[core] fernet_key` is rotated while a connection is in use and a task waits in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.models import crypto
from airflow.models.connection import Connection
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from cryptography.fernet import Fernet

from airflow_provider_runflow.emulator import EmulatorServer
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from airflow_provider_runflow.triggers.run_completion import RunCompletionTrigger
from tests.harness import in_dag, register

pytestmark = pytest.mark.integration

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
CONNECTION = "runflow_in_the_database"


def forget() -> None:
    """Have Airflow read its keys anew."""
    if hasattr(crypto.get_fernet, "cache_clear"):
        crypto.get_fernet.cache_clear()
    else:  # Airflow 3.1
        crypto._fernet = None


@pytest.fixture
def use_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets `[core] fernet_key`, as a restart with another environment does."""

    def use(keys: str) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", keys)
        forget()

    yield use
    forget()


@pytest.fixture
def connection(airflow_db: None, emulator_server: EmulatorServer, use_keys: Callable[[str], None]) -> Iterator[str]:
    """A connection in the metadata database, its key and its extra encrypted with the old key."""
    use_keys(OLD)
    facts = json.loads(emulator_server.connection_json("rf_live_rotated"))
    with create_session() as session:
        session.add(Connection(conn_id=CONNECTION, **{**facts, "extra": json.dumps(facts.get("extra") or {})}))
    yield CONNECTION
    with create_session() as session:
        session.query(Connection).filter_by(conn_id=CONNECTION).delete()


def rotate(model: type, **which: object) -> str:
    """What `airflow rotate-fernet-key` does to a row; gives what then stands there."""
    with create_session() as session:
        row = session.query(model).filter_by(**which).one()
        row.rotate_fernet_key()
        return str(row._password if isinstance(row, Connection) else row.encrypted_kwargs)


def test_a_task_finds_its_connection_before_and_after_its_key_is_rotated(
    connection: str, emulator_server: EmulatorServer, use_keys: Callable[[str], None], tmp_path: Path
) -> None:
    emulator_server.emulator.configure(time_scale=50)
    for turn, keys in enumerate((OLD, f"{NEW},{OLD}", NEW)):
        if keys == NEW:
            assert Fernet(NEW).decrypt(rotate(Connection, conn_id=connection)) == b"rf_live_rotated"
        use_keys(keys)
        with in_dag(f"rotated_{turn}") as dag:
            GptImage2Operator(
                task_id="hero",
                prompt=f"a cat, {turn}",
                quality="low",
                destination=str(tmp_path),
                runflow_conn_id=connection,
                poll_interval=0.2,
            )
        assert register(dag).test().state == "success"
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_a_waiting_trigger_is_read_back_after_its_key_is_rotated(
    airflow_db: None, use_keys: Callable[[str], None]
) -> None:
    use_keys(OLD)
    trigger = RunCompletionTrigger(
        "0195f9c2-0000-7000-8000-000000000001", runflow_conn_id="runflow_default", poll_interval=5, deadline=2e9
    )
    with create_session() as session:
        row = Trigger.from_object(trigger)
        session.add(row)
        session.flush()
        number = row.id
    use_keys(f"{NEW},{OLD}")
    assert "0195f9c2" not in rotate(Trigger, id=number)
    use_keys(NEW)
    with create_session() as session:
        row = session.query(Trigger).filter_by(id=number).one()
        again = RunCompletionTrigger(**row.kwargs)
        session.delete(row)
    assert again.serialize() == trigger.serialize()
