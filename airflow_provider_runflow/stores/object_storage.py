# SPDX-License-Identifier: Apache-2.0
"""Any other destination, through ``airflow.sdk.ObjectStoragePath``: local folders, Google, Azure, …"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_runflow.exceptions import ConfigurationError, DestinationError
from airflow_provider_runflow.landing.store import (
    MAX_JSON_BYTES,
    NO_TAGS,
    NameTaken,
    Stat,
    copy_stream,
    dump_json,
    hash_stream,
    load_json,
)
from airflow_provider_runflow.stores import parse_destination

# Stores whose first path part is a bucket: it must exist (we never make one), and folders need no making.
_BUCKETS = frozenset({"gs", "gcs", "abfs", "abfss", "az", "adl", "wasb", "wasbs", "oss", "oci", "r2"})
_PACKAGES = {
    "gs": "apache-airflow-providers-google gcsfs",
    "gcs": "apache-airflow-providers-google gcsfs",
    "abfs": "apache-airflow-providers-microsoft-azure adlfs",
    "abfss": "apache-airflow-providers-microsoft-azure adlfs",
    "adl": "apache-airflow-providers-microsoft-azure adlfs",
}


class ObjectStorageStore:
    """
    A folder or prefix that ``ObjectStoragePath`` knows.

    Local files are written beside their final name and then linked or renamed, so nobody ever sees half a
    picture. Other stores get a finished file in one call; they hold no sha256 that can be trusted, so
    comparing means reading.

    :param destination: ``file:///folder``, ``/folder``, ``gs://bucket/prefix``, ``gs://CONN_ID@bucket/prefix``
        and so on.
    :param conn_id: the Airflow connection; what the destination itself names wins.
    :raises ConfigurationError: no installed package knows the scheme.
    """

    def __init__(self, destination: str, *, conn_id: str | None = None) -> None:
        where = parse_destination(destination)
        self.scheme = where.scheme
        self._uri = where.uri
        self._bucket = where.bucket
        self._conn_id = where.conn_id or conn_id
        self._lock = threading.Lock()
        self._known_fs: Any = None
        self._checked = False
        self._local = self.scheme == "file"
        try:
            from airflow.sdk import ObjectStoragePath

            self._path = ObjectStoragePath(self._uri, conn_id=self._conn_id)
            self._root = str(self._path.path).rstrip("/")
        except (ImportError, ValueError) as error:
            raise self._unknown(error) from error

    @property
    def _fs(self) -> Any:
        with self._lock:
            if self._known_fs is None:
                try:
                    self._known_fs = self._path.fs
                except (ImportError, ValueError) as error:
                    raise self._unknown(error) from error
                except Exception as error:  # whatever the provider's hook raises for its connection
                    raise DestinationError(
                        f"{self._uri}: connection {self._conn_id!r} cannot be used: {type(error).__name__}: {error}"
                    ) from error
            return self._known_fs

    def check(self) -> None:
        """
        Find out whether there is a bucket, or a folder that can be written to; a missing folder is made.

        :raises DestinationError: there is not. Whether a *bucket* can be written to shows only later: there
            is no way to ask that leaves nothing behind.
        """
        if self._checked:
            return
        fs = self._fs
        if self._local:
            with self._naming("make", ""):
                os.makedirs(self._root, exist_ok=True)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise DestinationError(f"{self._uri}: this worker's user may not write to the folder")
        elif self.scheme in _BUCKETS:
            try:
                with self._naming("look up the bucket of", "", FileNotFoundError):
                    fs.info(self._root.split("/")[0])
            except FileNotFoundError as error:
                raise DestinationError(
                    f"{self._uri}: there is no bucket {self._bucket!r}, or the connection may not see it"
                ) from error
        else:
            with self._naming("make", ""):
                fs.makedirs(self._root, exist_ok=True)
        self._checked = True

    def uri(self, name: str) -> str:
        """Return the full address of ``name``."""
        return f"{self._uri}{name}"

    def stat(self, name: str) -> Stat | None:
        """Return the size of an object, None when there is none."""
        try:
            with self._naming("look up", name, FileNotFoundError):
                info = self._fs.info(self._at(name))
        except FileNotFoundError:
            return None
        return Stat(int(info["size"]), None) if info.get("type") != "directory" else None

    def open(self, name: str) -> Any:
        """Open an object to read it; raises what its file system raises, such as ``FileNotFoundError``."""
        return self._fs.open(self._at(name), "rb")

    def sha256(self, name: str) -> str:
        """Return the sha256 of an object by reading it in pieces."""
        with self._reading(name) as stream:
            return hash_stream(stream)

    def get_file(self, name: str, path: Path) -> str:
        """Copy an object into a file, and return its sha256."""
        with self._reading(name) as stream:
            return copy_stream(stream, path)

    def names(self, limit: int) -> dict[str, str | None] | None:
        """Return every name below the prefix, without etags; None when there are more than ``limit``."""
        found: dict[str, str | None] = {}
        try:
            with self._naming("list", "", FileNotFoundError):
                # The listing of now: what another task wrote a moment ago must not hide behind fsspec's cache.
                self._fs.invalidate_cache()
                for folder, _, files in self._fs.walk(self._root):
                    found |= {f"{folder}/{name}"[len(self._root) + 1 :]: None for name in files}
                    if len(found) > limit:
                        return None
        except FileNotFoundError:
            return {}
        return found

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        content_type: str,
        sha256: str,
        replace: bool,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> None:
        """
        Store a finished file. ``tags`` are for S3.

        :raises NameTaken: ``replace`` is False and there is an object.
        :raises DestinationError: the store refuses.
        """
        if not replace:
            self._check_free(name)
        try:
            if self._local:
                with path.open("rb") as source:
                    self._write_local(name, iter(lambda: source.read(1024 * 1024), b""), replace=replace)
            else:
                self._upload(name, path, content_type=content_type, replace=replace)
        except FileExistsError as error:
            self._check_free(name)
            raise DestinationError(f"write {self.uri(name)}: {error}") from error

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object of at most 1 MiB, None when there is none."""
        raw = self.read_document(name, MAX_JSON_BYTES)
        return None if raw is None else load_json(raw)

    def put_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Store a JSON object, replacing what is there."""
        self.put_document(name, dump_json(data), content_type="application/json")

    def read_document(self, name: str, max_bytes: int) -> bytes | None:
        """Return the bytes of an object; None when it is missing or larger."""
        try:
            with (
                self._naming("read", name, FileNotFoundError),
                self.open(name) as stream,
            ):
                raw: bytes = stream.read(max_bytes + 1)
        except FileNotFoundError:
            return None
        return raw if len(raw) <= max_bytes else None

    def put_document(self, name: str, raw: bytes, *, content_type: str) -> None:
        """Store bytes that are no picture, replacing what is there."""
        if self._local:
            self._write_local(name, iter([raw]), replace=True)
            return
        with self._naming("write", name):
            self._make_parent(name)
            typed = {"content_type": content_type} if "content_type" in self._takes("pipe_file") else {}
            self._fs.pipe_file(self._at(name), raw, **typed)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _check_free(self, name: str) -> None:
        existing = self.stat(name)
        if existing is not None:
            raise NameTaken(name, existing)

    def _make_parent(self, name: str) -> None:
        if self.scheme not in _BUCKETS:
            self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)

    def _takes(self, method: str) -> Mapping[str, Any]:
        # Async file systems (gcsfs, adlfs) have the real method under a name of their own.
        real = getattr(self._fs, f"_{method}", getattr(self._fs, method))
        return inspect.signature(real).parameters

    def _upload(self, name: str, path: Path, *, content_type: str, replace: bool) -> None:
        takes = self._takes("put_file")
        arguments: dict[str, Any] = {}
        if "content_type" in takes:  # gcsfs; adlfs guesses from the name
            arguments["content_type"] = content_type
        if "overwrite" in takes:  # adlfs
            arguments["overwrite"] = replace
        elif "mode" in takes:  # fsspec: "create" is atomic where the store can
            arguments["mode"] = "overwrite" if replace else "create"
        with self._naming("write", name, FileExistsError):
            self._make_parent(name)
            self._fs.put_file(str(path), self._at(name), **arguments)

    def _write_local(self, name: str, chunks: Iterator[bytes], *, replace: bool) -> None:
        target = self._at(name)
        folder = os.path.dirname(target)
        # Beside its final name, because only there a rename is atomic; hidden, and of no picture's name.
        part = os.path.join(folder, f".runflow-{uuid.uuid4().hex}.part")
        with self._naming("write", name, FileExistsError):
            os.makedirs(folder, exist_ok=True)
            try:
                with open(part, "xb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                self._publish(part, target, replace=replace)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part)

    @staticmethod
    def _publish(part: str, target: str, *, replace: bool) -> None:
        if not replace:
            try:
                os.link(part, target)  # fails when the name is taken: the one atomic "create" there is
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links; the name was free a moment ago
                pass
            else:
                return
        os.replace(part, target)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[Any]:
        try:
            with self._naming("read", name, FileNotFoundError), self.open(name) as stream:
                yield stream
        except FileNotFoundError as error:
            raise DestinationError(f"read {self.uri(name)}: there is no such object") from error

    @contextlib.contextmanager
    def _naming(self, operation: str, name: str, *answers: type[Exception]) -> Iterator[None]:
        """Turn errors into ours, except those that the caller takes for an answer."""
        try:
            yield
        # Each file system has exceptions of its own, most of them no OSError.
        except Exception as error:
            if isinstance(error, (DestinationError, ConfigurationError, *answers)):
                raise
            raise DestinationError(
                f"{operation} {self.uri(name)}: {type(error).__name__}: {str(error)[:300]}"
            ) from error

    def _unknown(self, error: Exception) -> ConfigurationError:
        package = _PACKAGES.get(self.scheme)
        hint = f"pip install {package}" if package else "install the Airflow provider that brings this scheme"
        return ConfigurationError(f"{self._uri}: no file system for {self.scheme}:// ({error}): {hint}")
