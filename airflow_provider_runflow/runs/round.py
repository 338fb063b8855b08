# SPDX-License-Identifier: Apache-2.0
"""One round of looking: the fewest calls that tell how the runs that are due are doing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.protocol import MAX_PAGE, client_ref_filter
from airflow_provider_runflow.client.wire import TERMINAL, Row, Rows
from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
)
from airflow_provider_runflow.runs.pace import Durations
from airflow_provider_runflow.runs.roster import Roster
from airflow_provider_runflow.runs.survey import PAGE_BUDGET, Listing, Survey, Target, worth_a_page
from airflow_provider_runflow.runs.waiter import Waiter

# More at once make httpx's one connection pool slow, and bring nothing.
AT_ONCE = 20
# So many reads that fail in a row are no accident of theirs: the rest of the round is left out.
FAILURES_IN_A_ROW = 5
# A list that shows a run as active for so long is checked against the run itself, so often at most.
SUSPECT_AFTER = timedelta(minutes=2)
CHECK_EVERY = timedelta(minutes=2)
# A list that never says that it has ended, ends here.
LONGEST_LIST = 400

FIELDS = ("id", "status_code", "created_at")
FIELDS_BY_REF = (*FIELDS, "client_ref")

Job = TypeVar("Job")


class Reader(Protocol):
    """What a watcher needs of the client: one try each."""

    async def read_row(self, run_id: str) -> Row:
        """Read the status of a run."""

    async def list_rows(
        self, *, q: str | None = None, fields: Sequence[str], sort_by: str, limit: int, cursor: str | None = None
    ) -> Rows:
        """Read one page of a list."""

    async def aclose(self) -> None:
        """Close the connections."""


class AccountTrouble(Exception):
    """Trouble that concerns every run of the account; the rest of the round makes no sense."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class Memory:
    """What a watcher knows from one round to the next."""

    survey: Survey = field(default_factory=Survey)
    durations: Durations = field(default_factory=Durations)
    checked: datetime | None = None


class Round:
    """
    One round.

    :param reader: the client.
    :param roster: who waits.
    :param memory: what is known from the rounds before.
    :param now: the time of the round.
    :param interval: the smallest interval that anybody asked for, in seconds.
    :param gets: runs that may be read by their ids.
    :param log: the watcher's own log.
    """

    def __init__(
        self, reader: Reader, roster: Roster, memory: Memory, *, now: datetime, interval: float, gets: int, log: Log
    ) -> None:
        self._reader = reader
        self._roster = roster
        self._memory = memory
        self._survey = memory.survey
        self.now = now
        self._interval = interval
        self._budget = gets
        self._log = log
        self._seen: set[str] = set()
        self._seen_of_lists: set[str] = set()
        self._passed: set[str] = set()
        self._suspect: tuple[datetime, str] | None = None
        self._in_a_row = 0
        self.lists = 0
        self.gets = 0
        self.checks = 0
        #: Reads that went wrong for one wait alone.
        self.failed: dict[Waiter, ApiError] = {}
        self.refused: dict[Waiter, ApiError] = {}

    async def run(self, due: Collection[Waiter]) -> None:
        """
        Look at the runs of these.

        :raises AccountTrouble: something that concerns all of them; what was read until then counts.
        """
        self._must = {str(waiter.group.client_ref) for waiter in due if waiter.needs_list}
        self._askers: dict[str, set[Waiter]] = {}
        for waiter in due:
            for run_id in () if waiter.needs_list else waiter.unread(self.now):
                self._askers.setdefault(run_id, set()).add(waiter)
        refs = self._worth_listing()
        await asyncio.sleep(0)
        await self._sweep(refs)
        left = [ref for ref, run_ids in refs.items() if len(run_ids - self._seen) > self._pages(ref)]
        await _each([*self._must, *left], self._list_ref)
        await self._get_the_rest()
        await self._ask_for_more(due)
        await self._check_a_suspect()

    async def _ask_for_more(self, due: Collection[Waiter]) -> None:
        """Where the last known run has just ended, ask at once whether the list knows of more, not a round later."""
        ended = [waiter for waiter in due if waiter.needs_list and not waiter.has_whole_list]
        more = {str(waiter.group.client_ref) for waiter in ended} - self._must
        self._must |= more
        await _each(more, self._list_ref)

    @property
    def size(self) -> int:
        """How many runs there are to look at, as far as is known."""
        return len(self._askers.keys() | self._seen_of_lists)

    def complete(self, waiter: Waiter) -> bool:
        """Whether all that a wait wants to know was read in this round, or will come by itself."""
        return (waiter.has_whole_list or not waiter.needs_list) and waiter.was_read(self.now)

    # ------------------------------------------------------------------ by client_ref

    def _pages(self, ref: str) -> int:
        counts = (waiter.group.count for waiter in self._roster.by_ref.get(ref, ()))
        return self._survey.pages_of(ref, max(counts, default=1))

    def _worth_listing(self) -> dict[str, set[str]]:
        """Tell which client_refs are cheaper to list than to GET, and the runs that are then found."""
        found: dict[str, set[str]] = {}
        if self._survey.by_ref.usable(self.now):
            for run_id, askers in self._askers.items():
                for ref in {waiter.group.client_ref for waiter in askers} - {None} - self._must:
                    found.setdefault(str(ref), set()).add(run_id)
        return {ref: run_ids for ref, run_ids in found.items() if len(run_ids) > self._pages(ref)}

    async def _list_ref(self, ref: str) -> None:
        """Read the list of a client_ref: to its end where it says which runs there are, else until they are found."""
        waiters = list(self._roster.by_ref.get(ref, ()))
        ends = [waiter.oldest_of_list() for waiter in waiters]
        oldest = min((end for end in ends if end), default=None) if all(ends) else None
        wanted = {run_id for run_id, askers in self._askers.items() if not askers.isdisjoint(waiters)}
        cursor: str | None = None
        cursors = set[str]()
        for pages in range(1, LONGEST_LIST + 1):
            try:
                page = await self._page(self._survey.by_ref, client_ref_filter(ref), FIELDS_BY_REF, cursor)
            except ApiError as error:
                self._on_list_error(ref, error)
                return
            wanted -= self._take_in(ref, page, waiters)
            self._survey.measured_ref(ref, pages)
            if not wanted and not any(waiter.group.is_counted for waiter in waiters):
                return
            last = page.items[-1].created_at if page.items else None
            if not page.next or page.next in cursors or (oldest and last and last < oldest):
                break
            cursors.add(page.next)
            cursor = page.next
        else:
            return
        self._passed |= wanted
        for waiter in waiters:
            waiter.on_whole_list()

    def _take_in(self, ref: str, page: Rows, waiters: Collection[Waiter]) -> set[str]:
        # A server that ignores the filter must not hand out another scope's runs.
        rows = [row for row in page.items if row.client_ref in (None, ref)]
        for row in rows:
            self._suspect_oldest(row, self._deliver(row, waiters))
        found = {row.id for row in rows}
        if ref in self._must:
            self._seen_of_lists |= found
        return found

    def _on_list_error(self, ref: str, error: ApiError) -> None:
        """Those who have no ids depend on the list; the others are looked for by GET."""
        for waiter in self._roster.by_ref.get(ref, ()):
            if not waiter.needs_list:
                continue
            if isinstance(error, PermissionDeniedError):
                self.refused[waiter] = error
            elif isinstance(error, (NotFoundError, RequestRejectedError)):
                waiter.on_no_list(error, self.now)
            else:
                self.failed[waiter] = error

    # ------------------------------------------------------------------ the organisation's newest

    async def _sweep(self, refs: dict[str, set[str]]) -> None:
        """Read the organisation's list from its newest run on, as long as that is cheaper than what else there is."""
        survey = self._survey
        # A list of several pages that is all the group's own cannot be beaten; those of small groups can share pages.
        large = {run_id for ref, run_ids in refs.items() if self._pages(ref) > 1 for run_id in run_ids}
        worth = {run_id: 1 / len(run_ids) for ref, run_ids in refs.items() for run_id in run_ids}
        # Where each run stands in the list, about.
        births = {
            run_id: next(iter(askers)).born(run_id) or self.now
            for run_id, askers in self._askers.items()
            if run_id not in large
        }
        survey.on_sweep(births.keys(), self.now)
        cursor: str | None = None
        for number in range(1, PAGE_BUDGET + 1):
            targets = (self._target(run_id, born, worth, number) for run_id, born in births.items())
            if not survey.newest.usable(self.now) or not worth_a_page(targets):
                return
            try:
                page = await self._page(survey.newest, None, FIELDS, cursor)
            except ApiError:
                return
            for row in page.items:
                self._suspect_oldest(row, self._deliver(row, ()))
            found = [row.id for row in page.items if births.pop(row.id, None)]
            last = page.items[-1].created_at if page.items else None
            is_last = last is None or not page.next or page.next == cursor
            survey.on_page(number, None if is_last else last, found, self.now)
            passed = {run_id for run_id, born in births.items() if is_last or (last and born > last)}
            self._passed |= passed
            births = {run_id: born for run_id, born in births.items() if run_id not in passed}
            if is_last:
                return
            cursor = page.next

    def _target(self, run_id: str, born: datetime, worth: dict[str, float], number: int) -> Target:
        page = self._survey.page_of(run_id, born)
        return Target(None if page is None else max(1, page - number + 1), worth.get(run_id, 1.0))

    # ------------------------------------------------------------------ one by one

    async def _get_the_rest(self) -> None:
        """GET what no list has shown: what was not read for longest first, and no more than the budget allows."""
        rest = [run_id for run_id in self._askers if run_id not in self._seen and not self._may_come(run_id)]
        if len(rest) > self._budget:
            rest.sort(key=lambda run_id: min(waiter.read_at(run_id) for waiter in self._askers[run_id]))
        await _each(rest[: self._budget], self._get)

    def _may_come(self, run_id: str) -> bool:
        """Whether a list that should have shown a run may do so next time."""
        askers = self._askers[run_id]
        return run_id in self._passed and all(waiter.on_unlisted(run_id, self.now) for waiter in askers)

    async def _get(self, run_id: str) -> None:
        self.gets += 1
        askers = self._askers[run_id]
        try:
            row = await self._reader.read_row(run_id)
        except (AuthenticationError, RateLimitedError) as error:
            raise AccountTrouble(error) from error
        except NotFoundError as error:
            for waiter in askers:
                waiter.on_unknown_run(run_id, error, self.now)
        except PermissionDeniedError as error:
            self.refused.update(dict.fromkeys(askers, error))
        except ApiError as error:
            self.failed.update(dict.fromkeys(askers, error))
            self._count_failure(error)
        else:
            self._in_a_row = 0
            self._deliver(row._replace(id=run_id), askers)

    def _count_failure(self, error: ApiError) -> None:
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_IN_A_ROW:
            raise AccountTrouble(error) from error

    async def _check_a_suspect(self) -> None:
        """Ask for the run itself that a list has shown as active for longest: is the list up to date?"""
        checked, (born, run_id) = self._memory.checked, self._suspect or (self.now, "")
        usual = timedelta(seconds=2 * (self._memory.durations.slowest or 0.0))
        young = self.now - born < max(usual, SUSPECT_AFTER)
        if young or run_id not in self._askers or (checked and self.now - checked < CHECK_EVERY):
            return
        self._memory.checked = self.now
        self.checks += 1
        waiters = list(self._askers[run_id])
        await self._get(run_id)
        if any(waiter.group.statuses.get(run_id) in TERMINAL for waiter in waiters):
            for listing in (self._survey.by_ref, self._survey.newest):
                listing.on_refusal(self.now)
            self._log.warning(
                "Runflow lists run %s as active, but it has ended: the list is not up to date. "
                "For some minutes runs are read one by one.",
                run_id,
            )

    # ------------------------------------------------------------------ all of them

    async def _page(self, listing: Listing, q: str | None, fields: Sequence[str], cursor: str | None) -> Rows:
        """Read a page; notes how the list behaves."""
        self.lists += 1
        try:
            page = await self._reader.list_rows(
                q=q, fields=fields, sort_by="created_at:desc", limit=MAX_PAGE, cursor=cursor
            )
        except (AuthenticationError, RateLimitedError) as error:
            raise AccountTrouble(error) from error
        except (PermissionDeniedError, NotFoundError, RequestRejectedError) as error:
            if listing.usable(self.now):
                self._log.warning("Runflow refuses the %s (%s). Runs are read one by one.", listing.name, error)
            listing.on_refusal(self.now)
            raise
        except ApiError as error:
            if listing.usable(self.now):
                self._log.warning("Runflow's %s cannot be read: %s. Runs are read one by one.", listing.name, error)
            listing.on_failure(self.now, self._interval)
            self._count_failure(error)
            raise
        self._in_a_row = 0
        listing.on_answer()
        return page

    def _deliver(self, row: Row, waiters: Collection[Waiter]) -> bool:
        """Give a row to whom it concerns; say whether it concerns anybody."""
        self._seen.add(row.id)
        known = waiters or self._askers.get(row.id) or self._roster.by_run.get(row.id) or ()
        for waiter in known:
            took = waiter.on_row(row, self.now)
            if took is not None:
                self._memory.durations.add(took, self.now)
        return bool(known)

    def _suspect_oldest(self, row: Row, known: bool) -> None:
        """Remember the oldest run that a list shows as active."""
        born = row.created_at if known and row.status_code not in TERMINAL else None
        if born is not None and (self._suspect is None or born < self._suspect[0]):
            self._suspect = born, row.id


async def _each(jobs: Iterable[Job], work: Callable[[Job], Awaitable[None]]) -> None:
    """Do all jobs, a few at once; the first that fails ends them all."""
    waiting = deque(jobs)

    async def worker() -> None:
        while waiting:
            await work(waiting.popleft())

    if len(waiting) < 2:
        return await worker()
    workers = [asyncio.ensure_future(worker()) for _ in range(min(AT_ONCE, len(waiting)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
