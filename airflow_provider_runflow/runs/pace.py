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

STRETCH = 3.0
# Rounds whose runs are remembered; of fewer runs than the second number nothing is concluded.
REMEMBERED = 64
ENOUGH = 20


class Durations:
    """
    How long the latest runs of an account took, as far as looking now and then can tell.

    Of each run the time up to the last look that still saw it going is remembered: it took at least so long. Ages are
    told by comparing Runflow's clock with this machine's, and used in the same way, so a difference between the two
    does not matter. The quickest of all counts: of runs that were submitted one after the other the oldest end first,
    and they alone would promise too much.
    """

    def __init__(self) -> None:
        self._rounds: deque[tuple[datetime, float, float, int]] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float, now: datetime) -> None:
        """Remember a run that took at least so long, and was seen to have ended in the round of this time."""
        least, most, count = seconds, seconds, 1
        if self._rounds and self._rounds[-1][0] == now:
            _, low, high, before = self._rounds.pop()
            least, most, count = min(low, seconds), max(high, seconds), before + 1
        self._rounds.append((now, least, most, count))

    @property
    def _is_enough(self) -> bool:
        return sum(count for *_, count in self._rounds) >= ENOUGH

    @property
    def quickest(self) -> float:
        """What no run undercut; 0 while too little is known."""
        return min(least for _, least, _, _ in self._rounds) if self._is_enough else 0.0

    @property
    def slowest(self) -> float | None:
        """What no run exceeded by more than a round; ``None`` while too little is known."""
        return max(most for _, _, most, _ in self._rounds) if self._is_enough else None


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
