# SPDX-License-Identifier: Apache-2.0
"""A store that was listed once: what the list tells is not asked for. For looking before the money is spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_runflow.landing.store import NO_TAGS, Stat, Store, same

# More than this is slower to list than to ask for, item by item.
MAX_NAMES = 50_000


class SeenStore:
    """
    Answers "nothing there" by itself for names that a list lacks; everything else goes to the store.

    :param store: the store.
    :param names: what it held a moment ago, with etags. A picture that appears later is found when it would be
        overwritten.
    """

    def __init__(self, store: Store, names: Mapping[str, str | None]) -> None:
        self._store = store
        self._names = names
        self.check = store.check
        self.uri = store.uri
        self.sha256 = store.sha256
        self.get_file = store.get_file

    def stat(self, name: str) -> Stat | None:
        """Return what is stored under ``name``, None when nothing is."""
        return self._store.stat(name) if name in self._names else None

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object; None when there is none."""
        return self._store.read_json(name) if name in self._names else None

    def etag(self, name: str) -> str | None:
        """Return the etag that was listed for ``name``, if there was one."""
        return self._names.get(name)

    def names(self, limit: int) -> dict[str, str | None] | None:
        """Return the names that were seen."""
        return dict(self._names) if len(self._names) <= limit else None

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        content_type: str,
        sha256: str,
        replace: bool,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> str | None:
        """Store a finished file."""
        return self._store.put_file(name, path, content_type=content_type, sha256=sha256, replace=replace, tags=tags)

    def put_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Store a JSON object."""
        self._store.put_json(name, data)

    def read_document(self, name: str, max_bytes: int) -> bytes | None:
        """Return the bytes of an object; None when it is missing or larger."""
        return self._store.read_document(name, max_bytes) if name in self._names else None

    def put_document(self, name: str, raw: bytes, *, content_type: str) -> None:
        """Store bytes that are no picture."""
        self._store.put_document(name, raw, content_type=content_type)


def listed_names(store: Store | None) -> Mapping[str, str | None] | None:
    """Return all names of a store, with etags; None when there are too many, or the store cannot list them."""
    return store.names(MAX_NAMES) if store is not None else None


def unchanged(store: Store, name: str, size_bytes: int, sha256: str, etag: str | None) -> bool:
    """
    Whether exactly these bytes are stored under ``name``.

    :param etag: what the store called them when they were stored: while it lists the same, nothing is read.
    """
    if etag is not None and isinstance(store, SeenStore) and store.etag(name) == etag:
        return True
    return same(store, name, size_bytes, sha256)
