# SPDX-License-Identifier: Apache-2.0
"""
Uploading files that runs take as references (API reference, 13).

Three steps: ask for a presigned URL, PUT the bytes there, confirm. The storage host is not Runflow: it gets no key,
and whoever has its URL's query may write, so no log and no error shows more than host and path.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.content_type import HEAD_BYTES, image_type
from airflow_provider_runflow.client.protocol import Call
from airflow_provider_runflow.client.redact import host_of, redact_url
from airflow_provider_runflow.client.retry import Effect, Failure
from airflow_provider_runflow.client.session import Session
from airflow_provider_runflow.client.storage import CHUNK_BYTES, PutAnswer, StorageClient, UnsafeUrlError
from airflow_provider_runflow.client.wire import Count, Moment, Text
from airflow_provider_runflow.exceptions import (
    ApiError,
    ConflictError,
    InvalidRequestError,
    RateLimitedError,
    RequestRejectedError,
    ServiceUnavailableError,
    TransportError,
)

MAX_BYTES = 50 * 1024 * 1024
MAX_FILENAME = 500
MAX_MIME_TYPE = 255
REF_PREFIX = "runflow://assets/"

_MIME = re.compile(r"[A-Za-z0-9][\w.+-]*/[\w.+-]+", re.ASCII)
# S3 answers 400 with this code when a body came too slowly; it is the one 400 that another try may mend.
_TOO_SLOW = "RequestTimeout"
NOTHING_UPLOADED = "Nothing was uploaded."


class Asset(BaseModel):
    """A file that Runflow keeps."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(validation_alias=AliasChoices("id", "asset_id"), min_length=1)
    name: Text = None
    mime_type: Text = None
    size_bytes: Count = None
    asset_type: Text = None
    # Signed anew at every read; a secret while it lives.
    url: Text = Field(default=None, repr=False)
    created_at: Moment = None

    @property
    def ref(self) -> str:
        """The reference that a model's input takes, ``runflow://assets/{id}``; it does not expire as ``url`` does."""
        return f"{REF_PREFIX}{self.id}"


class UploadTicket(BaseModel):
    """Where to PUT the bytes of an asset to be."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    asset_id: str = Field(min_length=1)
    upload_url: str = Field(min_length=1, repr=False)


class Assets:
    """
    Upload and read assets; free of charge.

    :param session: sends the calls, and owns the retry policy that the upload follows too.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def upload(self, file: BinaryIO, filename: str, *, mime_type: str | None = None) -> Asset:
        """
        Upload a file, 64 KiB in memory at a time.

        :param file: binary and seekable; read from where it stands to its end, once for each try.
        :param filename: 1-500 characters; folders in it are cut off.
        :param mime_type: sent as it is; by default what the bytes of a PNG, JPEG, WebP or GIF say, else the filename.
        :return: the asset; its :attr:`Asset.ref` goes into a model's input.
        :raises InvalidRequestError: an empty file, one of more than 50 MiB, no telling its type, or it changed while it
            was read.
        :raises RequestRejectedError: Runflow or the storage host refused it.
        :raises ApiError: after at most five tries of a step.
        """
        source = _Source.of(file, filename, mime_type)
        account = self._session.account
        with StorageClient(
            protocol.ssl_context(), allow_http=account.allows_http, transport=self._session.transport
        ) as storage:
            ticket = self._ticket(source)
            try:
                self._put(storage, ticket, source)
            except RequestRejectedError as refused:
                if refused.status != 403:
                    raise
                # The presigned URL has expired: the reference says to start again (13, step 2).
                ticket = self._ticket(source)
                self._put(storage, ticket, source)
        return self._confirm(ticket.asset_id)

    def get(self, asset_id: str) -> Asset:
        """
        Read an asset (``GET /v1/assets/{id}``); its URL is signed anew.

        :raises NotFoundError: no such asset for this account.
        """
        return self._session.call(Call("GET", f"/v1/assets/{_segment(asset_id)}", Asset))

    def _ticket(self, source: _Source) -> UploadTicket:
        body = {"filename": source.filename, "mime_type": source.mime_type, "size_bytes": source.size}
        return self._session.call(Call("POST", "/v1/asset-uploads", UploadTicket, body=body))

    def _put(self, storage: StorageClient, ticket: UploadTicket, source: _Source) -> None:
        url = ticket.upload_url

        def send() -> PutAnswer | Failure:
            try:
                answer = storage.put(url, source.chunks(), size=source.size, content_type=source.mime_type)
            except UnsafeUrlError:
                raise
            except TransportError as error:
                return Failure(error, Effect.UNKNOWN)
            return answer if 200 <= answer.status < 300 else Failure(_refusal(answer, url), Effect.UNKNOWN)

        self._session.retried(send)

    def _confirm(self, asset_id: str) -> Asset:
        path = f"/v1/asset-uploads/{_segment(asset_id)}/confirmations"
        try:
            return self._session.call(Call("POST", path, Asset, body={}))
        except ConflictError:
            # An earlier try, whose answer was lost, has confirmed it. "Refetch" is what the reference says to a 409.
            return self.get(asset_id)


@dataclass(frozen=True)
class _Source:
    file: BinaryIO
    filename: str
    mime_type: str
    start: int
    size: int

    @classmethod
    def of(cls, file: BinaryIO, filename: str, mime_type: str | None) -> _Source:
        name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip()
        if not 1 <= len(name) <= MAX_FILENAME:
            raise InvalidRequestError(
                f"filename: {len(name)} characters; it must have 1-{MAX_FILENAME}. {NOTHING_UPLOADED}"
            )
        if not file.seekable():
            raise InvalidRequestError(
                f"{name}: the file cannot be read twice, which another try needs; spool it first. {NOTHING_UPLOADED}"
            )
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        if not 1 <= size <= MAX_BYTES:
            raise InvalidRequestError(
                f"{name}: {size:,} bytes; Runflow takes uploads of 1 to {MAX_BYTES:,} bytes (50 MiB). Make it smaller, "
                f"or host it yourself and pass its https URL. {NOTHING_UPLOADED}"
            )
        file.seek(start)
        return cls(file, name, _mime_type(name, file.read(HEAD_BYTES), mime_type), start, size)

    def chunks(self) -> Iterator[bytes]:
        """Read it from the start; raise rather than send less or more than was declared."""
        self.file.seek(self.start)
        left = self.size
        while left > 0 and (chunk := self.file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
        if left or self.file.read(1):
            raise InvalidRequestError(
                f"{self.filename}: it had {self.size:,} bytes at first and has another size now. Do not write to it "
                f"while it is uploaded. {NOTHING_UPLOADED}"
            )


def _mime_type(name: str, head: bytes, given: str | None) -> str:
    found = given or image_type(head) or mimetypes.guess_type(name)[0]
    if found is None:
        raise InvalidRequestError(f"{name}: neither its bytes nor its name tell what it is; give mime_type.")
    if len(found) > MAX_MIME_TYPE or not _MIME.fullmatch(found):
        raise InvalidRequestError(
            f"mime_type={found!r}: must be a type such as 'image/png', of at most {MAX_MIME_TYPE} characters."
        )
    return found


def _segment(asset_id: str) -> str:
    return protocol.segment("asset_id", asset_id, "must be the id that the upload returned")


def _refusal(answer: PutAnswer, url: str) -> ApiError:
    kind: type[ApiError] = RequestRejectedError
    if answer.status == 429:
        kind = RateLimitedError
    elif answer.status >= 500 or answer.code == _TOO_SLOW:
        kind = ServiceUnavailableError
    message = f"the storage host {host_of(url)} refused the upload"
    return kind(message, status=answer.status, code=answer.code, request=f"PUT {redact_url(url)}")
