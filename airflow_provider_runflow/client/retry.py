# SPDX-License-Identifier: Apache-2.0
"""
The retry policy of every API call, without I/O.

One generator decides "send", "sleep n seconds" or "raise"; the sync and the async client drive it in a few lines each.
It retries what the reference's section 9 says to retry (5xx, 429, transport errors; five tries, exponential with full
jitter), and a submission only when it certainly did not take effect.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_runflow.exceptions import (
    ApiError,
    MalformedResponseError,
    RateLimitedError,
    ServiceUnavailableError,
    TransportError,
)

MAX_TRIES = 5
BASE_DELAY = 1.0
MAX_DELAY = 32.0
LONGEST_RETRY_AFTER = 60.0


class Effect(Enum):
    """What a failed request did at the server, as far as can be told."""

    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Failure:
    """A request that brought no usable answer."""

    error: ApiError
    effect: Effect


@dataclass(frozen=True)
class Sleep:
    """Wait this many seconds, then resume the generator."""

    seconds: float


class Send:
    """Send the request now, and resume the generator with the decoded answer or a :class:`Failure`."""


Step = Send | Sleep


def exchange(*, paid: bool, uniform: Callable[[float, float], float]) -> Generator[Step, Any, Any]:
    """
    Drive one API call to an answer.

    :param paid: the request buys something: a failure of unknown effect is raised at once: the caller looks first.
    :param uniform: source of jitter, as ``random.uniform``.
    :return: (the generator's value) the decoded answer.
    :raises ApiError: the last error, after the tries are used up or when trying again cannot help.
    """
    for attempt in range(1, MAX_TRIES + 1):
        answer = yield Send()
        if not isinstance(answer, Failure):
            return answer
        error = answer.error
        if attempt == MAX_TRIES or not _worth_retrying(answer, paid):
            raise error
        asked = error.retry_after or 0.0
        if asked > LONGEST_RETRY_AFTER:
            raise error
        yield Sleep(max(asked, uniform(0.0, min(MAX_DELAY, BASE_DELAY * 2 ** (attempt - 1)))))
    raise AssertionError("unreachable")


def _worth_retrying(failure: Failure, paid: bool) -> bool:
    if paid and failure.effect is Effect.UNKNOWN:
        return False
    return isinstance(
        failure.error, (RateLimitedError, ServiceUnavailableError, TransportError, MalformedResponseError)
    )
