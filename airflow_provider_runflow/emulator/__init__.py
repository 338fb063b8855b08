# SPDX-License-Identifier: Apache-2.0
"""A local Runflow for demos and tests: the HTTP API, its money and its faults, without the network.

`Emulator.handle(request, now)` is pure over explicit state. Three skins carry it: `emulator_transport` for
httpx clients inside one process, `create_app` as an ASGI application, and the console script
`runflow-emulator`. Nothing here imports airflow or any other part of this distribution.

Importing this package costs nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asgi import create_app
    from .clock import Clock, SystemClock, VirtualClock
    from .config import EmulatorConfig
    from .core import Emulator
    from .faults import Fault
    from .server import EmulatorServer
    from .transport import EmulatorTransport, emulator_transport
    from .wire import Request, Response

_HOMES = {
    "Clock": "clock",
    "Emulator": "core",
    "EmulatorConfig": "config",
    "EmulatorServer": "server",
    "EmulatorTransport": "transport",
    "Fault": "faults",
    "Request": "wire",
    "Response": "wire",
    "SystemClock": "clock",
    "VirtualClock": "clock",
    "create_app": "asgi",
    "emulator_transport": "transport",
}

__all__ = [
    "Clock",
    "Emulator",
    "EmulatorConfig",
    "EmulatorServer",
    "EmulatorTransport",
    "Fault",
    "Request",
    "Response",
    "SystemClock",
    "VirtualClock",
    "create_app",
    "emulator_transport",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
