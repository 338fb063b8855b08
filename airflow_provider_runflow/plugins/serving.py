# SPDX-License-Identifier: Apache-2.0
"""The bytes of a picture: read from its store, checked, and scaled for the contact sheet."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from airflow_provider_runflow.client.content_type import image_type
from airflow_provider_runflow.landing.sidecar import sidecar_name, without_queries
from airflow_provider_runflow.landing.store import MAX_JSON_BYTES, load_json
from airflow_provider_runflow.plugins.bounded_cache import BoundedCache
from airflow_provider_runflow.plugins.landed import MALFORMED, NotShown, Picture, Stores

# The largest master that any model draws is far below both.
MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 40_000_000
# The longest edge; what a card shows on a screen of double density.
THUMBNAIL_EDGE = 480
THUMBNAILS_BYTES = 64 * 1024 * 1024
# Decoding takes memory, four to twelve bytes a pixel, 16 for WebP: this many pictures at a time.
AT_ONCE = 2
SIDECAR_FIELDS = (
    "schema_version",
    "generator",
    "model",
    "input",
    "prompt",
    "labels",
    "alt_text",
    "runflow_run_id",
    "cost_usd",
    "images_in_run",
    "created_at",
    "airflow",
    "request",
    "digital_source_type",
)


@dataclass(frozen=True)
class Bytes:
    """What is sent to a browser: a raster picture, and its type as its own bytes tell it."""

    body: bytes
    content_type: str


class Pictures:
    """Reads pictures, and keeps thumbnails: each is made once, and all together take no more than 64 MiB."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._thumbnails: BoundedCache[Bytes] = BoundedCache(THUMBNAILS_BYTES, lambda each: len(each.body) + 512)
        self._decoding = threading.BoundedSemaphore(AT_ONCE)

    def full(self, picture: Picture) -> Bytes:
        """
        Return a picture as it was landed.

        :raises NotShown: it is not there, is not what was landed, or is no raster picture.
        """
        body = self._stores.read(picture.uri, picture.conn_id, MAX_BYTES)
        if body is None:
            raise NotShown(404, "The picture is not there any more, or is too large to be shown.")
        if hashlib.sha256(body).hexdigest() != picture.sha256:
            raise NotShown(409, "What lies there now is not what the task landed.")
        content_type = image_type(body[:12])
        if content_type is None:
            raise NotShown(415, "It is no PNG, JPEG, WebP or GIF.")
        return Bytes(body, content_type)

    def thumbnail(self, picture: Picture) -> Bytes:
        """
        Return a small form of a picture; the picture itself without Pillow, or when Pillow cannot read it.

        :raises NotShown: as :meth:`full` does.
        """
        if not can_scale():
            return self.full(picture)
        # The address belongs to the key: a hash alone opens nothing.
        return self._thumbnails.get(
            (picture.uri, picture.conn_id, picture.sha256), lambda: self._scaled(self.full(picture))
        )

    def _scaled(self, original: Bytes) -> Bytes:
        with self._decoding:
            return scale(original)

    def sidecar(self, picture: Picture) -> dict[str, Any] | None:
        """
        Return what the sidecar beside a picture tells; ``None`` when there is none that tells of it.

        :raises NotShown: the store does not answer.
        """
        if picture.derived:
            return None
        raw = self._stores.read(sidecar_name(picture.uri), picture.conn_id, MAX_JSON_BYTES)
        data = load_json(raw) if raw is not None else None
        image = data.get("image") if data is not None else None
        if data is None or not isinstance(image, dict) or image.get("sha256") != picture.sha256:
            return None
        try:
            known: dict[str, Any] = without_queries({name: data[name] for name in SIDECAR_FIELDS if name in data})
            json.dumps(known, allow_nan=False)
        except MALFORMED:
            return None  # it nests without end, or holds what is no JSON
        return known


def can_scale() -> bool:
    """Whether Pillow is there, which the extra ``[ui]`` brings."""
    return find_spec("PIL") is not None


def scale(original: Bytes) -> Bytes:
    """Return a WebP of at most 480 pixels a side; the original when it is small, or cannot be decoded."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(original.body), formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise NotShown(413, "The picture is too large for a thumbnail.")
            if max(image.size) <= THUMBNAIL_EDGE and len(original.body) < 64 * 1024:
                return original
            # JPEG can be decoded at a fraction of its size.
            image.draft("RGB", (THUMBNAIL_EDGE * 2, THUMBNAIL_EDGE * 2))
            see_through = "A" in image.getbands() or "transparency" in image.info
            mode = "RGBA" if see_through else "RGB"
            # Each step on the whole picture takes a copy of it, so it is made small first.
            whole = image if image.mode == mode else image.convert(mode)
            factor = max(1, min(whole.size) // (THUMBNAIL_EDGE * 2), max(whole.size) // 4096)
            small = whole.reduce(factor) if factor > 1 else whole
            small = ImageOps.exif_transpose(small)
            small.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            small.save(out, "WEBP", quality=80, method=2)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return original
    return Bytes(out.getvalue(), "image/webp")
