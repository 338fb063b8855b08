# SPDX-License-Identifier: Apache-2.0
"""What a task may cost: counted before the money is spent, at the dearest that is known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_runflow.exceptions import BudgetExceededError, InvalidRequestError
from airflow_provider_runflow.runs.identity import Request
from airflow_provider_runflow.runs.journal import Record


@dataclass(eq=False)
class Budget:
    """
    The money of one task instance, over all its attempts; safe to share between threads.

    :param limit: USD that its runs may cost together; ``None`` for no limit.
    :param price_of: estimates a request's cost in USD; ``None`` when nothing knows it.

    What counts is what has been billed, plus what is in flight and what is about to be submitted at its estimate, or at
    more: as much as the dearest run so far was above its own. A run that costs more than that can pass the limit by the
    difference, for each run in flight; nothing more is submitted then.
    """

    limit: Decimal | None
    price_of: Callable[[Request], Decimal | None]
    _billed: dict[str, Decimal] = field(default_factory=dict, init=False)
    _in_flight: dict[str, Decimal] = field(default_factory=dict, init=False)
    _dearness: Decimal = field(default=Decimal(1), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def spent(self) -> Decimal:
        """USD that are billed, or will be as far as is known."""
        with self._lock:
            return self._committed()

    def reserve(self, slot: str, request: Request) -> None:
        """
        Take the money for a request that is about to be submitted.

        :param slot: of the item; what it had taken before does not count any more.
        :raises BudgetExceededError: it could pass the limit.
        :raises InvalidRequestError: there is a limit, and nothing knows the price of the model.
        """
        if self.limit is None:
            return
        price = self.price_of(request)
        if price is None:
            raise InvalidRequestError(
                f"max_cost_usd={self.limit:f}: nothing here knows what {request.model} costs, so the limit cannot be "
                "kept. Leave it out, or register the model with its price (models.register)."
            )
        with self._lock:
            self._in_flight.pop(slot, None)
            price, committed = price * self._dearness, self._committed()
            if committed + price > self.limit:
                raise BudgetExceededError(
                    f"max_cost_usd={self.limit:f}: ${committed:f} of this task is billed or in flight, and about "
                    f"${price:f} more would pass the limit. Nothing was submitted."
                )
            self._in_flight[slot] = price

    def release(self, slot: str) -> None:
        """Give back what a request that was refused had taken."""
        with self._lock:
            self._in_flight.pop(slot, None)

    def count(self, run_id: str, request: Request, cost: Decimal | None, slot: str | None = None) -> None:
        """
        Count a run of this task: one that was submitted just now or by an earlier attempt, or that has ended.

        :param cost: what it was billed; ``None`` while that is not known.
        :param slot: of the item whose money it takes over.
        """
        if self.limit is None:
            return
        price = self.price_of(request)
        with self._lock:
            reserved = self._in_flight.pop(slot, None) if slot is not None else None
            if cost is None:
                if run_id not in self._billed:
                    self._in_flight.setdefault(run_id, reserved or (price or Decimal(0)) * self._dearness)
                return
            self._in_flight.pop(run_id, None)
            self._billed[run_id] = cost
            if price and cost > price:
                self._dearness = max(self._dearness, cost / price)

    def count_record(self, record: Record) -> None:
        """Count what an earlier attempt has on record."""
        if record.run_id is None or record.submitted_at is None:
            return
        cost = (record.result or {}).get("cost_usd")
        self.count(record.run_id, record.request, None if cost is None else Decimal(cost))

    def _committed(self) -> Decimal:
        return sum(self._billed.values(), Decimal(0)) + sum(self._in_flight.values(), Decimal(0))


def read_limit(name: str, value: Any) -> Decimal | None:
    """
    Read an amount of USD.

    :param name: of the parameter, for the message.
    :param value: a number or a text; ``None`` or an empty text for no limit.
    :raises InvalidRequestError: it is no amount, or below 0.
    """
    if value is None or value == "":
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise InvalidRequestError(f"{name}={value!r}: must be an amount of USD, 0 or more, such as 2.50.")
    return amount


def price_of(request: Request) -> Decimal | None:
    """Estimate what a request costs, by the catalogue; ``None`` when that does not know its model."""
    from airflow_provider_runflow.models import find_model

    model = find_model(request.model)
    return None if model is None else model.estimate(request.input)


NO_BUDGET = Budget(None, price_of)
