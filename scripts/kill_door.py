# SPDX-License-Identifier: Apache-2.0
"""A door in front of the emulator that holds chosen requests while their sender is being killed.

Held before the emulator sees it, a POST takes effect when its sender is long dead; held after, the run is made and
billed, and nobody was told. The door also sees whether the sender hung up, which tells who it was that died.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_runflow.emulator import Emulator, routes
from airflow_provider_runflow.emulator.asgi import Application, Message, Receive, Scope, Send
from scripts.kill_plan import BETWEEN, Aim, Phase

#: Longer than any linger: nothing hangs on a door that was forgotten.
MAX_HOLD = 70.0
TICK = 0.02
#: In which phases of its sender a request is held, by route.
HELD_IN = {"create": BETWEEN, "output": (Phase.LANDING,)}


@dataclass
class Visit:
    """
    One request that buys a picture or fetches it, with the moments (of `time.monotonic`) that matter.

    :param aim: why it is held; ``None``: it is not.
    :param taken: when the emulator had processed it.
    :param dropped: when its sender had hung up, seen only while it is held.
    """

    item: str
    route: str
    key: str | None
    arrived: float
    aim: Aim | None = None
    taken: float | None = None
    answered: float | None = None
    dropped: float | None = None
    _go: threading.Event = field(default_factory=threading.Event)

    @property
    def in_flight(self) -> bool:
        return self.answered is None and self.dropped is None

    @property
    def phase(self) -> Phase:
        """What its sender is doing while it is in flight."""
        if self.route == "output":
            return Phase.LANDING
        return Phase.SENT if self.taken is None else Phase.TAKEN

    @property
    def stands(self) -> bool:
        """Whether it has come to where its aim wants it."""
        return self.in_flight and self.aim is not None and not self._go.is_set() and self.phase is self.aim.phase

    def release(self) -> None:
        """Let it go on."""
        self._go.set()

    @property
    def released(self) -> bool:
        return self._go.is_set()


@dataclass
class Door:
    """
    An ASGI application around another one.

    :param wanted: tells, for a picture's key, what it is aimed at now; called on the server's thread.
    :param polls: how often the run of a picture was read.
    """

    emulator: Emulator
    wanted: Callable[[str], Aim | None]
    visits: list[Visit] = field(default_factory=list)
    polls: Counter[str] = field(default_factory=Counter)

    def around(self, application: Application) -> Application:
        async def through(scope: Scope, receive: Receive, send: Send) -> None:
            route = routes.match(scope["method"], scope["path"]) if scope["type"] == "http" else None
            if route is not None and route.name == "get":
                self.polls[self._item_of_run(route.parts[0])] += 1
            if route is None or route.name not in HELD_IN:
                await application(scope, receive, send)
                return
            body = await _body(receive)
            await self._admit(self._visit(scope, route, body), application, scope, body, receive, send)

        return through

    def in_flight(self, item: str) -> list[Visit]:
        return [visit for visit in list(self.visits) if visit.item == item and visit.in_flight]

    def open(self) -> None:
        """Hold nothing any more."""
        for visit in list(self.visits):
            visit.release()

    def _visit(self, scope: Scope, route: routes.Match, body: bytes) -> Visit:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        item = item_of_body(body) if route.name == "create" else self._item_of_run(route.parts[0])
        aim = self.wanted(item)
        fits = aim is not None and aim.phase in HELD_IN[route.name]
        fits = fits and not any(visit.aim is aim for visit in self.visits)  # one request an aim
        key = headers.get(b"idempotency-key")
        visit = Visit(item, route.name, key, time.monotonic(), aim if fits else None)
        self.visits.append(visit)
        return visit

    def _item_of_run(self, run_id: str) -> str:
        run = self.emulator.state.runs.get(run_id)
        return _item((run.metadata if run else None) or {})

    async def _admit(
        self, visit: Visit, application: Application, scope: Scope, body: bytes, receive: Receive, send: Send
    ) -> None:
        early = visit.aim is not None and visit.aim.phase is not Phase.TAKEN

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.taken = time.monotonic()
                if visit.aim is not None and not early:
                    await _hold(visit, receive)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                visit.answered = time.monotonic()

        if early:
            await _hold(visit, receive)
        await application(scope, _again(body, receive), answer)


async def _hold(visit: Visit, receive: Receive) -> None:
    gone = asyncio.ensure_future(_hung_up(receive))
    until = time.monotonic() + MAX_HOLD
    while not visit.released and time.monotonic() < until:
        await asyncio.sleep(TICK)
        if gone.done() and visit.dropped is None:
            visit.dropped = time.monotonic()
    gone.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read already, then what else comes."""
    read = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return read.pop() if read else await receive()

    return replay


def item_of_body(body: bytes) -> str:
    """The key of the picture that a create request is about, or an empty string."""
    try:
        return _item(json.loads(body)["metadata"])
    except (ValueError, TypeError, KeyError):
        return ""


def _item(metadata: object) -> str:
    facts = metadata.get("airflow") if isinstance(metadata, dict) else None
    return str(facts.get("item_key", "")) if isinstance(facts, dict) else ""
