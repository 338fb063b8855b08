# SPDX-License-Identifier: Apache-2.0
"""Pictures that an edit works from: private files are hashed, and uploaded right before the run is submitted."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from airflow_provider_runflow.exceptions import ConfigurationError, InvalidRequestError, ReferenceUnreadableError
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.checks import is_literal
from airflow_provider_runflow.runs.identity import SHA256_PREFIX, Request, hashes_in
from airflow_provider_runflow.stores.reading import open_file, whereabouts

if TYPE_CHECKING:
    from airflow_provider_runflow.hooks.runflow import RunflowHook

# As the reference states it (13); kept here too, so that parsing a DAG does not load the HTTP client.
MAX_BYTES = 50 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
_PRIVATE = re.compile(r"(?!https?:|runflow:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Stands for a private file where its bytes are not known yet.
UNREAD = f"{SHA256_PREFIX}{'0' * 64}"


def is_private(address: Any) -> bool:
    """Whether an address is one that Runflow cannot read itself: a file in a bucket or on disk."""
    return isinstance(address, str) and _PRIVATE.match(address) is not None


class Files:
    """
    The private files of one task, each read once.

    :param conn_id: Airflow connection of their store; ``None`` for the store's default.
    """

    def __init__(self, conn_id: str | None) -> None:
        self._conn_id = conn_id
        self._folder = Path(tempfile.mkdtemp(prefix="runflow-references-"))
        self._read: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._uploaded: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}

    def close(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def stand_in(self, address: str) -> str:
        """
        Read a file, and return what stands for its bytes: ``sha256:`` and their hash.

        :raises InvalidRequestError: no picture, too large, or a local path that is not allowed.
        :raises ReferenceUnreadableError: the store does not hand it out.
        :raises ConfigurationError: no installed package knows its store; the message has the pip line.
        """
        if address not in self._read:
            sha256 = self._copy(address)
            self._read[address] = f"{SHA256_PREFIX}{sha256}"
            self._names.setdefault(sha256, Path(unquote(urlsplit(address).path)).name)
        return self._read[address]

    def upload(self, hook: RunflowHook, request: Request, known: Mapping[str, str]) -> dict[str, str]:
        """
        Upload what a request needs; the same bytes once. An upload is free.

        :param known: references by sha256, of an earlier try.
        :raises InvalidRequestError: bytes that an earlier try asked for are not there any more.
        :raises ApiError: refused, or not reached.
        """
        assets = {}
        for sha256 in sorted(hashes_in(request.input)):
            with self._locks.setdefault(sha256, threading.Lock()):
                ref = known.get(sha256) or self._uploaded.get(sha256) or self._upload(hook, sha256)
                assets[sha256] = self._uploaded[sha256] = ref
        return assets

    def _upload(self, hook: RunflowHook, sha256: str) -> str:
        if sha256 not in self._names:
            raise InvalidRequestError(
                f"references: the file with sha256 {sha256[:12]}… that an earlier try asked for is not there any more; "
                "it was replaced. Nothing was submitted. Clear the task to use the one of now."
            )
        with (self._folder / sha256).open("rb") as file:
            return hook.upload_asset(file, self._names[sha256]).ref

    def _copy(self, address: str) -> str:
        from airflow_provider_runflow.client.content_type import HEAD_BYTES, image_type

        digest, size, head = hashlib.sha256(), 0, b""
        spool = self._folder / "spool"
        with spool.open("wb") as copy:
            for chunk in self._chunks(address):
                digest.update(chunk)
                size += len(chunk)
                head += chunk[: max(0, HEAD_BYTES - len(head))]
                if size > MAX_BYTES:
                    raise InvalidRequestError(f"references: {address} has more than 50 MiB, which is Runflow's limit.")
                copy.write(chunk)
        if image_type(head) is None:
            raise InvalidRequestError(f"references: {address} is no PNG, JPEG, WebP or GIF file.")
        spool.rename(self._folder / digest.hexdigest())
        return digest.hexdigest()

    def _chunks(self, address: str) -> Iterator[bytes]:
        try:
            with open_file(address, self._conn_id) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (InvalidRequestError, ConfigurationError):
            raise
        except Exception as error:
            raise ReferenceUnreadableError(
                f"references: {address} cannot be read ({type(error).__name__}: {error})."
            ) from error


class ReadsFiles:
    """
    Reads the private files that requests refer to; for operators, which have ``model``, ``hook`` and
    ``references_conn_id``.
    """

    model: str
    hook: RunflowHook
    references_conn_id: str | None

    def stand_ins(self, value: Any, *, rendered: bool) -> Any:
        """
        Let the hash of each private file stand for it, as far as it can be read already.

        :param value: an address, or a list of them.
        :param rendered: the files can be read now.
        :raises InvalidRequestError: an address that is none, or a file that Runflow would not take.
        :raises ReferenceUnreadableError: the store does not hand a file out.
        """
        if value is None:
            return None
        if rendered:
            from airflow_provider_runflow.models.references import without_text

            value = without_text(value)
        if isinstance(value, (list, tuple)):
            return [self._stand_in(item, rendered) for item in value]
        return self._stand_in(value, rendered)

    def _stand_in(self, address: Any, rendered: bool) -> Any:
        if isinstance(address, str) and address.startswith(SHA256_PREFIX):
            raise InvalidRequestError(f"{self.model}: references: {address[:80]!r} is no address of a picture.")
        if not is_private(address):
            return address
        if rendered:
            return self._files.stand_in(address)
        if is_literal(address):
            whereabouts(address)
        return UNREAD

    def upload(self, request: Request, known: Mapping[str, str]) -> Mapping[str, str]:
        """Upload the private files that a request needs."""
        return self._files.upload(self.hook, request, known)

    @property
    def _files(self) -> Files:
        if "_open_files" not in self.__dict__:
            self.__dict__["_open_files"] = Files(self.references_conn_id)
        files: Files = self.__dict__["_open_files"]
        return files

    def _close_files(self) -> None:
        files = self.__dict__.pop("_open_files", None)
        if files is not None:
            files.close()


class ReadsReferences(ReadsFiles):
    """A :class:`ReadsFiles` that removes its copies of the files once the task has ended or deferred."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Find or buy, wait, land; or defer."""
        try:
            result: dict[str, Any] = super().execute(context)  # type: ignore[misc]
            return result
        finally:
            self._close_files()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume as every operator that buys."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]
        finally:
            self._close_files()


REFERENCE_NAMES: Mapping[str, str] = {"references": "image_urls", "mask": "mask_url"}


class TakesReferences(ReadsReferences, RunflowRunOperator):
    """
    Base of the operators that make pictures from pictures.

    :param references: the pictures to work from, at least one: files in a bucket (``s3://``, ``gs://``, any scheme that
        ``ObjectStoragePath`` knows) or under ``[runflow] allowed_local_paths`` (``file://``), https addresses that
        Runflow can read, or ids such as ``runflow://assets/…``. Private files, PNG, JPEG, WebP or GIF of at most
        50 MiB, are uploaded to Runflow and nowhere else. How many there may be is not documented; Runflow decides. A
        file counts by its bytes; an https address whatever its query, since a presigned one is signed anew at each
        try: for another picture behind the same path raise ``variation``. (templated)
    :param mask: a picture that shows where to edit; as in ``references``. (templated)
    :param references_conn_id: Airflow connection of the files' store. Default: the store's own, such as
        ``aws_default``. (templated)
    """

    wire_names: ClassVar[Mapping[str, str]] = REFERENCE_NAMES
    template_fields: Sequence[str] = ("references_conn_id", *RunflowRunOperator.template_fields)

    def __init__(
        self,
        *,
        references: Sequence[str] | str,
        mask: str | None = None,
        references_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.references = references
        self.mask = mask
        self.references_conn_id = references_conn_id

    def value_to_check(self, name: str, *, rendered: bool) -> Any:
        """Let the hash of a private file stand for it, as far as it can be read already."""
        value = super().value_to_check(name, rendered=rendered)
        return self.stand_ins(value, rendered=rendered) if name in self.wire_names else value
