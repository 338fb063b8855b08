# SPDX-License-Identifier: Apache-2.0
"""Time, as everything here takes it: passed in, aware, and replaceable."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and waits."""

    def now(self) -> datetime:
        """Return the aware current time."""

    def sleep(self, seconds: float) -> None:
        """Wait on this thread."""

    async def asleep(self, seconds: float) -> None:
        """Wait without holding the event loop."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the aware current time, in UTC."""
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        """Wait on this thread."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait without holding the event loop."""
        await asyncio.sleep(seconds)
