# SPDX-License-Identifier: Apache-2.0
"""What a picture's first bytes say that it is. File names lie more often."""

from __future__ import annotations

HEAD_BYTES = 12

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_type(head: bytes) -> str | None:
    """
    Tell the content type of a PNG, JPEG, WebP or GIF.

    :param head: its first bytes, at least 12 of them.
    :return: such as ``image/png``; None for anything else.
    """
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((content_type for start, content_type in _STARTS if head.startswith(start)), None)
