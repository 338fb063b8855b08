# SPDX-License-Identifier: Apache-2.0
"""Before anything that costs money: a key that was meant for it, and a yes from the person who pays."""

from __future__ import annotations

import sys

DEFAULT_BASE_URL = "https://api.runflow.io"


class Refused(Exception):
    """Nothing is started; the message says why."""


def is_on(value: str | None) -> bool:
    """Reads a switch from the environment, such as YES=1."""
    return (value or "").strip().lower() in ("1", "true", "yes")


def ask(yes: bool) -> None:
    """Asks on the terminal, unless YES=1 has answered; goes on with nothing but a yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("There is no terminal to ask on: YES=1 says yes. Nothing was started.")
    if input("LIVE: go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refused("Nothing was started.")
