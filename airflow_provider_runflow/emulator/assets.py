# SPDX-License-Identifier: Apache-2.0
"""Files that runs take as references: the three steps of an upload, reading them, and what a reference stands for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid5

from .account import USER, check_scope
from .catalogue import NAMESPACE
from .inputs import Field, Problem, Text, Whole
from .presign import refusal, signed_url
from .runs import stamp
from .state import Call, State
from .wire import ApiError, JsonDict, Response, json_response, storage_error

MAX_BYTES = 52_428_800
# choice: the list is not documented; these are what image models take
TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
UPLOAD_FIELDS: Mapping[str, Field] = {
    "filename": Text(1, 500),
    "mime_type": Text(1, 255),
    "size_bytes": Whole(1, MAX_BYTES),
}
REF = "runflow://assets/"
UPLOAD_SECONDS = 3600.0  # choice: the life of an upload URL is not documented
ASSET_URL_SECONDS = 7 * 24 * 3600.0
DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=]+)")


@dataclass
class Asset:
    """One file, from the first step of its upload on."""

    id: str
    org_id: str
    name: str
    mime_type: str
    created_at: datetime
    body: bytes | None = None
    """None until it is uploaded."""
    stored_type: str | None = None
    confirmed_at: datetime | None = None
    folder_id: str | None = None
    source: str = "upload"  # choice

    @property
    def path(self) -> str:
        """Where the storage keeps it."""
        ending = re.search(r"\.[A-Za-z0-9]{1,8}$", self.name)
        return f"/assets/{self.id}{ending.group() if ending else ''}"


def create_upload(state: State, call: Call) -> Response:
    """Answer `POST /v1/asset-uploads`: step 1."""
    check_scope(call, "assets:create")
    body = _object(call)
    problems = [*_problems(body)]
    if problems:
        raise ApiError.invalid_fields(
            [{"loc": ["body", *where], "msg": msg, "type": kind} for where, msg, kind in problems]
        )
    asset = _new(state, call, body["filename"], body["mime_type"])
    url = signed_url(state, call, asset.path, method="PUT", content_type=asset.mime_type, lifetime=UPLOAD_SECONDS)
    return json_response(201, {"asset_id": asset.id, "upload_url": url})


def store(state: State, call: Call, key: str) -> Response:
    """Answer the PUT to the storage, as S3 would: step 2."""
    refused = refusal(state, call)
    if refused is not None:
        return refused
    request = call.request
    if "content-length" not in request.headers:
        return storage_error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    asset = _by_key(state, key)
    if asset is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.", Key=request.path[1:])
    asset.body, asset.stored_type = request.body, request.headers.get("content-type")
    return Response(200, {"server": "AmazonS3"})


def confirm(state: State, call: Call, asset_id: str) -> Response:
    """Answer `POST /v1/asset-uploads/{id}/confirmations`: step 3. The size and the type are what the storage has."""
    check_scope(call, "assets:create")
    body = _object(call) if call.request.body else {}
    asset = state.assets.get(asset_id)
    if asset is None or asset.org_id != call.org_id:
        raise _unknown()
    if asset.body is None:
        # choice: the reference is silent about a confirmation without an upload
        raise ApiError.invalid(["path", "asset_id"], "Nothing was uploaded for this asset", "value_error")
    if not 1 <= len(asset.body) <= MAX_BYTES:
        raise ApiError.invalid(["path", "asset_id"], f"The file should have 1 to {MAX_BYTES} bytes", "value_error")
    # choice: a second confirmation changes nothing and answers the same
    asset.confirmed_at = asset.confirmed_at or call.now
    asset.folder_id = body.get("folder_id")
    return json_response(201, _record(state, call, asset))


def get_asset(state: State, call: Call, asset_id: str) -> Response:
    """Answer `GET /v1/assets/{id}`."""
    asset = _find(state, call, asset_id)
    if asset is None:
        raise _unknown()
    return json_response(200, _record(state, call, asset))


def types(state: State, call: Call) -> Response:
    """Answer `GET /v1/assets/types`."""
    # choice: the shape is not documented
    return json_response(200, {"items": [{"mime_type": name, "asset_type": "image"} for name in TYPES]})


def serve(state: State, call: Call, key: str) -> Response:
    """Answer a GET to the storage."""
    refused = refusal(state, call)
    if refused is not None:
        return refused
    asset = _by_key(state, key)
    if asset is None or asset.body is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.", Key=call.request.path[1:])
    return Response(200, {"content-type": asset.stored_type or "", "server": "AmazonS3"}, asset.body)


def check_references(state: State, call: Call, given: JsonDict) -> None:
    """Refuse an input that refers to an asset which the caller does not have."""
    problems = [
        # choice: the sentence is that of a proposed contract
        {"loc": ["body", "input", *where], "msg": f"asset not found or expired: {text}", "type": "value_error"}
        for where, text in _strings(given)
        if text.startswith(REF) and _find(state, call, text[len(REF) :]) is None
    ]
    if problems:
        raise ApiError.invalid_fields(problems)


def kept(state: State, call: Call, value: Any) -> Any:
    """Store each inline `data:` URI as an asset, as the backend does, and put its reference in its place."""

    def keep(text: str) -> str:
        found = DATA_URI.fullmatch(text)
        if found is None:
            return text
        try:
            body = base64.b64decode(found.group(2), validate=True)
        except binascii.Error:
            return text
        asset = _new(state, call, "inline", found.group(1))
        asset.body, asset.stored_type, asset.confirmed_at, asset.source = body, asset.mime_type, call.now, "inline"
        return f"{REF}{asset.id}"

    return _mapped(value, keep)


def resolved(state: State, call: Call, value: Any) -> Any:
    """Put a freshly signed URL in the place of each reference, as every read does."""

    def resolve(text: str) -> str:
        asset = _find(state, call, text[len(REF) :]) if text.startswith(REF) else None
        return text if asset is None else signed_url(state, call, asset.path)

    return _mapped(value, resolve) if state.assets else value


def _new(state: State, call: Call, name: str, mime_type: str) -> Asset:
    asset_id = str(uuid5(NAMESPACE, f"asset:{state.config.seed}:{len(state.assets) + 1}"))
    asset = Asset(asset_id, call.org_id, name, mime_type, call.now)
    state.assets[asset_id] = asset
    return asset


def _record(state: State, call: Call, asset: Asset) -> JsonDict:
    created = stamp(asset.created_at)
    return {
        "id": asset.id,
        "org_id": asset.org_id,
        "folder_id": asset.folder_id,
        "name": asset.name,
        "r2_key": asset.path[1:],
        "url": signed_url(state, call, asset.path, lifetime=ASSET_URL_SECONDS),
        "thumbnail_url": None,
        "mime_type": asset.stored_type,
        "size_bytes": len(asset.body or b""),
        "asset_type": "image",
        "source_type": asset.source,
        "source_id": None,
        "created_by": USER,
        "created_at": created,
        "updated_at": created,
        "deleted_at": None,
        "deleted_by": None,
        "created_by_user": {"id": USER},
    }


def _find(state: State, call: Call, asset_id: str) -> Asset | None:
    asset = state.assets.get(asset_id)
    return asset if asset is not None and asset.org_id == call.org_id and asset.confirmed_at else None


def _by_key(state: State, key: str) -> Asset | None:
    asset = state.assets.get(key.partition(".")[0])
    return asset if asset is not None and asset.path == f"/assets/{key}" else None


def _object(call: Call) -> JsonDict:
    body = call.request.json()
    if not isinstance(body, dict):
        raise ApiError.invalid(["body"], "Input should be a valid dictionary", "dict_type")
    return body


def _problems(body: JsonDict) -> Iterator[Problem]:
    for name, field in UPLOAD_FIELDS.items():
        if body.get(name) is None:
            yield (name,), "Field required", "missing"
            continue
        for _, msg, kind in field.problems(body[name]):
            yield (name,), msg, kind
    mime_type = body.get("mime_type")
    if isinstance(mime_type, str) and mime_type and mime_type not in TYPES:
        yield ("mime_type",), f"Unsupported type; supported are {', '.join(TYPES)}", "value_error"


def _strings(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, (*where, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*where, index))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(item, change) for name, item in value.items()}
    return [_mapped(item, change) for item in value] if isinstance(value, list) else value


def _unknown() -> ApiError:
    return ApiError(404, "ASSET_NOT_FOUND", "Asset not found.")  # choice: no code is documented
