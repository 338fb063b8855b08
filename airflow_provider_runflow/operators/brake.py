# SPDX-License-Identifier: Apache-2.0
"""When a batch submits no more: what one item met, all others would meet, too."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    BeforeMoneyError,
    BudgetExceededError,
    ConfigurationError,
    DestinationError,
    InsufficientCreditError,
    JournalError,
    NameTakenError,
    NotFoundError,
    PermissionDeniedError,
    RunflowError,
    ServiceUnavailableError,
    SubmissionUncertainError,
    TransportError,
)

_FOR_ALL = (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    DestinationError,
    InsufficientCreditError,
    JournalError,
    PermissionDeniedError,
)
_NO_ANSWER = (ServiceUnavailableError, SubmissionUncertainError, TransportError)
# So many submissions in a row without an answer, and Runflow counts as down.
DOWN_AFTER = 8


@dataclass
class Brake:
    """
    Stops the submitting of a batch; what is bought by then still lands. Safe to share between threads.

    :param one_model: all items ask for the same model, so that one which is not there is not there for any.
    :param log: where to tell.

    :attr:`error`: what every item that was not submitted by then ends with.
    """

    one_model: bool
    log: Log
    error: BeforeMoneyError | None = field(default=None, init=False)
    _unanswered: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def is_on(self) -> bool:
        """Whether nothing is submitted any more."""
        return self.error is not None

    def check(self) -> None:
        """Let nobody through who is about to submit; raises what stopped the batch."""
        if self.error is not None:
            raise self.error

    def stop(self, why: BeforeMoneyError) -> None:
        """Submit nothing any more; the first reason counts."""
        with self._lock:
            self.error = self.error or why

    def on_answer(self) -> None:
        """Runflow answered an item."""
        with self._lock:
            self._unanswered = 0

    def on_error(self, key: str, error: RunflowError) -> None:
        """Judge what an item met that has no run."""
        with self._lock:
            self._unanswered = self._unanswered + 1 if isinstance(error, _NO_ANSWER) else 0
            why = self._why(error)
            if self.error is not None or why is None:
                return
            self.error = why
        self.log.error("Nothing more is submitted, since what item %r met would meet all: %s", key, why)

    def _why(self, error: RunflowError) -> BeforeMoneyError | None:
        if isinstance(error, NameTakenError) or (isinstance(error, NotFoundError) and not self.one_model):
            return None
        if isinstance(error, (*_FOR_ALL, NotFoundError)):
            return error
        if self._unanswered < DOWN_AFTER:
            return None
        # Of an item that was never sent nobody need wonder whether it is paid, whatever the last one says of itself.
        return ServiceUnavailableError(f"Runflow gave no usable answer {DOWN_AFTER} times in a row")
