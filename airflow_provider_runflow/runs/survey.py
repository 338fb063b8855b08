# SPDX-License-Identifier: Apache-2.0
"""
What is known of an account's list of runs, and what follows from it, without I/O.

There are three ways to learn how runs are doing: list the runs of one ``client_ref``, list the organisation's newest
runs, or GET each. Which is cheapest depends on how many others there are, which nobody tells: it is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client.protocol import MAX_PAGE

# Pages of the organisation's list that one round may read.
PAGE_BUDGET = 60
# Runs for which it is worth finding out, by one page, how busy the organisation is.
WORTH_A_PROBE = 4
# A list that refuses (403, 404, 422) or shows what is no longer true is left alone for so long.
REFUSED_FOR = timedelta(minutes=10)
# How busy the organisation is changes: what was measured longer ago than this is measured again.
FRESH_FOR = timedelta(minutes=2)


@dataclass(frozen=True)
class Target:
    """
    A run that is looked for.

    :param age: seconds from the place that was read last, or from now, back to its creation.
    :param worth: calls that finding it in the list saves.
    """

    age: float
    worth: float = 1.0


class Listing:
    """
    One of the two lists of an account: how it behaves, and when it may be asked.

    :param name: for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._quiet_until: datetime | None = None
        self._failures = 0

    def usable(self, now: datetime) -> bool:
        """Whether it may be asked now."""
        return self._quiet_until is None or now >= self._quiet_until

    def on_answer(self) -> None:
        """Note that it answered."""
        self._failures, self._quiet_until = 0, None

    def on_refusal(self, now: datetime) -> None:
        """Note that it said no, or what is not true."""
        self._quiet_until = now + REFUSED_FOR

    def on_failure(self, now: datetime, interval: float) -> None:
        """Note that it brought nothing usable: it is asked less and less often."""
        self._failures += 1
        pause = timedelta(seconds=interval * 2 ** min(self._failures, 8))
        self._quiet_until = now + min(REFUSED_FOR, pause)


class Survey:
    """What is known of an account's lists."""

    def __init__(self) -> None:
        self.by_ref = Listing("list of a client_ref")
        self.newest = Listing("organisation's list")
        self._pages: dict[str, int] = {}
        self._span: float | None = None
        self._measured: datetime | None = None

    def pages_of(self, client_ref: str, count: int) -> int:
        """Pages that the list of a client_ref takes: as measured, else as its number of runs suggests."""
        return self._pages.get(client_ref) or max(1, math.ceil(count / MAX_PAGE))

    def measured_ref(self, client_ref: str, pages: int) -> None:
        """Remember how many pages it took."""
        self._pages[client_ref] = pages

    def forget_ref(self, client_ref: str) -> None:
        """Nobody waits for its runs any more."""
        self._pages.pop(client_ref, None)

    def measured_page(self, seconds: float, now: datetime) -> None:
        """Remember how much time one page of the organisation's list spans."""
        self._span, self._measured = max(0.001, seconds), now

    def span(self, now: datetime) -> float | None:
        """How much time one page of the organisation's list spans; ``None`` when that is to be measured (again)."""
        stale = self._measured is None or now - self._measured > FRESH_FOR
        return None if stale else self._span


def worth_a_page(targets: Sequence[Target], span: float | None) -> bool:
    """
    Whether the next page of the organisation's list costs less than it saves, be it by way of the pages behind it.

    :param targets: the runs that are still looked for.
    :param span: seconds that one page spans; ``None``: not known, so one page is tried if there is enough to save.
    """
    if span is None:
        return sum(target.worth for target in targets) >= WORTH_A_PROBE
    saved = 0.0
    for target in sorted(targets, key=lambda each: each.age):
        saved += target.worth
        pages = max(1, math.ceil(target.age / span))
        if pages > PAGE_BUDGET:
            return False
        if saved > pages:
            return True
    return False


def born_by_id(run_id: str) -> datetime | None:
    """When a run was created, by its id: Runflow's are UUIDv7. A hint of where to look for it, and nothing more."""
    if len(run_id) != 36 or run_id[14] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(run_id[:8] + run_id[9:13], 16) / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
