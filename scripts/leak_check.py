# SPDX-License-Identifier: Apache-2.0
"""Promise 5, looked up: does a secret stand in a file that a run left behind?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

#: Part of every presigned URL of S3, and of the emulator's.
PRESIGNED = "X-Amz-Signature"


def find_leaks(places: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """Reads every file under `places` (databases too, byte by byte); names file and secret, never its value."""
    needles = {name: value.encode() for name, value in secrets.items() if value}
    leaks = []
    for path in _files(places):
        content = path.read_bytes()
        leaks += [f"{name} stands in {path}" for name, needle in needles.items() if needle in content]
    return leaks


def count_files(places: Iterable[Path]) -> int:
    return sum(1 for _ in _files(places))


def _files(places: Iterable[Path]) -> Iterable[Path]:
    for place in places:
        if place.is_file():
            yield place
        else:
            yield from sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
