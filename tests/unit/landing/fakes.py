# SPDX-License-Identifier: Apache-2.0
"""Hand-made pictures, a store in memory, a storage host and a log, for the tests of landing."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_runflow.client.storage import StorageClient
from airflow_provider_runflow.exceptions import DestinationError
from airflow_provider_runflow.landing.job import Job
from airflow_provider_runflow.landing.store import NO_TAGS, NameTaken, Stat, dump_json, load_json

RUN = "019e2f6a-1111-7222-8333-444455556666"
HOST = "https://bucket.storage.example"
SECRET = "X-Amz-Signature=5ec4e7"
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=timezone.utc)

# 16 x 8 pixels each, written by Pillow.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI//////////////////////////////////////"
    "//////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////////////////////////"
    "wAARCAAIABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAP/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAA"
    "AAAAAAAAAgT/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCQAKH/2Q=="
)
PROGRESSIVE_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI//////////////////////////////////////"
    "//////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////////////////////////"
    "wgARCAAIABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAVAQEBAAAAAAAAAAAAAAAAAAACA//aAAwDAQACEAMQAAAB"
    "gGn/xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAEFAj//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/AX//xAAUEQEAAAAA"
    "AAAAAAAAAAAAAAAA/9oACAECAQE/AX//xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAY/Aj//xAAUEAEAAAAAAAAAAAAAAAAAAAAQ"
    "/9oACAEBAAE/IT//2gAMAwEAAgADAAAAEPv/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/EH//xAAUEQEAAAAAAAAAAAAAAAAA"
    "AAAA/9oACAECAQE/EH//xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAE/ED//2Q=="
)
WEBP = base64.b64decode("UklGRh4AAABXRUJQVlA4TBEAAAAvD8ABAAdQjyLXo/+BiOh/AAA=")
WEBP_LOSSY = base64.b64decode("UklGRjIAAABXRUJQVlA4ICYAAABwAQCdASoQAAgAB0CWJaACdAFAAAD+5AFjCaSdH8zfhR8nUAAAAA==")
WEBP_EXTENDED = (
    b"RIFF"
    + (len(WEBP) + 10).to_bytes(4, "little")
    + b"WEBPVP8X"
    + bytes.fromhex("0a000000 08000000 0f0000 070000")
    + WEBP[12:]
)
GIF = base64.b64decode("R0lGODdhEAAIAIEAAMgeHgAAAAAAAAAAACwAAAAAEAAIAAAIFQABCBxIsKDBgwgTKlzIsKHDhwgDAgA7")


def png(seed: int = 0, width: int = 16, height: int = 8, padding: int = 0) -> bytes:
    """A PNG of one colour; another seed gives other bytes, padding makes it that much longer."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([seed % 256]) * width) * height)
    note = chunk(b"tEXt", b"seed\0" + str(seed).encode() + b"." * padding)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + note + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def url(index: int = 0, signature: str = SECRET) -> str:
    return f"{HOST}/outputs/{index}.png?{signature}"


class Lines:
    """A log that remembers its lines."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []

    def info(self, msg: Any, /, *args: Any) -> None:
        self.infos.append(msg % args)

    def warning(self, msg: Any, /, *args: Any) -> None:
        self.warnings.append(msg % args)


class Sleeps(list[float]):
    """A sleep that only remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Stream(httpx.SyncByteStream):
    """A body that is still to be read, as a network's is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self.data


class Host:
    """A storage host: gives its answers in order, per path, and the last one for ever."""

    def __init__(self, answers: Mapping[str, list[Any]] | None = None) -> None:
        self.answers = {path: list(given) for path, given in (answers or {}).items()}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        waiting = self.answers[request.url.path]
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            answer = httpx.Response(200, content=answer)
        assert isinstance(answer, httpx.Response)
        # A fresh one each time: a response can be read only once.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Stream(answer.content))

    def client(self, *, allow_http: bool = False) -> StorageClient:
        return StorageClient(None, allow_http=allow_http, transport=httpx.MockTransport(self))


def host_with(*pictures: Any) -> Host:
    """A host with one picture (or list of answers) for each index."""
    return Host(
        {f"/outputs/{index}.png": given if isinstance(given, list) else [given] for index, given in enumerate(pictures)}
    )


class MemoryStore:
    """
    A store in memory that remembers what was asked of it.

    :param knows_hashes: whether ``stat`` tells the sha256, as S3 does, or only reading does.
    :param knows_etags: whether it marks what it stores, as S3 does.
    """

    def __init__(self, root: str = "mem://bucket/", *, knows_hashes: bool = True, knows_etags: bool = False) -> None:
        self.root = root
        self.knows_hashes = knows_hashes
        self.knows_etags = knows_etags
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuse: dict[str, Exception] = {}

    def _note(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        for key in (operation, f"{operation} {name}"):
            if key in self.refuse:
                raise self.refuse[key]

    def check(self) -> None:
        self._note("check", "")

    def uri(self, name: str) -> str:
        return self.root + name

    def stat(self, name: str) -> Stat | None:
        self._note("stat", name)
        data = self.objects.get(name)
        return None if data is None else Stat(len(data), sha(data) if self.knows_hashes else None, self.etag(name))

    def sha256(self, name: str) -> str:
        self._note("sha256", name)
        if name not in self.objects:
            raise DestinationError(f"no {name}")
        return sha(self.objects[name])

    def get_file(self, name: str, path: Path) -> str:
        self._note("get_file", name)
        if name not in self.objects:
            raise DestinationError(f"no {name}")
        path.write_bytes(self.objects[name])
        return sha(self.objects[name])

    def names(self, limit: int) -> dict[str, str | None] | None:
        self._note("names", "")
        return {name: self.etag(name) for name in self.objects} if len(self.objects) <= limit else None

    def etag(self, name: str) -> str | None:
        return sha(self.objects[name])[:8] if self.knows_etags else None

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
        self._note("put_file", name)
        if name in self.objects and not replace:
            data = self.objects[name]
            raise NameTaken(name, Stat(len(data), sha(data) if self.knows_hashes else None, self.etag(name)))
        self.objects[name] = path.read_bytes()
        assert sha(self.objects[name]) == sha256
        self.types[name] = content_type
        self.tags[name] = dict(tags)
        return self.etag(name)

    def read_json(self, name: str) -> dict[str, Any] | None:
        self._note("read_json", name)
        return load_json(self.objects[name]) if name in self.objects else None

    def put_json(self, name: str, data: Mapping[str, Any]) -> None:
        self._note("put_json", name)
        self.objects[name] = dump_json(data)

    def read_document(self, name: str, max_bytes: int) -> bytes | None:
        self._note("read_document", name)
        raw = self.objects.get(name)
        return None if raw is None or len(raw) > max_bytes else raw

    def put_document(self, name: str, raw: bytes, *, content_type: str) -> None:
        self._note("put_document", name)
        self.objects[name] = raw
        self.types[name] = content_type

    def pictures(self) -> Iterator[str]:
        return (name for name in sorted(self.objects) if not name.endswith(".json"))


def job(**changes: Any) -> Job:
    """A request of one 16 x 8 PNG, with the default pattern."""
    given: dict[str, Any] = {
        "model": "openai/gpt-image-2",
        "input": {"prompt": "a red shoe", "image_size": {"width": 16, "height": 8}},
        "prompt": "a red shoe",
        "variation": None,
        "labels": {},
        "alt_text": None,
        "client_ref": "shop.hero.run1-abc",
        "item_key": "",
        "fingerprint": "f" * 64,
        "fingerprint_version": 1,
        "ordinal": 0,
        "request": "3f2a9c0d1e4b",
        "num_images": 1,
        "ext": "png",
        "filename_pattern": "{task_id}-{key}-{request}-{index}.{ext}",
        "replace": False,
        "airflow": {"dag_id": "shop", "task_id": "hero", "run_id": "manual__1", "map_index": -1},
        "task_id": "hero",
        "map_index": -1,
    }
    return Job(**{**given, **changes})
