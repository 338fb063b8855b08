# SPDX-License-Identifier: Apache-2.0
"""
A Runflow that is too lean to be the bottleneck: it reads runs and lists them, in a process of its own.

Rows and runs are written beforehand; what is left is to look up which of two texts holds now.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from bisect import bisect_right
from collections import Counter
from datetime import datetime, timezone
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.watch.scene import REF, Fate, Scene, fates

# About as large as a real run: fields of the reference's section 4, most of them null.
_NULLS = ("flow_id", "output", "context", "cost", "cost_breakdown", "nodes_total", "nodes_completed", "batch_id",
          "jurisdiction_code", "flow_version_id", "callback_url", "failure_code", "failure_message",
          "failure_stage_code", "started_at", "completed_at", "duration_ms", "resolved_template_id")  # fmt: skip
_REST = {
    **dict.fromkeys(_NULLS),
    "model_id": "5b9a2d0e-0000-4000-8000-000000000001",
    "input": {"prompt": "a product on a table, soft light from the left " * 4, "quality": "low", "num_images": 1},
    "metadata": {"airflow": {"dag_id": "campaign", "task_id": "hero", "item": "k1", "fingerprint": "0" * 64}},
    "node_runs": [],
    "links": {},
}


class Runflow:
    """The runs of a scene, as they are at the moment."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: Counter[str] = Counter()
        self.start = 0.0
        self.fates: list[Fate] = []

    def begin(self) -> bytes:
        """Let the scene begin now; tell when each of the watched runs ends."""
        self.start = time.time() + 1.0
        self.fates = fates(self.scene, self.start)
        self.births = [fate.born for fate in self.fates]
        self.rows = [self._row(fate, with_ref=False) for fate in self.fates]
        self.mine = [n for n, fate in enumerate(self.fates) if fate.mine]
        self.mine_rows = {n: self._row(self.fates[n], with_ref=True) for n in self.mine}
        self.by_id = {self.fates[n].run_id: n for n in self.mine}
        self.rest = json.dumps(_REST)[1:-1]
        ends = {self.fates[n].run_id: self.start + self.fates[n].ends for n in self.mine}
        return json.dumps({"start": self.start, "ends": ends}).encode()

    def _row(self, fate: Fate, *, with_ref: bool) -> tuple[str, str]:
        born = datetime.fromtimestamp(self.start + fate.born, timezone.utc).isoformat().replace("+00:00", "Z")
        ref = f', "client_ref": "{REF}"' if with_ref else ""
        row = f'{{"id": "{fate.run_id}", "status_code": "%s", "created_at": "{born}"{ref}}}'
        return row % "running", row % "succeeded"

    def answer(self, target: str) -> tuple[int, bytes]:
        """Answer a GET."""
        parts = urlsplit(target)
        if parts.path == "/begin":
            return 200, self.begin()
        if parts.path == "/calls":
            return 200, json.dumps(self.calls).encode()
        now = time.time() - self.start
        if parts.path == "/v1/runs":
            self.calls["list"] += 1
            return 200, self._list(parse_qs(parts.query), now)
        self.calls["get"] += 1
        number = self.by_id.get(unquote(parts.path.rsplit("/", 1)[-1]))
        if number is None:
            return 404, b'{"code": "RUN_NOT_FOUND", "message": "Run not found.", "errors": null}'
        row = self.mine_rows[number][now >= self.fates[number].ends]
        return 200, f"{row[:-1]}, {self.rest}}}".encode()

    def _list(self, query: dict[str, list[str]], now: float) -> bytes:
        limit, cursor = int(query["limit"][0]), query.get("pq")
        known = bisect_right(self.births, now)
        if "q" in query:
            numbers, rows = self.mine, self.mine_rows
            last = bisect_right(numbers, known - 1)
        else:
            numbers, rows, last = range(known), self.rows, known  # type: ignore[assignment]
        last = min(last, int(cursor[0])) if cursor else last
        page = numbers[max(0, last - limit) : last][::-1]
        items = ", ".join(rows[n][now >= self.fates[n].ends] for n in page)
        following = f'"{last - limit}"' if last > limit else "null"
        return f'{{"items": [{items}], "first": null, "next": {following}, "previous": null}}'.encode()


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1 for GETs on connections that stay open."""

    def __init__(self, runflow: Runflow) -> None:
        self._runflow = runflow
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            line = self._buffer[: self._buffer.index(b"\r\n")].decode()
            self._buffer = self._buffer[end + 4 :]
            status, body = self._runflow.answer(line.split(" ")[1])
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)  # type: ignore[attr-defined]


async def serve(scene: Scene) -> None:
    """Serve a scene; the port is the first line on stdout."""
    runflow = Runflow(scene)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(runflow), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Scene(**json.loads(sys.argv[1]))))
