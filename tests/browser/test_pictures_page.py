# SPDX-License-Identifier: Apache-2.0
"""The Pictures page as people use it: in a real Airflow, in a real browser."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_runflow.landing.manifest import name_of_run
from tests.browser.conftest import Gallery
from tests.browser.looking import statuses, until

pytestmark = pytest.mark.e2e
Shot = Callable[[Any, str], Any]


LIVE = "live_campaign"


def live(gallery: Gallery) -> None:
    """There is a run of the live campaign, and it has ended."""
    api = gallery.table.airflow.api
    if LIVE not in gallery.runs:
        api.wait_for_dags([LIVE])
        gallery.runs[LIVE] = api.trigger(LIVE)
    assert api.wait_for_run(LIVE, gallery.runs[LIVE], seconds=240, watch=gallery.table.airflow.check) == "success"


def names(page: Any) -> list[str]:
    return list(page.locator("article .name").all_inner_texts())


def all_loaded(page: Any) -> bool:
    images = page.locator("article img")
    return images.count() > 0 and all(
        image.evaluate("image => image.complete && image.naturalWidth > 0") for image in images.all()
    )


class TestInAirflow:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_navigation_dag_run_and_task_instance_show_them(
        self, gallery: Gallery, shot: Shot, theme: str, width: int
    ) -> None:
        tabs = {
            "nav": f"{gallery.table.url}/plugin/runflow-pictures",
            "run": gallery.run_tab(),
            "task": gallery.task_tab("catalogue"),
            "mapped": gallery.task_tab("variant/mapped/1"),
        }
        page = gallery.page(theme=theme, width=width)
        for name, address in tabs.items():
            if name != "nav" and width == 390 and airflow.__version__.startswith("3.1."):
                continue  # its own header and grid leave a tab no height on so narrow a screen
            page.goto(address)
            frame = page.frame_locator("iframe")
            frame.locator("article").first.wait_for(timeout=30_000)
            page.wait_for_timeout(700)
            assert frame.locator("html").get_attribute("data-theme") == theme
            shot(page, name)
        assert page.strangers == []

    def test_the_way_to_the_log_leaves_the_frame(self, gallery: Gallery) -> None:
        page = gallery.page()
        page.goto(gallery.task_tab("catalogue"))
        frame = page.frame_locator("iframe")
        frame.locator("article.landed button.open").first.click(timeout=30_000)
        frame.get_by_role("link", name="Log of the task").click()
        page.wait_for_url("**/tasks/catalogue", timeout=15_000)


class TestTheSheet:
    def test_landed_blocked_and_failed_ones_are_there_with_reasons_and_totals(
        self, gallery: Gallery, shot: Shot
    ) -> None:
        page = gallery.page()
        page.goto(gallery.address())
        until(lambda: all_loaded(page), page)
        text = page.locator("#totals").inner_text()
        assert text.startswith("16 pictures · 2 blocked · 1 failed · $0.2")
        assert "rejected by the content policy" in page.locator("article.blocked").first.inner_text()
        shot(page, "top")
        page.locator("#filter-status").select_option("failed")
        until(lambda: statuses(page) == ["failed"])
        assert "image_size='99999x10'" in page.locator("article.failed").inner_text()
        shot(page, "failed")
        assert page.complaints == []

    def test_a_prompt_is_text_whatever_it_holds(self, gallery: Gallery) -> None:
        page = gallery.page()
        page.goto(gallery.address())
        page.locator("#filter-text").fill("<script>")
        until(lambda: len(statuses(page)) == 1)
        assert "<script>alert(1)</script>" in page.locator("article").inner_text()
        assert page.locator("article script").count() == 0

    def test_a_run_id_that_airflow_has_not_encoded_is_found(self, gallery: Gallery) -> None:
        page = gallery.page()
        assert "+" in gallery.runs["light_table"]
        page.goto(gallery.address().replace("%2B", "+"))  # as the tabs of Airflow 3.1 have it
        until(lambda: all_loaded(page), page)

    def test_what_waits_is_shown_live_and_the_page_asks_seldom(self, gallery: Gallery, shot: Shot) -> None:
        page = gallery.page()
        asked: list[float] = []
        page.on("request", lambda request: "/api/dags/" in request.url and asked.append(time.monotonic()))
        page.goto(gallery.address("slow_campaign"))
        # The single picture, and each item of the batch; of the cards, those near the screen exist.
        until(lambda: "21 waiting" in page.locator("#totals").inner_text(), page)
        assert set(statuses(page)) == {"waiting"}
        shot(page, "waiting")
        page.wait_for_timeout(9000)
        assert 2 <= len(asked) <= 4
        assert min(later - earlier for earlier, later in pairwise(asked)) > 3.5

    def test_a_page_on_which_nothing_moves_asks_once(self, gallery: Gallery) -> None:
        page = gallery.page()
        asked: list[str] = []
        page.on("request", lambda request: "/api/dags/" in request.url and asked.append(request.url))
        page.goto(gallery.address())
        page.wait_for_timeout(9000)
        assert len(asked) == 1

    def test_filters_search_and_sorting(self, gallery: Gallery, shot: Shot) -> None:
        page = gallery.page()
        page.goto(gallery.address())
        until(lambda: page.locator("article").count() > 10)
        page.locator("#filter-label").select_option("locale: de")
        until(lambda: len(statuses(page)) == 4)
        page.locator("#filter-text").fill("teapot studio")
        until(lambda: len(statuses(page)) == 1)
        shot(page, "one")
        page.locator("#filter-text").fill("no such words")
        page.get_by_text("Nothing fits").wait_for()
        shot(page, "none")
        page.locator("#nothing button").click()
        page.locator("#filter-sort").select_option("dearest")
        until(lambda: "hero" in page.locator("article").first.inner_text())

    def test_the_keyboard_is_enough(self, gallery: Gallery, shot: Shot) -> None:
        page = gallery.page()
        page.goto(gallery.address())
        until(lambda: all_loaded(page), page)
        page.locator("article button.open").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        focused = "document.activeElement.closest('article')?.dataset.at"
        assert page.evaluate(focused) == "2"
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        first = dialog.locator("h2").inner_text()
        page.keyboard.press("ArrowRight")
        assert dialog.locator("h2").inner_text() != first
        page.keyboard.press("Escape")
        until(lambda: dialog.count() == 0)
        until(lambda: page.evaluate(focused) == "3", page)  # the browser itself first goes back to where it came from
        page.keyboard.press("c")
        page.keyboard.press("End")
        page.keyboard.press("Home")
        page.keyboard.press("c")
        shot(page, "chosen")
        page.get_by_role("button", name="Compare", exact=True).click()
        until(lambda: page.locator("dialog.compare img").count() == 2)
        assert page.locator("dialog.compare tr.differs").count() > 1
        shot(page, "compared")

    def test_the_full_view_holds_everything_and_no_address_that_could_be_opened_elsewhere(
        self, gallery: Gallery, shot: Shot
    ) -> None:
        page = gallery.page()
        page.goto(gallery.address())
        page.locator("article.landed button.open").first.click()
        dialog = page.get_by_role("dialog")
        dialog.locator("img.full").wait_for()
        dialog.locator("summary").click()
        until(lambda: "trainedAlgorithmicMedia" in dialog.inner_text())
        text = dialog.inner_text()
        for told in ("sha256", "s3://brand-assets/", "Cup on linen", "$0.009", "GPT Image 2", "768 \u00d7 1024"):
            assert told in text
        assert "X-Amz" not in page.content()
        assert "Signature" not in page.content()
        shot(page, "full")

    def test_a_dag_run_without_pictures_and_one_that_is_not_there_say_so(self, gallery: Gallery, shot: Shot) -> None:
        page = gallery.page()
        page.goto(gallery.address("empty_campaign"))
        page.get_by_text("No pictures yet").wait_for()
        shot(page, "empty")
        page.goto(f"{gallery.table.url}/runflow/pictures?dag_id=light_table&run_id=nowhere")
        page.locator("#nothing").get_by_text("There is no such DAG run").wait_for()
        shot(page, "nowhere")

    def test_who_may_not_see_them_is_told_and_sees_nothing(self, gallery: Gallery, shot: Shot) -> None:
        page = gallery.page("eve")
        page.goto(gallery.address("secret_campaign"))
        page.locator("#nothing").get_by_text("You may not see the pictures of this DAG").wait_for()
        assert page.locator("article, img").count() == 0
        shot(page, "eve")
        page.context.clear_cookies()
        page.goto(gallery.address("secret_campaign"))
        page.locator("#nothing").get_by_text("You are signed out").wait_for()
        shot(page, "signed-out")


class TestACampaignThatGoesOn:
    """`live_campaign`: a poster by GPT Image 2, with a derivative, and a sketch by FLUX."""

    def test_a_picture_that_lands_takes_the_place_of_its_waiting_card_before_somebodys_eyes(
        self, gallery: Gallery
    ) -> None:
        api = gallery.table.airflow.api
        api.wait_for_dags([LIVE])
        gallery.runs[LIVE] = api.trigger(LIVE)
        page = gallery.page()
        page.goto(gallery.address(LIVE, task_id="poster"))
        until(lambda: statuses(page) == ["waiting"], page, seconds=120)
        page.locator("article button.open").focus()
        page.evaluate("() => { window.sameOne = true; }")
        until(lambda: statuses(page) == ["landed"], page, seconds=240)
        until(lambda: all_loaded(page), page)
        assert page.evaluate("window.sameOne") is True
        assert page.evaluate("document.activeElement.closest('article').className") == "card landed"
        assert page.locator("#totals").inner_text().startswith("1 picture")
        assert page.complaints == []

    def test_dag_task_and_model_choose_what_is_shown(self, gallery: Gallery) -> None:
        live(gallery)
        page = gallery.page()
        page.goto(f"{gallery.table.url}/runflow/pictures")
        until(lambda: page.locator("article").count() > 2)
        page.locator("#filter-dag").select_option(LIVE)
        until(lambda: names(page) == ["poster", "sketch"], page)
        page.goto(gallery.address(LIVE))
        until(lambda: names(page) == ["poster", "sketch"], page)
        page.locator("#filter-task").select_option("poster")
        until(lambda: names(page) == ["poster"], page)
        page.locator("#filter-task").select_option("")
        page.locator("#filter-model").select_option("black-forest-labs/flux-1-1-pro")
        until(lambda: names(page) == ["sketch"], page)

    def test_sorted_by_time_the_task_that_ended_last_comes_first_or_last(self, gallery: Gallery) -> None:
        live(gallery)
        api = gallery.table.airflow.api
        ended = {task: api.instance(LIVE, gallery.runs[LIVE], task)["end_date"] for task in ("poster", "sketch")}
        page = gallery.page()
        page.goto(gallery.address(LIVE))
        page.locator("#filter-sort").select_option("newest")
        until(lambda: names(page) == sorted(ended, key=lambda task: ended[task], reverse=True), page)
        page.locator("#filter-sort").select_option("oldest")
        until(lambda: names(page) == sorted(ended, key=lambda task: ended[task]), page)

    def test_the_full_view_has_the_derivative_and_saves_it(self, gallery: Gallery) -> None:
        from PIL import Image

        live(gallery)
        page = gallery.page()
        page.goto(gallery.address(LIVE, task_id="poster"))
        page.locator("article.landed button.open").click()
        derivative = page.get_by_role("dialog").locator(".derivatives li")
        assert "600 \u00d7 300" in derivative.inner_text()
        with page.expect_download() as saving:
            derivative.get_by_role("link", name="newsletter").click()
        assert saving.value.suggested_filename.endswith(".webp")
        with Image.open(saving.value.path()) as image:
            assert (image.format, image.size) == ("WEBP", (600, 300))

    def test_download_saves_the_untouched_bytes_from_the_tab_in_airflow(self, gallery: Gallery) -> None:
        live(gallery)
        page = gallery.page()
        page.goto(gallery.task_tab("poster", LIVE))
        frame = page.frame_locator("iframe")
        frame.locator("article.landed button.open").click(timeout=30_000)
        with page.expect_download() as saving:
            frame.get_by_role("link", name="Download").click()
        digest = hashlib.sha256(Path(saving.value.path()).read_bytes()).hexdigest()
        assert digest in frame.get_by_role("dialog").inner_text()

    def test_the_address_is_copied_and_that_is_said(self, gallery: Gallery) -> None:
        live(gallery)
        page = gallery.page()
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(gallery.address(LIVE, task_id="poster"))
        page.locator("article.landed button.open").click()
        page.get_by_role("button", name="Copy: Address").click()
        until(lambda: page.locator("#announcer").text_content() == "Copied", page)
        copied = page.evaluate("() => navigator.clipboard.readText()")
        assert copied.startswith("s3://brand-assets/light_table/")
        assert copied in page.get_by_role("dialog").inner_text()


class TestAccessibility:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_axe_finds_nothing_serious(self, gallery: Gallery, theme: str, width: int) -> None:
        from axe_playwright_python.sync_playwright import Axe

        page = gallery.page(theme=theme, width=width)
        page.goto(gallery.address())
        until(lambda: all_loaded(page), page)
        found = {"sheet": serious(Axe().run(page))}
        page.locator("article.landed button.open").first.click()
        page.get_by_role("dialog").locator("img.full").wait_for()
        found["full"] = serious(Axe().run(page))
        page.keyboard.press("Escape")
        for index in (0, 2):
            page.locator("article.landed .pick input").nth(index).check()
        page.get_by_role("button", name="Compare", exact=True).click()
        until(lambda: page.locator("dialog.compare img").count() == 2)
        found["compare"] = serious(Axe().run(page))
        assert found == {"sheet": [], "full": [], "compare": []}


def serious(results: Any) -> list[str]:
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in results.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def test_two_thousand_pictures_scroll_smoothly(gallery: Gallery, shot: Shot) -> None:
    fill(gallery, 2000)
    page = gallery.page()
    page.goto(gallery.address(task_id="catalogue", map_index=-1))  # the API server reads the manifest
    until(lambda: page.locator("article").count() > 0, page)
    page.goto("about:blank")
    began = time.monotonic()
    page.goto(gallery.address(task_id="catalogue", map_index=-1), wait_until="commit")
    page.locator("article").first.wait_for()
    first = time.monotonic() - began
    until(lambda: all_loaded(page), page)
    assert "2,000 pictures" in page.locator("#totals").inner_text()
    page.wait_for_timeout(500)
    page.evaluate("() => { window.longTasks.length = 0; }")
    page.evaluate(
        """async () => {
          for (let step = 0; step < 150; step += 1) {
            window.scrollBy(0, 300);
            await new Promise((done) => requestAnimationFrame(done));
          }
        }"""
    )
    page.wait_for_timeout(500)
    longest = max(page.evaluate("() => window.longTasks"), default=0)
    print(f"first contact sheet {first:.2f} s, longest task while scrolling {longest:.0f} ms")
    assert page.locator("article").count() < 80
    shot(page, "scrolled")
    # What the page promises on a machine of its own; where others work, too, each second is shared.
    share = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert first < 1.5 * share
    assert longest < 200 * share


def fill(gallery: Gallery, count: int) -> None:
    """Lets the task `catalogue` have landed many pictures: fifty different ones, under many keys."""
    from PIL import Image

    run = gallery.runs["light_table"]
    images = []
    for number in range(50):
        out = io.BytesIO()
        Image.new("RGB", (1024, 1024), (number * 5, 255 - number * 5, 120)).save(out, "PNG")
        gallery.table.put(f"many/{number}.png", out.getvalue())
        digest = hashlib.sha256(out.getvalue()).hexdigest()
        facts = {"index": 0, "content_type": "image/png", "width": 1024, "height": 1024}
        size = {"size_bytes": len(out.getvalue()), "sha256": digest}
        images.append({**facts, **size, "uri": f"s3://brand-assets/many/{number}.png"})
    rows = [
        {
            "schema_version": 1,
            "key": f"item-{number:04}",
            "outcome": "succeeded",
            "model": "openai/gpt-image-2",
            "prompt": f"Picture {number} of a large campaign",
            "labels": {"locale": "en"},
            "cost_usd": "0.009",
            "images": [images[number % 50]],
        }
        for number in range(count)
    ]
    name = name_of_run({"dag_id": "light_table", "run_id": run, "task_id": "catalogue"})
    gallery.table.put(f"many/{name}", "".join(json.dumps(row) + "\n" for row in rows).encode())
    result = {"schema_version": 1, "cost_usd": "18.00", "manifest_uri": f"s3://brand-assets/many/{name}"}
    # Not by the REST API: that of Airflow 3.1 writes a changed XCom as JSON within JSON.
    database = sqlite3.connect(gallery.table.airflow.home / "airflow.db", timeout=30)
    with contextlib.closing(database), database:
        changed = database.execute(
            "UPDATE xcom SET value = ?, timestamp = ? WHERE run_id = ? AND task_id = ? AND key = 'return_value'",
            (json.dumps(result), datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f"), run, "catalogue"),
        )
        assert changed.rowcount == 1
