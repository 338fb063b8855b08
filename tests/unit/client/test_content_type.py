# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of a file say that it is."""

from __future__ import annotations

import pytest

from airflow_provider_runflow.client.content_type import HEAD_BYTES, image_type


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe1........", "image/jpeg"),
        (b"RIFF....WEBP", "image/webp"),
        (b"GIF87a......", "image/gif"),
        (b"GIF89a......", "image/gif"),
        (b"RIFF....WAVE", None),
        (b"%PDF-1.7....", None),
        (b"\x89PNG", None),
        (b"", None),
    ],
)
def test_the_four_kinds_of_pictures_are_told_and_nothing_else_is(head: bytes, told: str | None) -> None:
    assert len(head) <= HEAD_BYTES
    assert image_type(head) == told
