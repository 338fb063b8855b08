# SPDX-License-Identifier: Apache-2.0
"""What the engine needs of a logger: Airflow's and the standard library's both fit."""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """Three levels, with ``%``-style arguments."""

    def info(self, msg: Any, /, *args: Any) -> Any:
        """Tell what happens."""

    def warning(self, msg: Any, /, *args: Any) -> Any:
        """Tell what a person should know."""

    def error(self, msg: Any, /, *args: Any) -> Any:
        """Tell what went wrong."""
