# SPDX-License-Identifier: Apache-2.0
"""What the engine needs of a metrics client: Airflow's own fits (``compat.stats``), and so does nothing at all."""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Counters, gauges and durations by name."""

    def incr(self, name: str, count: int = 1) -> None:
        """Count something that happened."""

    def gauge(self, name: str, value: float) -> None:
        """Say how much of something there is now."""

    def timing(self, name: str, seconds: float) -> None:
        """Say how long something took."""


class NoMetrics:
    """Keeps nothing."""

    def incr(self, name: str, count: int = 1) -> None:
        """Count nothing."""

    def gauge(self, name: str, value: float) -> None:
        """Say nothing."""

    def timing(self, name: str, seconds: float) -> None:
        """Say nothing."""


NO_METRICS: Metrics = NoMetrics()
