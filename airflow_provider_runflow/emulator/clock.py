# SPDX-License-Identifier: Apache-2.0
"""Clocks for the skins. The core has none: it is told the time.

A time scale is not a clock: it divides the durations of runs (see `config.time_scale`) and leaves everything
else real, so that a presigned URL of 24 hours does not die within minutes in a fast demo.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

from .wire import ApiError, Response

DEFAULT_START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=timezone.utc)


class Clock(Protocol):
    """What a skin needs of time."""

    def now(self) -> datetime:
        """Give the time, with its zone."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    async def asleep(self, seconds: float) -> None:
        """Let time pass without blocking the event loop."""


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """Give the real time in UTC."""
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        """Block the thread."""
        if seconds > 0:
            time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        if seconds > 0:
            await asyncio.sleep(seconds)


class VirtualClock:
    """Time that moves only when it is told to; sleeping moves it and returns at once."""

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a virtual clock needs a time zone")
        self._now = start.astimezone(timezone.utc)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Give the virtual time in UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        with self._lock:
            self._now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        """Move the time forward."""
        self.advance(max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        """Move the time forward and let other tasks run."""
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


def moved(response: Response, clock: Clock) -> Response:
    """Move a virtual clock as a response asks; a real one cannot be moved."""
    if response.advance_clock is None:
        return response
    if not isinstance(clock, VirtualClock):
        return ApiError(409, "CLOCK_IS_REAL", "Only a virtual clock can be moved.").response()
    clock.advance(response.advance_clock)
    return response
