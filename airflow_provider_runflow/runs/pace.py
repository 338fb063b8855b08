# SPDX-License-Identifier: Apache-2.0
"""
When a waiting run is worth the next look, without I/O.

The rule: a look follows the one before after ``interval`` seconds. Only where the last run cannot have ended by then,
as far as the durations seen so far tell, it may be later: up to the moment when the youngest run can have ended, and up
to :data:`STRETCH` intervals. So what takes as long as other runs did is noticed one interval after its end at the
latest, and what is suddenly faster after :data:`STRETCH` intervals.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

STRETCH = 4.0
# Of so many runs the durations are remembered; of fewer than the second number nothing is concluded.
REMEMBERED = 256
ENOUGH = 20


class Durations:
    """
    How long the latest runs of an account took, as far as looking now and then can tell.

    Of each run the time up to the last look that still saw it going is remembered: it took at least so long. Ages are
    told by comparing Runflow's clock with this machine's, and used in the same way, so a difference between the two
    does not matter.
    """

    def __init__(self) -> None:
        self._least: deque[float] = deque(maxlen=REMEMBERED)
        self._quickest: float | None = None

    def add(self, seconds: float) -> None:
        """Remember a run that took at least so long."""
        self._least.append(seconds)
        self._quickest = None

    @property
    def quickest(self) -> float:
        """What hardly any run undercut; 0 while too little is known."""
        if len(self._least) < ENOUGH:
            return 0.0
        if self._quickest is None:
            self._quickest = sorted(self._least)[len(self._least) // 50]
        return self._quickest

    @property
    def slowest(self) -> float | None:
        """What hardly any run exceeded; ``None`` while too little is known."""
        return max(self._least) if len(self._least) >= ENOUGH else None


def next_look(now: datetime, interval: float, youngest: datetime | None, quickest: float) -> datetime:
    """
    Say when a group is worth the next look.

    :param youngest: when the youngest run that has not ended was created; ``None`` where that is not known.
    :param quickest: see :attr:`Durations.quickest`.
    """
    soon = now + timedelta(seconds=interval)
    if youngest is None or quickest <= 0:
        return soon
    latest = now + timedelta(seconds=interval * STRETCH)
    return max(soon, min(latest, youngest + timedelta(seconds=quickest)))
