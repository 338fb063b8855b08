# SPDX-License-Identifier: Apache-2.0
"""How fast a task submits: at most so many requests a minute, and not at all while Runflow asks for a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from airflow_provider_runflow.client.clock import Clock

# Whoever waits looks up so often: a pause may have come meanwhile, or an end.
LOOK_UP_EVERY = timedelta(seconds=1)


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

    def wait(self, ended: Callable[[], bool] = lambda: False) -> None:
        """
        Wait for one's turn.

        :param ended: whether nobody is to submit any more: then nobody waits, either.
        """
        while not ended():
            with self._lock:
                now = self._clock.now()
                left = self._next - now
                if left <= timedelta(0):
                    self._next = now + self._gap
                    return
            self._clock.sleep(min(left, LOOK_UP_EVERY).total_seconds())

    def pause(self, seconds: float) -> None:
        """Let nobody submit for so many seconds."""
        with self._lock:
            self._next = max(self._next, self._clock.now() + timedelta(seconds=seconds))
