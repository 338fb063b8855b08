# SPDX-License-Identifier: Apache-2.0
"""Which Runflow the contract is held against: the emulator always, the real one through `make live` only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Target:
    """One Runflow, and how patient to be with it."""

    name: str
    base_url: str
    key: str = field(repr=False)
    poll: float
    """Seconds between two looks at a run."""
    patience: float
    """Seconds until a run must have ended."""
    answers: Path

    @property
    def live(self) -> bool:
        return self.name == "live"


#: Where `scripts/live.py` leaves the real service for the fixtures. A key in the environment alone never gets here.
LIVE: pytest.StashKey[Target] = pytest.StashKey()


class LivePlugin:
    """Handed to pytest by `scripts/live.py`."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[LIVE] = self._target


def live_target(base_url: str, key: str, answers: Path | None = None) -> Target:
    return Target("live", base_url, key, poll=3.0, patience=900.0, answers=answers or FOLDER / "answers-live.json")


def emulator_target(base_url: str, key: str) -> Target:
    return Target("emulator", base_url, key, poll=0.02, patience=30.0, answers=FOLDER / "answers-emulator.json")
