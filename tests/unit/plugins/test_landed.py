# SPDX-License-Identifier: Apache-2.0
"""What becomes of the light table, and of Airflow's own pages, when a store does not answer."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import httpx
import pytest

from airflow_provider_runflow.exceptions import DestinationError
from airflow_provider_runflow.plugins import landed
from airflow_provider_runflow.plugins.app import READERS
from airflow_provider_runflow.plugins.landed import REST_SECONDS, SLOW_SECONDS, NotShown, Stores
from airflow_provider_runflow.stores.object_storage import ObjectStorageStore
from tests.unit.plugins.world import DAG_ID, RUN, World, png, sha256

MASTER = png()


def test_a_store_that_does_not_answer_is_not_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    now = [100.0]

    def refuse(scheme: str, bucket: str, folder: str, conn_id: str | None) -> Any:
        asked.append(bucket)
        now[0] += SLOW_SECONDS
        raise DestinationError("it does not answer")

    monkeypatch.setattr(landed, "open_root", refuse)
    stores = Stores(lambda: now[0])

    def read(bucket: str) -> str:
        with pytest.raises(NotShown) as refused:
            stores.read(f"s3://{bucket}/a.png", None, 100)
        return refused.value.reason

    assert {read("dead") for _ in range(50)} == {"The store does not answer; the API server's log says more."}
    assert asked == ["dead"]
    read("other")
    assert asked == ["dead", "other"]
    now[0] += REST_SECONDS
    read("dead")
    assert asked == ["dead", "other", "dead"]


def test_one_that_refuses_one_object_at_once_still_gives_the_others(world: World) -> None:
    image = world.stored("a.png", MASTER)
    stores, read = Stores(), ObjectStorageStore.read_document

    def refuse(self: ObjectStorageStore, name: str, max_bytes: int) -> bytes | None:
        if name == "denied.png":
            raise DestinationError("403")
        return read(self, name, max_bytes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStorageStore, "read_document", refuse)
        with pytest.raises(NotShown):
            stores.read(image["uri"].replace("a.png", "denied.png"), None, 100)
        assert stores.read(image["uri"], None, 10**6) == MASTER


def test_a_store_that_hangs_holds_only_so_many_threads_of_the_api_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.landed(world.stored("a.png", MASTER))
    hanging, go = threading.Semaphore(0), threading.Event()
    read = Stores.read

    def hang(self: Stores, uri: str, conn_id: str | None, max_bytes: int) -> bytes | None:
        hanging.release()
        go.wait(60)
        return read(self, uri, conn_id, max_bytes)

    monkeypatch.setattr(Stores, "read", hang)
    path, params = f"/dags/{DAG_ID}/pictures/{sha256(MASTER)}", {"run_id": RUN, "task_id": "hero"}
    statuses: list[int] = []

    async def ask() -> None:
        transport = httpx.ASGITransport(world.clients["ada"].app)
        identity = {"Authorization": world.clients["ada"].headers["Authorization"]}
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", headers=identity) as client:

            async def look() -> None:
                statuses.append((await client.get(path, params=params)).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(60):
                    tasks.start_soon(look)
                for _ in range(READERS):
                    while not hanging.acquire(blocking=False):
                        await anyio.sleep(0.01)
                # A plain function, in one of the threads that belong to all of the API server.
                with anyio.fail_after(30):
                    assert (await client.get("/pictures")).status_code == 200
                assert not statuses
                go.set()

    anyio.run(ask)
    assert statuses == [200] * 60
