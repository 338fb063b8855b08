# SPDX-License-Identifier: Apache-2.0
"""The page without an Airflow: the files that ship, with the headers that they ship with; a test answers as the API."""

from __future__ import annotations

import hashlib
import io
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_runflow.plugins import headers
from tests.browser.looking import until

STATIC = Path(headers.__file__).parent / "static"
SECURE = {name.decode(): value.decode() for name, value in headers.HEADERS.items()}
# A secure context, as browsers see it, on which nothing listens: every request is answered here.
ORIGIN = "http://localhost:9"
RUN = {"dag_id": "shop", "run_id": "one"}
# Counts the answers that the page has not yet dealt with.
COUNTING = """
window.unsettled = 0;
const ask = window.fetch;
const later = () => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = done;
  port2.postMessage(0);
});
window.fetch = async (...given) => {
  window.unsettled += 1;
  try {
    const response = await ask(...given);
    await response.clone().blob();
    return response;
  } finally {
    later().then(later).then(() => { window.unsettled -= 1; });
  }
};
"""


class Refuse(Exception):
    """The API answers with an error."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status


def card(key: str | None = None, status: str = "landed", **more: Any) -> dict[str, Any]:
    """A card as the API gives it; each landed picture has a hash of its own."""
    facts = {
        **RUN,
        "task_id": "hero",
        "map_index": -1,
        "key": key,
        "status": status,
        "state": "success" if status == "landed" else "deferred",
        "index": None,
        "model": "openai/gpt-image-2",
        "prompt": f"Picture of {key}",
        "labels": {},
        "cost_usd": None,
    }
    if status == "landed":
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        image = {"sha256": digest, "uri": f"s3://bucket/{key}.png", "width": 32, "height": 32, "size_bytes": 99}
        facts.update(index=0, in_run=1, cost_usd="0.01", derivatives=[], **image)
    return {**facts, **more}


def sheet(cards: list[dict[str, Any]], *, moving: bool = False, start: int = 0, **more: Any) -> dict[str, Any]:
    """What the API tells of a DAG run, from `start` on 200 cards at a time."""
    counts: dict[str, int] = {}
    for each in cards:
        counts[each["status"]] = counts.get(each["status"], 0) + each.get("count", 1)
    end = start + 200
    run = {**RUN, "state": "running" if moving else "success", "run_after": "2026-01-01T00:00:00+00:00"}
    return {
        "run": {**run, "started_at": None, "ended_at": None},
        "counts": counts,
        "cost_usd": None,
        "moving": moving,
        "troubles": [],
        "total": len(cards),
        "next": end if end < len(cards) else None,
        "cards": cards[start:end],
        **more,
    }


def latest(runs: dict[str, list[dict[str, Any]]], *, moving: bool = False, **more: Any) -> dict[str, Any]:
    """What the API tells of the latest DAG runs, one for each DAG."""
    told = []
    for dag_id, cards in runs.items():
        own = [{**each, "dag_id": dag_id} for each in cards]
        facts = sheet(own, moving=moving)
        told.append({**facts["run"], "dag_id": dag_id, **facts, "cards": own[:24]})
    return {"runs": told, "dag_ids": sorted(runs), "moving": moving, "troubles": [], **more}


class Desk:
    """
    A page, and its API in the hands of a test.

    `tell(query)` returns what the API answers, raises `Refuse`, or returns None: then the question waits in `held`.
    """

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 860})
        self.context.add_init_script(COUNTING)
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.asked: list[dict[str, str]] = []
        self.held: list[Any] = []
        self.tell: Callable[[dict[str, str]], Any] = lambda query: sheet([])
        self.refuse_pictures: Refuse | None = None
        self.saved: list[str] = []

    def open(self, path: str = "/runflow/pictures?dag_id=shop&run_id=one") -> Any:
        self.page.goto(ORIGIN + path)
        return self.page

    def stop_the_clock(self) -> None:
        """From now on time passes by `wait` alone."""
        self.page.clock.install(time=0)
        self.page.clock.pause_at(1000)

    def wait(self, seconds: float) -> int:
        """Let time pass; tell how often the page asked meanwhile."""
        before = len(self.asked)
        self.page.clock.run_for(round(seconds * 1000))
        self.settle()
        return len(self.asked) - before

    def settle(self) -> None:
        """Wait until the page has dealt with every answer."""
        until(lambda: self.page.evaluate("window.unsettled") == 0)

    def answer(self, count: int) -> None:
        """Wait until the page has asked so often in all, and has dealt with the answers."""
        until(lambda: self.page.evaluate("window.unsettled") == 0 and len(self.asked) >= count, self.page)

    def hold(self) -> None:
        """Wait until a question is held."""
        until(lambda: self.page.evaluate("window.unsettled") > 0 and self.held, self.page)

    def show(self, *, hidden: bool) -> None:
        """Put the browser's tab into the background, or back."""
        self.page.evaluate(
            """(hidden) => {
              Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )

    def give(self, route: Any, told: Any) -> None:
        """Answer a question as the API does, with 304 when the page has this very answer."""
        body = json.dumps(told)
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        if route.request.headers.get("if-none-match") == tag:
            route.fulfill(status=304, headers={"ETag": tag})
        else:
            route.fulfill(status=200, headers={**SECURE, "ETag": tag, "content-type": "application/json"}, body=body)

    def _answer(self, route: Any) -> None:
        address = urlsplit(route.request.url)
        path = address.path.removeprefix("/runflow")
        if path.startswith("/api/"):
            self._ask(route, {name: values[0] for name, values in parse_qs(address.query).items()})
        elif path.startswith("/dags/"):
            self._picture(route)
        elif path == "/frame":
            # The sandbox of Airflow 3.1 and 3.2.
            frame = f'<iframe sandbox="allow-scripts allow-same-origin allow-forms" src="pictures?{address.query}"'
            route.fulfill(content_type="text/html", body=f'{frame} width="1200" height="800"></iframe>')
        else:
            file = STATIC / ("index.html" if path == "/pictures" else Path(path).name)
            kind = mimetypes.guess_type(file.name)[0] or "text/plain"
            route.fulfill(status=200, headers={**SECURE, "content-type": kind}, body=file.read_bytes())

    def _ask(self, route: Any, query: dict[str, str]) -> None:
        self.asked.append(query)
        try:
            told = self.tell(query)
        except Refuse as error:
            route.fulfill(status=error.status, content_type="application/json", body=json.dumps({"detail": str(error)}))
            return
        if told is None:
            self.held.append(route)
        else:
            self.give(route, told)

    def _picture(self, route: Any) -> None:
        if self.refuse_pictures is not None:
            told = json.dumps({"detail": str(self.refuse_pictures)})
            route.fulfill(status=self.refuse_pictures.status, content_type="application/json", body=told)
            return
        name = {"Content-Disposition": 'attachment; filename="picture.png"'}
        route.fulfill(status=200, headers={**SECURE, **name, "content-type": "image/png"}, body=PIXELS)


def _pixels() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 90, 40)).save(out, "PNG")
    return out.getvalue()


PIXELS = _pixels()
