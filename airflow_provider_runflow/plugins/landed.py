# SPDX-License-Identifier: Apache-2.0
"""
What a task instance landed, as its own records say: the only pictures that the light table serves for it.

The rule. A picture is asked for by its sha256, never by an address. Its address is taken from the result that the task
instance pushed, from a row of the manifest that this result names, or from the journal of a batch that goes on, and
then

- a manifest must have the name of its task instance (:func:`~airflow_provider_runflow.landing.manifest.name_of_run`):
  whoever may write XComs of one DAG cannot have the manifest of another shown;
- a row's picture must lie below its manifest's own folder, and a record's below the destination that the task told:
  they cannot lend its task's connection elsewhere;
- the address must have the form of an object in a store, without a query, user, ``.`` or ``..``;
- the bytes that are read must have the recorded sha256. Whoever plants an address in a manifest would have to know the
  hash of the very bytes that they want to see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.exceptions import InvalidRequestError, RunflowError
from airflow_provider_runflow.landing.manifest import ManifestRow, name_of_run, parse_lines
from airflow_provider_runflow.landing.store import Store, is_sha256
from airflow_provider_runflow.links import BATCH_XCOM_KEY, RUN_XCOM_KEY
from airflow_provider_runflow.plugins.airflow_access import RETURN_VALUE, Instance, open_root
from airflow_provider_runflow.plugins.bounded_cache import BoundedCache
from airflow_provider_runflow.stores import S3_SCHEMES, parse_destination

SCHEMES = S3_SCHEMES | {"gs", "gcs", "abfs", "abfss", "adl", "file"}
# As they lie in the store, about 20,000 items; taken apart they weigh several times as much. One that takes more by
# itself is not shown: it would be read again for each of its pictures.
MANIFESTS_BYTES = 32 * 1024 * 1024
STORES = 32
SILENT = "The store does not answer; the API server's log says more."
REST_SECONDS = 10.0
SLOW_SECONDS = 2.0
#: What code meets in JSON that anybody may have written in another form.
MALFORMED = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError)


class NotShown(Exception):
    """
    Something cannot be shown.

    :param status: HTTP status.
    :param reason: for people; tells nothing that they might not know.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """
    One landed picture, or a derivative of one.

    :param uri: its address.
    :param sha256: of its bytes.
    :param conn_id: Airflow connection that the task stored it with, if it told.
    :param derived: it is a derivative, which has no sidecar.
    """

    uri: str
    sha256: str
    conn_id: str | None
    derived: bool = False


@dataclass(frozen=True)
class Row:
    """
    A row of a manifest.

    :param row: as this package reads it.
    :param images: its pictures as they are written there, derivatives and all.
    """

    row: ManifestRow
    images: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Manifest:
    """
    What a batch landed.

    :param trouble: why it cannot be read; ``None`` when it could.
    :param underway: the batch has not written it yet; this is what it has on record so far.
    """

    rows: Sequence[Row] = field(default_factory=tuple)
    size: int = 0
    trouble: str | None = None
    underway: bool = False


class Stores:
    """
    Opened stores and read manifests, shared by all requests of a process.

    :param now: seconds on a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._silent: dict[tuple[Any, ...], float] = {}
        self._lock = threading.Lock()
        self._stores: BoundedCache[tuple[Store, str]] = BoundedCache(STORES)
        self._manifests: BoundedCache[Manifest] = BoundedCache(MANIFESTS_BYTES, lambda manifest: manifest.size + 1024)

    def read(self, uri: str, conn_id: str | None, max_bytes: int) -> bytes | None:
        """
        Read an object whole; ``None`` when it is missing or larger.

        :raises NotShown: its address has no legal form, or its store does not answer.
        """
        scheme, bucket, folder, name = take_apart(uri)
        key = (scheme, bucket, folder if scheme == "file" else "", conn_id)
        began = self._now()
        if began < self._silent.get(key, float("-inf")):
            raise NotShown(502, SILENT)
        try:
            store, root = self._stores.get(key, lambda: open_root(scheme, bucket, folder, conn_id))
            return store.read_document(f"{folder}{name}"[len(root) :], max_bytes)
        except RunflowError as error:
            # Its connection may have been mended meanwhile: a later request reads it anew.
            self._stores.drop(key)
            if self._now() - began >= SLOW_SECONDS:
                self._rest(key)
            # The message names the connection and what it may do: for the server's log, not for every viewer.
            raise NotShown(502, SILENT) from error

    def _rest(self, key: tuple[Any, ...]) -> None:
        """
        Ask a store that let us wait for nothing for a while: a page of thumbnails would wait one after another.

        One that refuses at once is asked on: it may refuse this object alone.
        """
        with self._lock:
            now = self._now()
            self._silent = {known: until for known, until in self._silent.items() if now < until}
            self._silent[key] = now + REST_SECONDS

    def manifest(self, instance: Instance) -> Manifest | None:
        """Return what a batch's manifest says, or is going to say; ``None`` when there is neither."""
        uri = result_of(instance).get("manifest_uri")
        if not isinstance(uri, str):
            return self._underway(instance)
        conn_id = conn_id_of(instance)
        try:
            # Its stamp changes with the result: what a retry wrote is read anew.
            name = name_of_run(vars(instance))
            # The name belongs to the key: what was read for its own task is not given to another that names it.
            key = (uri, name, conn_id, instance.stamp)
            return self._manifests.get(key, lambda: self._read_manifest(uri, name, conn_id))
        except NotShown as error:
            # What a task pushed may have any form, and strip_queries() knows only URLs.
            told = strip_queries(uri.partition("?")[0])
            return Manifest(trouble=f"The manifest {told} cannot be read. {error.reason}")

    def _underway(self, instance: Instance) -> Manifest | None:
        from airflow_provider_runflow.plugins.underway import manifest_underway

        if not instance.kept:
            return None
        # Its stamp changes with each record.
        who = (instance.dag_id, instance.run_id, instance.task_id, instance.map_index, instance.stamp)
        return self._manifests.get(who, lambda: manifest_underway(instance) or Manifest(underway=True))

    def _read_manifest(self, uri: str, name: str, conn_id: str | None) -> Manifest:
        if uri.rpartition("/")[2] != name:
            raise NotShown(422, "It is not the manifest of this task instance.")
        raw = self.read(uri, conn_id, MANIFESTS_BYTES)
        if raw is None:
            raise NotShown(404, "It is not there, or takes more than 32 MiB.")
        return Manifest(tuple(_rows(raw, uri)), len(raw))


def take_apart(uri: str) -> tuple[str, str, str, str]:
    """
    Take the address of an object apart: scheme, bucket, folder with a slash at its end, name.

    :raises NotShown: it has no legal form, or its scheme is not one of :data:`SCHEMES`.
    """
    folder, _, name = uri.rpartition("/")
    try:
        where = parse_destination(folder)
    except InvalidRequestError as error:
        raise NotShown(422, "Its address has no legal form.") from error
    hidden = name in ("", ".", "..") or not name.isprintable() or any(sign in name for sign in "?#\\")
    if hidden or where.scheme not in SCHEMES or where.conn_id is not None:
        raise NotShown(422, "Its address has no legal form.")
    return where.scheme, where.bucket, where.prefix, name


def result_of(instance: Instance) -> Mapping[str, Any]:
    """Return what a task instance returned, or pushed although it failed; empty when it did not."""
    result = instance.xcoms.get(RETURN_VALUE)
    return result if isinstance(result, Mapping) else {}


def facts_of(instance: Instance) -> Mapping[str, Any]:
    """Return what a task instance shows while it waits."""
    for key in (RUN_XCOM_KEY, BATCH_XCOM_KEY):
        facts = instance.xcoms.get(key)
        if isinstance(facts, Mapping):
            return facts
    return {}


def conn_id_of(instance: Instance) -> str | None:
    """Return the connection that a task instance stores pictures with; ``None`` when it did not tell."""
    conn_id = facts_of(instance).get("conn_id")
    return conn_id if isinstance(conn_id, str) and conn_id else None


def images_of(instance: Instance) -> Iterator[Mapping[str, Any]]:
    """Iterate over the pictures that a single run's result lists."""
    images = result_of(instance).get("images")
    yield from (image for image in images if isinstance(image, Mapping)) if isinstance(images, list) else ()


def find_picture(stores: Stores, instance: Instance, sha256: str) -> Picture:
    """
    Find a picture that a task instance landed.

    :param sha256: of its bytes.
    :raises NotShown: the task's own records name no such picture.
    """
    conn_id = conn_id_of(instance)
    manifest = stores.manifest(instance)
    named: Iterable[Mapping[str, Any]] = images_of(instance)
    if manifest is not None:
        named = (image for row in manifest.rows for image in row.images)
    for image in named if is_sha256(sha256) else ():
        for each, derived in ((image, False), *((one, True) for one in derivatives_of(image))):
            if each.get("sha256") == sha256 and isinstance(each.get("uri"), str):
                return Picture(each["uri"], sha256, conn_id, derived)
    raise NotShown(404, "This task landed no such picture.")


def picture_at(stores: Stores, instance: Instance, key: str | None, index: int) -> Picture:
    """
    Find a picture by its place in what a task instance landed.

    :param key: of the item, where the task is a batch.
    :param index: which picture of the run, from 0.
    :raises NotShown: there is none.
    """
    manifest = stores.manifest(instance)
    named: Iterable[Mapping[str, Any]] = images_of(instance)
    if manifest is not None:
        named = (image for row in manifest.rows if key in (None, row.row.key) for image in row.images)
    for image in named:
        if image.get("index") == index and isinstance(image.get("uri"), str) and is_sha256(image.get("sha256")):
            return Picture(image["uri"], image["sha256"], conn_id_of(instance))
    raise NotShown(404, "This task landed no such picture.")


def derivatives_of(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the derivatives that stand beside a picture."""
    derivatives = image.get("derivatives")
    return [each for each in derivatives if isinstance(each, Mapping)] if isinstance(derivatives, list) else []


def _rows(raw: bytes, uri: str) -> Iterator[Row]:
    folder = uri.rpartition("/")[0] + "/"
    try:
        for row, data in parse_lines(raw.decode("utf-8", "replace")):
            yield Row(row, tuple(below(folder, image) for image in data.get("images") or ()))
    except ValueError as error:
        raise NotShown(422, "It is no manifest of this package.") from error


def below(folder: str, image: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the address from a picture, or from its derivatives, that is not below the manifest's folder."""

    def kept(each: Mapping[str, Any]) -> Mapping[str, Any]:
        uri = each.get("uri")
        inside = isinstance(uri, str) and uri.startswith(folder) and _is_plain(uri[len(folder) :])
        return each if inside else {**each, "uri": None, "elsewhere": True}

    derived = [kept(each) for each in derivatives_of(image)]
    return {**kept(image), "derivatives": derived} if derived else kept(image)


def _is_plain(path: str) -> bool:
    return bool(path) and not any(segment in ("", ".", "..") for segment in path.split("/"))
