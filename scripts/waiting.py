# SPDX-License-Identifier: Apache-2.0
"""Wait for something to become true, with a deadline; never sleep for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


class TookTooLong(RuntimeError):
    """A deadline passed; the message says what was waited for."""


def wait_for(look: Callable[[], Found | None], *, seconds: float, what: str, every: float = 0.2) -> Found:
    """Calls `look` until it gives something true; raises `TookTooLong` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise TookTooLong(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
