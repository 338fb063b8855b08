# SPDX-License-Identifier: Apache-2.0
"""
What is known of an account's list of runs, and what follows from it, without I/O.

There are three ways to learn how runs are doing: list the runs of one ``client_ref``, list the organisation's newest
runs, or GET each. Which is cheapest depends on how many others there are, which nobody tells: it is measured.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from airflow_provider_runflow.client.protocol import MAX_PAGE

# Pages of the organisation's list that one round may read.
PAGE_BUDGET = 60
# Runs for which it is worth finding out, by one page, how busy the organisation is.
WORTH_A_PROBE = 4
# Where two ways cost about the same, the one by the list of a client_ref, or by ids, is taken: it is more certain.
CLEARLY = 1.2
# A list that refuses (403, 404, 422) or shows what is no longer true is left alone for so long.
REFUSED_FOR = timedelta(minutes=10)
# How busy the organisation is changes: what was measured longer ago than this is measured again.
FRESH_FOR = timedelta(minutes=2)


@dataclass(frozen=True)
class Target:
    """
    A run that is looked for in the organisation's list.

    :param pages: how many more pages it takes to find it, about; ``None``: nobody knows.
    :param worth: calls that finding it there saves.
    """

    pages: int | None
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
        # Of the organisation's list: when the last run of each page was created (negative, so that it ascends), and on
        # which page a run was found.
        self._edges: list[float] = []
        self._found: dict[str, int] = {}
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

    def on_sweep(self, wanted: Collection[str], now: datetime) -> None:
        """Before the organisation's list is read: forget what is old, and runs that nobody looks for."""
        if self._measured is None or now - self._measured > FRESH_FOR:
            self._edges, self._found = [], {}
        self._found = {run_id: page for run_id, page in self._found.items() if run_id in wanted}

    def on_page(self, number: int, edge: datetime | None, found: Iterable[str], now: datetime) -> None:
        """Remember a page of the organisation's list; ``edge``: when its last run was created, ``None``: at the end."""
        self._measured = now
        self._found.update(dict.fromkeys(found, number))
        self._edges[number - 1 : number] = [-edge.timestamp() if edge else math.inf]
        if edge is None:
            del self._edges[number:]

    def page_of(self, run_id: str, born: datetime) -> int | None:
        """On which page of the organisation's list a run stands, about; ``None`` when nothing is known of the list."""
        if run_id in self._found:
            return self._found[run_id]
        if not self._edges:
            return None
        place = -born.timestamp()
        newer = bisect_left(self._edges, place)
        if newer < len(self._edges):
            return newer + 1
        # Further back than anybody has read: as if there were as many runs in each hour as on the way there.
        now = -(self._measured or born).timestamp()
        span = max(0.001, (self._edges[-1] - now) / len(self._edges))
        return newer + max(1, math.ceil((place - self._edges[-1]) / span))


def worth_a_page(targets: Iterable[Target]) -> bool:
    """
    Whether the next page of the organisation's list costs less than it saves, be it by way of the pages behind it.

    Where nobody knows how busy the organisation is, one page is tried if there is enough to save.
    """
    saved = unknown = 0.0
    strangers = 0
    for target in sorted(targets, key=lambda each: each.pages or 0):
        if target.pages is None:
            unknown += target.worth
            strangers += 1
            continue
        saved += target.worth
        if target.pages > PAGE_BUDGET:
            break
        if saved > target.pages * CLEARLY:
            return True
    return unknown - CLEARLY * (strangers // MAX_PAGE) >= WORTH_A_PROBE


def born_by_id(run_id: str) -> datetime | None:
    """When a run was created, by its id: Runflow's are UUIDv7. A hint of where to look for it, and nothing more."""
    if len(run_id) != 36 or run_id[14] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(run_id[:8] + run_id[9:13], 16) / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
