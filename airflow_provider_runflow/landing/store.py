# SPDX-License-Identifier: Apache-2.0
"""What landing needs of an object store. The stores themselves are in ``stores/``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol

MAX_JSON_BYTES = 1024 * 1024
NO_TAGS: Mapping[str, str] = MappingProxyType({})
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Stat:
    """
    What a store knows of an object without reading it.

    :param size_bytes: its length.
    :param sha256: of its bytes, lower-case hex; None when only reading it can tell.
    :param etag: the store's own mark of these bytes; None when it has none.
    """

    size_bytes: int
    sha256: str | None
    etag: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Stored:
    """
    What storing a file came to.

    :param was_there: exactly these bytes had the name already.
    :param etag: the store's own mark of them; None when it has none.
    """

    was_there: bool
    etag: str | None


class NameTaken(Exception):
    """
    There is an object under the name, and it was not to be replaced: an answer that landing acts upon.

    :param name: the name.
    :param existing: what is there.
    """

    def __init__(self, name: str, existing: Stat) -> None:
        super().__init__(name)
        self.name = name
        self.existing = existing


class Store(Protocol):
    """
    A destination: every name is relative to its prefix. Implementations can be shared between threads.

    All methods raise ``DestinationError`` when the store refuses or cannot be reached; the message names the
    bucket, the operation and the store's own error code, and says nothing about money: only the caller knows.
    """

    def check(self) -> None:
        """
        Find out whether pictures can be stored here, leaving nothing behind; asked once, then remembered.

        :raises DestinationError: they cannot; the message says which permissions are needed.
        """

    def uri(self, name: str) -> str:
        """Return the full address of ``name``; of the prefix itself, with a slash at its end, for ``""``."""

    def stat(self, name: str) -> Stat | None:
        """Return what is stored under ``name``, None when nothing is."""

    def sha256(self, name: str) -> str:
        """
        Return the hash of what is stored under ``name``: as recorded when we stored it, else by reading it.

        :raises DestinationError: nothing is there, or it cannot be read.
        """

    def get_file(self, name: str, path: Path) -> str:
        """
        Copy what is stored under ``name`` into a file, and return the sha256 of its bytes.

        :raises DestinationError: nothing is there, or it cannot be read.
        """

    def names(self, limit: int) -> dict[str, str | None] | None:
        """
        Return every name below the prefix, with its etag where the store lists one.

        :return: None when there are more than ``limit``, or listing is not possible.
        """

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
        """
        Store a finished file, whole or not at all.

        :param name: relative to the prefix.
        :param path: the file.
        :param content_type: for example ``image/png``.
        :param sha256: of the file, lower-case hex; kept with the object where the store can.
        :param replace: overwrite what is there.
        :param tags: to find it by, where the store has tags.
        :return: its etag, where the store has such.
        :raises NameTaken: ``replace`` is False and something is there; nothing was written.
        """

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object of at most 1 MiB; None when it is missing, larger, or not a JSON object."""

    def put_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Store a JSON object, replacing what is there."""

    def read_document(self, name: str, max_bytes: int) -> bytes | None:
        """Return the bytes of an object; None when it is missing or larger."""

    def put_document(self, name: str, raw: bytes, *, content_type: str) -> None:
        """Store bytes that are no picture, replacing what is there; never public."""


def is_sha256(value: object) -> bool:
    """Whether ``value`` is the lower-case hex form of a sha256."""
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


def hash_stream(stream: BinaryIO) -> str:
    """Return the sha256 of a stream, holding 1 MiB of it at a time."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def copy_stream(stream: BinaryIO, path: Path) -> str:
    """Write a stream into a file, and return its sha256, holding 1 MiB of it at a time."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def dump_json(data: Mapping[str, Any]) -> bytes:
    """
    Return the bytes that are stored: readable, keys in the order given, text as it is.

    Never fails: what JSON does not know becomes text, because a picture is paid by now. A half surrogate
    pair, which UTF-8 cannot hold, becomes the escape that JSON has for it.
    """
    text = json.dumps(data, ensure_ascii=False, indent=2, default=str)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def load_json(raw: bytes) -> dict[str, Any] | None:
    """Return a JSON object; None when ``raw`` is larger than 1 MiB or something else."""
    if len(raw) > MAX_JSON_BYTES:
        return None
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def same(store: Store, name: str, size_bytes: int, sha256: str) -> bool:
    """Whether exactly these bytes are stored under ``name``."""
    found = store.stat(name)
    return found is not None and matches(store, name, found, size_bytes, sha256)


def matches(store: Store, name: str, found: Stat, size_bytes: int, sha256: str) -> bool:
    """Whether what ``stat`` found under ``name`` is exactly these bytes; reads them only when it must."""
    return found.size_bytes == size_bytes and (found.sha256 or store.sha256(name)) == sha256


def put_once(
    store: Store,
    name: str,
    path: Path,
    *,
    content_type: str,
    size_bytes: int,
    sha256: str,
    replace: bool,
    tags: Mapping[str, str] = NO_TAGS,
) -> Stored:
    """
    Store a finished file under ``name``, unless exactly these bytes are there.

    :raises NameTaken: ``replace`` is False and other bytes are there.
    """
    found = store.stat(name) if replace else None
    if found is not None and matches(store, name, found, size_bytes, sha256):
        return Stored(True, found.etag)
    try:
        etag = store.put_file(name, path, content_type=content_type, sha256=sha256, replace=replace, tags=tags)
    except NameTaken as taken:
        if matches(store, name, taken.existing, size_bytes, sha256):
            return Stored(True, taken.existing.etag)
        raise
    return Stored(False, etag)
