# SPDX-License-Identifier: Apache-2.0
"""Faults by rule: which request is hit, how often, and by what.

A rule has an `effect` on the exchange (the network and the server misbehave) or an `outcome` for the run that
a create request makes (the model misbehaves). Chance is derived from (seed, rule, how often it was met), so
that rules do not disturb each other's dice and a failing chaos test can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from random import Random
from typing import Any

ROUTES = ("any", "create", "get", "list", "output", "asset_upload", "asset_put", "asset_confirm", "balance")
OUTCOMES = ("succeeded", "failed", "blocked", "stuck", "partial", "cancelled", "nsfw")
BEFORE = ("status", "drop_before")
"""Effects that keep the request from being processed (`took_effect` turns `status` round)."""
EFFECTS = (
    *BEFORE,
    "drop_after",
    "latency",
    "slow",
    "truncate",
    "expired",
    "malformed",
    "lag",
    "html",
    "oversize",
)
MODIFIERS = ("latency", "slow", "expired", "lag")
"""Effects that join others; of the rest, the first rule that fires decides."""

_DEFAULT_SECONDS = {"latency": 1.0, "lag": 5.0}


@dataclass(frozen=True)
class Fault:
    """One rule. Only `effect` or `outcome` is required."""

    route: str = "any"
    effect: str | None = None
    outcome: str | None = None
    """What becomes of the run; only for created runs, so the route is `create`."""
    times: int | None = None
    """Fire at most so often; None fires for ever."""
    after: int = 0
    """Let the first n matching requests pass."""
    probability: float = 1.0
    prompt_contains: str | None = None
    client_ref: str | None = None
    status: int | None = None
    """`status`: the HTTP status (503). `html`: the status of the page (200)."""
    headers: bool = False
    """`status` 429: send Retry-After and the rate limit headers."""
    took_effect: bool = False
    """`status`: the request was processed, but its answer was replaced (a gateway gave up)."""
    seconds: float | None = None
    """`latency`, `lag`: how long (1, 5). `status`: Retry-After. An outcome: how long the run takes in all."""
    bytes_per_second: float = 16_384.0
    truncate_to: int | None = None
    """`truncate`: so many bytes arrive; None is half of them."""
    chunked: bool = False
    """`truncate`, `oversize`: without Content-Length, so that nothing warns of it."""
    size: int = 4 * 1024**3
    """`oversize`: the declared length."""
    code: str | None = None
    message: str | None = None
    stage: str | None = None
    images: int | None = None
    """`partial`: so many pictures arrive; None is all but one."""

    def __post_init__(self) -> None:
        _check_shape(self)
        _check_numbers(self)

    @classmethod
    def from_dict(cls, rule: Mapping[str, Any]) -> Fault:
        """Read a rule from JSON, refusing what it does not know."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(rule) - known)
        if unknown:
            names = ", ".join(sorted(known))
            raise ValueError(f"unknown key in a fault: {', '.join(unknown)} (known: {names})")
        given = dict(rule)
        if given.get("outcome") is not None:
            given.setdefault("route", "create")
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Give the rule as JSON, without what was left at its default."""
        defaults = {item.name: item.default for item in fields(self) if item.default is not MISSING}
        return {name: value for name, value in asdict(self).items() if name == "route" or value != defaults[name]}


def _check_shape(fault: Fault) -> None:
    if (fault.effect is None) == (fault.outcome is None):
        raise ValueError("a fault needs either an effect or an outcome")
    if fault.route not in ROUTES:
        raise ValueError(f"route must be one of {', '.join(ROUTES)}, not {fault.route!r}")
    if fault.effect is not None and fault.effect not in EFFECTS:
        raise ValueError(f"effect must be one of {', '.join(EFFECTS)}, not {fault.effect!r}")
    if fault.outcome is not None and fault.outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, not {fault.outcome!r}")
    if fault.outcome is not None and fault.route not in ("create", "any"):
        raise ValueError("an outcome is decided when a run is created: its route is 'create'")


def _check_numbers(fault: Fault) -> None:
    limits: dict[str, tuple[float | None, float, float]] = {
        "times": (fault.times, 0, float("inf")),
        "after": (fault.after, 0, float("inf")),
        "probability": (fault.probability, 0, 1),
        "status": (fault.status, 100, 599),
        "seconds": (fault.seconds, 0, float("inf")),
        "bytes_per_second": (fault.bytes_per_second, 1, float("inf")),
        "truncate_to": (fault.truncate_to, 0, float("inf")),
        "size": (fault.size, 1, float("inf")),
        "images": (fault.images, 0, float("inf")),
    }
    for name, (value, low, high) in limits.items():
        if value is None:
            continue
        number: object = value  # JSON does not keep to annotations
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not low <= number <= high:
            raise ValueError(f"{name} must be a number from {low} to {high}, not {value!r}")


@dataclass(frozen=True)
class Subject:
    """What a rule may look at: the route, and the run or the request that it is about."""

    route: str
    prompt: str | None = None
    client_ref: str | None = None


@dataclass
class ArmedFault:
    """A rule at work, with its counters."""

    id: str
    fault: Fault
    seen: int = 0
    fired: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Give the rule with its counters as JSON."""
        return {"id": self.id, **self.fault.to_dict(), "seen": self.seen, "fired": self.fired}

    def matches(self, subject: Subject) -> bool:
        """Tell whether the rule is about this request at all."""
        fault = self.fault
        return (
            fault.route in ("any", subject.route)
            and (fault.prompt_contains is None or fault.prompt_contains in (subject.prompt or ""))
            and (fault.client_ref is None or fault.client_ref == subject.client_ref)
        )

    def fires(self, seed: int) -> bool:
        """Count a matching request and throw the dice of the rule."""
        self.seen += 1
        fault = self.fault
        if self.seen <= fault.after or (fault.times is not None and self.fired >= fault.times):
            return False
        dice = Random(f"{seed}:{self.id}:{self.seen}")  # repeatable
        if fault.probability < 1 and dice.random() >= fault.probability:
            return False
        self.fired += 1
        return True


@dataclass(frozen=True)
class Plan:
    """What happens to one request."""

    delay: float = 0.0
    lag: float = 0.0
    expired: bool = False
    bytes_per_second: float | None = None
    decisive: Fault | None = None

    @property
    def prevents(self) -> bool:
        """Whether the request is not processed at all."""
        fault = self.decisive
        return fault is not None and fault.effect in BEFORE and not fault.took_effect


class FaultBook:
    """All armed rules, in the order in which they were added."""

    def __init__(self, seed: int, rules: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._count = 0
        self.armed: list[ArmedFault] = []
        for rule in rules:
            self.add(rule)

    def add(self, fault: Fault) -> ArmedFault:
        """Arm a rule."""
        self._count += 1
        armed = ArmedFault(f"f{self._count}", fault)
        self.armed.append(armed)
        return armed

    def remove(self, fault_id: str | None = None) -> int:
        """Disarm one rule, or all of them; tell how many."""
        before = len(self.armed)
        self.armed = [] if fault_id is None else [item for item in self.armed if item.id != fault_id]
        return before - len(self.armed)

    def plan(self, subject: Subject) -> Plan:
        """Decide what happens to a request."""
        fired: list[Fault] = []
        decided = False
        for armed in self.armed:
            effect = armed.fault.effect
            if effect is None or not armed.matches(subject) or (decided and effect not in MODIFIERS):
                continue
            if armed.fires(self._seed):
                fired.append(armed.fault)
                decided = decided or effect not in MODIFIERS
        return _plan_of(fired)

    def outcome(self, subject: Subject) -> Fault | None:
        """Decide what becomes of a new run."""
        for armed in self.armed:
            if armed.fault.outcome is not None and armed.matches(subject) and armed.fires(self._seed):
                return armed.fault
        return None


def _plan_of(fired: list[Fault]) -> Plan:
    def seconds(effect: str) -> list[float]:
        default = _DEFAULT_SECONDS[effect]
        return [default if item.seconds is None else item.seconds for item in fired if item.effect == effect]

    speeds = [item.bytes_per_second for item in fired if item.effect == "slow"]
    return Plan(
        delay=sum(seconds("latency")),
        lag=max(seconds("lag"), default=0.0),
        expired=any(item.effect == "expired" for item in fired),
        bytes_per_second=min(speeds, default=None),
        decisive=next((item for item in fired if item.effect not in MODIFIERS), None),
    )
