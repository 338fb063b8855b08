# SPDX-License-Identifier: Apache-2.0
"""How many of a batch's items must succeed, and how it stands."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.runs.group import Group

_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")


def needed(min_success: int | str | None, items: int, *, at_most: bool = False) -> int:
    """
    Return how many items must succeed for the task to succeed.

    :param min_success: a number of items, or a share of them such as ``"95%"`` (rounded up); ``None`` means all.
    :param items: how many there are; 0 when that is not known yet.
    :param at_most: a number of more items than there are means all of them: some were skipped.
    :raises InvalidRequestError: neither a number nor a share, or more than there are.
    """
    rule = f"min_success={min_success!r}: must be a number of items, or a share of them such as '95%'"
    if min_success is None:
        return items
    if isinstance(min_success, str) and (share := _SHARE.fullmatch(min_success.strip())):
        percent = float(share[1])
        if percent > 100:
            raise InvalidRequestError(f"{rule}, at most 100%.")
        # Rounded first: 0.07 * 100 is a little more than 7.
        return math.ceil(round(items * percent / 100, 6))
    if isinstance(min_success, str) and min_success.strip().isdecimal():
        # What a template gives is text.
        min_success = int(min_success)
    if isinstance(min_success, bool) or not isinstance(min_success, int) or min_success < 0:
        raise InvalidRequestError(f"{rule}.")
    if at_most:
        return min(min_success, items)
    if items and min_success > items:
        raise InvalidRequestError(f"{rule}; there are only {items} items.")
    return min_success


def goes_on(group: Group, since: datetime, now: datetime) -> str:
    """
    Say how a group of runs stands, and about when all have ended at this pace.

    :param since: when the wait for them began.
    """
    ended, total = group.ended, max(group.count, len(group.statuses))
    text = f"{ended} of {total} runs have ended ({told(group.statuses.values())})."
    if ended == total or ended * 10 < total:
        return text
    end = now + (now - since) * (total - ended) / ended
    return f"{text} At this pace all have ended by {end:%H:%M:%S} UTC."


def told(outcomes: Iterable[str]) -> str:
    """Count outcomes in words, the most frequent first: ``12 blocked, 3 failed``."""
    return ", ".join(f"{count} {name}" for name, count in Counter(outcomes).most_common())
