# SPDX-License-Identifier: Apache-2.0
"""The hook on a scripted Runflow, on virtual time, and with a connection that tests may change under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.emulator import VirtualClock
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.unit.client.fakes import Answer, Script
from tests.unit.hooks.connections import VARIABLE, as_json


class LongestJitter:
    """Always the longest wait, so that times can be counted."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return high


class Lines:
    """The hook's log, readable."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, msg: Any, /, *args: Any) -> None:
        self.lines.append(str(msg) % args if args else str(msg))

    warning = error = info


@dataclass
class World:
    """What a test of the hook sees."""

    monkeypatch: pytest.MonkeyPatch
    clock: VirtualClock = field(default_factory=VirtualClock)
    log: Lines = field(default_factory=Lines)
    script: Script = field(default_factory=lambda: Script(httpx.Response(500)))
    lookups: list[str] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def passed(self, since: datetime) -> float:
        """Seconds of virtual time."""
        return (self.now - since) / timedelta(seconds=1)

    def connect(self, **fields: Any) -> None:
        """Writes the connection; the next look at it sees this."""
        self.monkeypatch.setenv(VARIABLE, as_json(**fields))

    def disconnect(self) -> None:
        self.monkeypatch.delenv(VARIABLE, raising=False)

    def answers(self, *answers: Answer) -> Script:
        """From now on Runflow answers so."""
        self.script = Script(*answers)
        self.monkeypatch.setattr(RunflowHook, "transport", self.script.transport)
        return self.script

    def until(self, seconds: float, first: Answer, then: Answer) -> Callable[[httpx.Request], httpx.Response]:
        """An answer that changes when the clock has moved by so much."""
        change = self.now + timedelta(seconds=seconds)

        def answer(request: httpx.Request) -> httpx.Response:
            said = first if self.now < change else then
            if isinstance(said, Exception):
                raise said
            if callable(said):
                return said(request)
            return httpx.Response(said.status_code, headers=said.headers, content=said.content)

        return answer


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(monkeypatch)
    monkeypatch.setattr(RunflowHook, "clock", world.clock)
    monkeypatch.setattr(RunflowHook, "jitter", LongestJitter())
    monkeypatch.setattr(RunflowHook, "log", world.log)
    real = RunflowHook.get_connection

    def counted(cls: type[RunflowHook], conn_id: str) -> Any:
        world.lookups.append(conn_id)
        return real(conn_id)

    monkeypatch.setattr(RunflowHook, "get_connection", classmethod(counted))
    world.connect()
    world.answers(httpx.Response(500))
    return world
