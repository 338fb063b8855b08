# SPDX-License-Identifier: Apache-2.0
"""The switches of the emulator: one frozen value, changed as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

SPELLINGS = ("canceled", "cancelled")
OUTPUT_SHAPES = ("outputs", "image_urls")
FORMATS = ("png", "jpeg", "webp")


@dataclass(frozen=True)
class EmulatorConfig:
    """Every switch with its default. Where sources disagree, the default is the stricter reading."""

    seed: int = 0
    time_scale: float = 1.0
    """Runs take their documented time divided by this. Everything else stays in real time."""
    queue_seconds: float = 0.0
    """Extra time that each run spends queued (scaled too): capacity is busy."""
    max_images: int | None = None
    """Loosens `num_images`; None keeps the limit of the model (4; another source says 10)."""
    cancelled_spelling: str = "canceled"
    rate_limit_headers: bool = False
    balance: Decimal = Decimal("100")
    """What each organisation starts with, in USD."""
    api_keys: tuple[str, ...] = ()
    """The accepted keys; empty accepts every well-formed one."""
    url_ttl: float = 24 * 3600.0
    """Seconds that a presigned URL lives (sources say 24 h to 3 days)."""
    idempotency: bool = True
    idempotency_ttl: float = 24 * 3600.0  # choice: the reference is silent
    list_metadata: bool = True
    """Whether rows of the list carry `metadata`."""
    output_shape: str = "outputs"
    force_format: str | None = None
    """Deliver this format whatever was asked for."""
    picture_size: tuple[int, int] | None = None
    """Draw every picture this small, whatever was asked for: chaos tests need many, not beautiful ones."""

    def __post_init__(self) -> None:
        size: Sequence[int] | None = self.picture_size
        checks = {
            "time_scale must be above 0": self.time_scale > 0,
            "queue_seconds must not be negative": self.queue_seconds >= 0,
            "max_images must be at least 1": self.max_images is None or self.max_images >= 1,
            f"cancelled_spelling must be one of {SPELLINGS}": self.cancelled_spelling in SPELLINGS,
            f"output_shape must be one of {OUTPUT_SHAPES}": self.output_shape in OUTPUT_SHAPES,
            f"force_format must be one of {FORMATS}": self.force_format in (None, *FORMATS),
            "url_ttl must be above 0": self.url_ttl > 0,
            "idempotency_ttl must be above 0": self.idempotency_ttl > 0,
            "picture_size must be two numbers of at least 1": size is None or (len(size) == 2 and min(size) >= 1),
        }
        for message, holds in checks.items():
            if not holds:
                raise ValueError(message)

    def changed(self, changes: Mapping[str, Any]) -> EmulatorConfig:
        """Give a copy with some switches changed; JSON types are converted."""
        known = {item.name for item in fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise ValueError(f"unknown switch: {', '.join(unknown)} (known: {', '.join(sorted(known))})")
        return replace(self, **{name: _converted(name, value) for name, value in changes.items()})

    def to_dict(self) -> dict[str, Any]:
        """Give the switches as JSON types."""
        return {**asdict(self), "balance": str(self.balance), "api_keys": len(self.api_keys)}


def _converted(name: str, value: Any) -> Any:
    converter = _CONVERTERS.get(name)
    if value is None or converter is None:
        return value
    try:
        return converter(value)
    except (TypeError, ValueError, InvalidOperation) as exc:
        raise ValueError(f"{name}: {value!r} does not fit") from exc


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _pair(value: Any) -> tuple[int, int]:
    width, height = value
    return int(width), int(height)


_CONVERTERS: dict[str, Any] = {
    "seed": int,
    "time_scale": float,
    "queue_seconds": float,
    "max_images": int,
    "rate_limit_headers": _flag,
    "balance": lambda value: Decimal(str(value)),
    "api_keys": tuple,
    "url_ttl": float,
    "idempotency": _flag,
    "idempotency_ttl": float,
    "list_metadata": _flag,
    "picture_size": _pair,
}
