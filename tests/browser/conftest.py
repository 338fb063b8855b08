# SPDX-License-Identifier: Apache-2.0
"""A real Airflow with DAG runs in every state, and the system's Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.browser.desk import Desk
from tests.e2e.light_table.surroundings import REPOSITORY, LightTable, light_table, token

try:
    from playwright.sync_api import sync_playwright
except ImportError:  # `make test-browser` brings it
    sync_playwright = None

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((each) => window.longTasks.push(each.duration)))
  .observe({ entryTypes: ["longtask"] });
"""


@dataclass
class Gallery:
    """What there is to look at, and a browser to look with."""

    table: LightTable
    browser: Any
    runs: dict[str, str]

    def page(self, who: str = "ada", *, theme: str = "light", width: int = 1280) -> Any:
        """A page of a person who is logged in; whatever its console complains of is in `page.complaints`."""
        height = 860 if width > 600 else 844
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": token(self.table.url, who), "url": self.table.url}])
        context.add_init_script(LONG_TASKS)
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and page.complaints.append(line.text))
        page.strangers = []
        here = (self.table.url, "data:", "blob:")
        page.on("request", lambda asked: asked.url.startswith(here) or page.strangers.append(asked.url))
        return page

    def address(self, dag_id: str = "light_table", **more: Any) -> str:
        """The page by itself, of one DAG run."""
        query = urlencode({"dag_id": dag_id, "run_id": self.runs[dag_id], **more}, quote_via=quote)
        return f"{self.table.url}/runflow/pictures?{query}"

    def run_tab(self, dag_id: str = "light_table") -> str:
        """The tab in Airflow's own UI."""
        run = quote(self.runs[dag_id], safe="")
        return f"{self.table.url}/dags/{dag_id}/runs/{run}/plugin/runflow-pictures-run"

    def task_tab(self, task: str, dag_id: str = "light_table") -> str:
        run = quote(self.runs[dag_id], safe="")
        return f"{self.table.url}/dags/{dag_id}/runs/{run}/tasks/{task}/plugin/runflow-pictures-task"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if sync_playwright is None:
        pytest.skip("there is no Playwright here: make test-browser")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium, or CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def gallery(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    with light_table(tmp_path_factory.mktemp("gallery")) as table:
        api = table.airflow.api
        dags = ["light_table", "slow_campaign", "secret_campaign", "empty_campaign"]
        api.wait_for_dags(dags)
        runs = {dag_id: api.trigger(dag_id) for dag_id in dags}
        for dag_id in ("light_table", "secret_campaign", "empty_campaign"):
            api.wait_for_run(dag_id, runs[dag_id], seconds=400, watch=table.airflow.check)
        yield Gallery(table, browser, runs)


@pytest.fixture
def desk(browser: Any) -> Iterator[Desk]:
    laid = Desk(browser)
    yield laid
    laid.context.close()


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Any, str], Path]:
    """Keeps what a page looks like, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    test = re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")

    def take(page: Any, name: str) -> Path:
        path = SCREENSHOTS / f"{test}--{name}.png"
        page.screenshot(path=str(path))
        return path

    return take


def pytest_report_header() -> str:
    return f"browser: {CHROMIUM or 'none'}, screenshots: {SCREENSHOTS.relative_to(REPOSITORY)}"
