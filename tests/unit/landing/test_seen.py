# SPDX-License-Identifier: Apache-2.0
"""A destination that was listed once answers for what was in the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.landing.found import still_there
from airflow_provider_runflow.landing.seen import SeenStore, listed_names, unchanged
from airflow_provider_runflow.landing.store import put_once
from tests.unit.landing.fakes import MemoryStore, sha


@pytest.fixture
def bucket(tmp_path: Path) -> MemoryStore:
    """A bucket with etags that holds one picture, put there as landing does."""
    store = MemoryStore(knows_etags=True)
    put(store, tmp_path, b"picture")
    return store


def put(store: MemoryStore, folder: Path, data: bytes, *, replace: bool = True) -> Any:
    path = folder / "spooled"
    path.write_bytes(data)
    facts: dict[str, Any] = {"content_type": "image/png", "size_bytes": len(data), "sha256": sha(data)}
    return put_once(store, "a.png", path, replace=replace, **facts)


def seen(store: MemoryStore) -> SeenStore:
    names = listed_names(store)
    assert names is not None
    return SeenStore(store, names)


def told(store: MemoryStore, etag: str | None) -> list[dict[str, Any]]:
    data = b"picture"
    image = {"uri": store.uri("a.png"), "size_bytes": len(data), "sha256": sha(data)}
    return [image if etag is None else {**image, "etag": etag}]


def test_storing_tells_the_etag_that_the_list_will_show(bucket: MemoryStore, tmp_path: Path) -> None:
    stored = put(bucket, tmp_path, b"other bytes")
    assert not stored.was_there
    assert listed_names(bucket) == {"a.png": stored.etag}


@pytest.mark.parametrize("replace", [True, False])
def test_the_same_bytes_again_have_the_etag_that_they_have(bucket: MemoryStore, tmp_path: Path, replace: bool) -> None:
    stored = put(bucket, tmp_path, b"picture", replace=replace)
    assert stored.was_there
    assert stored.etag == bucket.etag("a.png") is not None


def test_a_picture_with_the_etag_of_the_list_is_not_asked_for(bucket: MemoryStore) -> None:
    store = seen(bucket)
    bucket.calls.clear()
    assert still_there(told(bucket, bucket.etag("a.png")), store)
    assert bucket.calls == []


def test_a_picture_that_was_replaced_by_one_of_its_length_is_not_there(bucket: MemoryStore) -> None:
    before = bucket.etag("a.png")
    bucket.objects["a.png"] = b"PICTURE"
    assert not still_there(told(bucket, before), seen(bucket))


@pytest.mark.parametrize("etag", [None, "of another store"])
def test_without_the_etag_of_the_list_the_store_is_asked(bucket: MemoryStore, etag: str | None) -> None:
    store = seen(bucket)
    bucket.calls.clear()
    assert still_there(told(bucket, etag), store)
    assert ("stat", "a.png") in bucket.calls


def test_a_store_without_etags_is_asked(tmp_path: Path) -> None:
    store = MemoryStore()
    assert put(store, tmp_path, b"picture").etag is None
    assert unchanged(seen(store), "a.png", 7, sha(b"picture"), None)
    assert not unchanged(seen(store), "a.png", 7, sha(b"other.."), None)


def test_a_picture_that_the_list_lacks_is_not_there(bucket: MemoryStore) -> None:
    store = SeenStore(bucket, {})
    assert not still_there(told(bucket, bucket.etag("a.png")), store)
