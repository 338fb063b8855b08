# SPDX-License-Identifier: Apache-2.0
"""Stores of other clouds in memory, as Airflow sees them where their providers are installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem


class BucketFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Like Google's: a bucket must exist, and files have a content type."""

    protocol = "gs"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = []
    types: dict[str, str] = {}

    def put_file(self, lpath: str, rpath: str, content_type: str = "?", mode: str = "overwrite", **_: Any) -> None:
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(rpath)
        self.types[rpath] = content_type
        self.pipe_file(rpath, Path(lpath).read_bytes())


class AzureLikeFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Like Azure's: it refuses to overwrite unless it is told to."""

    protocol = "az"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]

    def put_file(self, lpath: str, rpath: str, overwrite: bool = False, **_: Any) -> None:
        if not overwrite and self.exists(rpath):
            raise FileExistsError(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())


@contextmanager
def buckets(conn_id: str | None = None) -> Iterator[None]:
    """
    Let Airflow know gs:// and az://, with a bucket `brand`, without their providers.

    :param conn_id: the connection that they are behind; ``None`` for the store's default.
    """
    from airflow.sdk.io import store as io_store

    known = dict(io_store._STORE_CACHE)
    io_store._STORE_CACHE.clear()
    BucketFileSystem.types.clear()
    for fs in (BucketFileSystem(), AzureLikeFileSystem()):
        fs.store.clear()
        fs.pseudo_dirs[:] = ["", "/brand"]
        io_store.attach(protocol=fs.protocol, conn_id=conn_id, fs=fs)
    try:
        yield
    finally:
        io_store._STORE_CACHE.clear()
        io_store._STORE_CACHE.update(known)
