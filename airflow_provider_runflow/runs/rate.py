# SPDX-License-Identifier: Apache-2.0
"""How fast a task submits: at most so many requests a minute, and not at all while Runflow asks for a pause."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from airflow_provider_runflow.client.clock import Clock


class SubmissionRate:
    """
    Spaces the submissions of all threads of a task.

    :param per_minute: requests a minute; ``None`` for as fast as they come.
    :param clock: tells the time and waits.
    """

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._gap = timedelta(minutes=1 / per_minute) if per_minute else timedelta(0)
        self._clock = clock
        self._next: datetime = clock.now()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock.now()
            turn = max(self._next, now)
            self._next = turn + self._gap
        if turn > now:
            self._clock.sleep((turn - now).total_seconds())

    def pause(self, seconds: float) -> None:
        """Let nobody submit for so many seconds."""
        with self._lock:
            self._next = max(self._next, self._clock.now() + timedelta(seconds=seconds))
