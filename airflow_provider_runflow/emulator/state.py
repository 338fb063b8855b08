# SPDX-License-Identifier: Apache-2.0
"""Everything that the emulator remembers. Handlers read and change this value, and nothing else."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from .catalogue import NAMESPACE, Model
from .config import EmulatorConfig
from .faults import Fault, FaultBook, Plan
from .runs import Run
from .wire import Request, Response

if TYPE_CHECKING:
    from .assets import Asset
    from .callbacks import Delivery, Secret

REQUEST_LOG = 10_000

COUNTED = {"create": "POST create", "get": "GET run", "list": "GET list", "output": "GET output"}


@dataclass(frozen=True)
class LoggedRequest:
    """One request that arrived, for tests."""

    at: datetime
    route: str
    method: str
    path: str
    status: int | None
    """The status that was sent; None when the connection was dropped."""
    idempotency_key: str | None


@dataclass(frozen=True)
class Remembered:
    """An answer kept under an idempotency key."""

    digest: str
    response: Response
    at: datetime


@dataclass(frozen=True)
class Call:
    """One authenticated request on its way through a handler."""

    request: Request
    now: datetime
    plan: Plan
    org_id: str = ""
    api_key: str = ""


@dataclass
class State:
    """The memory of one emulator."""

    config: EmulatorConfig
    models: Mapping[str, Model]
    faults: FaultBook
    runs: dict[str, Run] = field(default_factory=dict)
    idempotency: dict[tuple[str, str], Remembered] = field(default_factory=dict)
    assets: dict[str, Asset] = field(default_factory=dict)
    secrets: dict[str, list[Secret]] = field(default_factory=dict)
    """The secrets that sign the callbacks of each organisation, oldest first."""
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    """The callback of each run that wants one."""
    requests: Counter[str] = field(default_factory=Counter)
    log: deque[LoggedRequest] = field(default_factory=lambda: deque(maxlen=REQUEST_LOG))
    windows: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Requests of each organisation in the current minute, for the rate-limit headers."""
    signatures: int = 0

    @classmethod
    def fresh(cls, config: EmulatorConfig, models: Mapping[str, Model], rules: Iterable[Fault]) -> State:
        """Start from nothing."""
        return cls(config, models, FaultBook(config.seed, rules))

    def next_signature(self) -> int:
        """Give a new number, so that each signature is new."""
        self.signatures += 1
        return self.signatures

    def runs_of(self, org_id: str) -> Iterator[Run]:
        """Go through the runs of one organisation in the order of their numbers."""
        return (run for run in self.runs.values() if run.org_id == org_id)

    def balance(self, org_id: str, now: datetime) -> Decimal:
        """Give what an organisation has left. Only what has succeeded is debited; nothing is reserved."""
        spent = sum((run.billable for run in self.runs_of(org_id) if run.billed_at(now)), Decimal(0))
        return self.config.balance - spent

    def new_run_id(self, number: int, now: datetime) -> str:
        """Make a UUIDv7: time first, then the number of the run, then chance."""
        dice = Random(f"{self.config.seed}:id:{number}")  # repeatable
        milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
        value = (milliseconds << 80) | (0x7 << 76) | ((number & 0xFFF) << 64) | (0b10 << 62)
        return str(UUID(int=value | dice.getrandbits(62)))


@lru_cache(maxsize=256)
def organisation(name: str) -> str:
    """Give the UUID of an organisation."""
    try:
        return str(UUID(name))  # an `org_id` that was read from the API means itself
    except ValueError:
        return str(uuid5(NAMESPACE, f"organisation:{name}"))
