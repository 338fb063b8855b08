# SPDX-License-Identifier: Apache-2.0
"""What the Pictures page does with the API's answers, whatever their order and moment; time passes at a test's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.desk import PIXELS, Desk, Refuse, card, latest, sheet
from tests.browser.looking import statuses, until

pytestmark = pytest.mark.e2e

FOCUSED = "document.activeElement.closest('article')?.querySelector('.name').textContent"
NAVIGATION = "/runflow/pictures"


def names(page: Any) -> list[str]:
    return list(page.locator("article .name").all_inner_texts())


def offset(query: dict[str, str]) -> int:
    return int(query.get("offset", 0))


class TestPagesOfManyCards:
    def test_a_batch_that_ends_between_two_pages_is_shown_as_it_ended(self, desk: Desk) -> None:
        waiting = [card(f"{n:03}", "waiting") for n in range(250)]
        landed = [card(f"{n:03}") for n in range(250)]
        ended = False

        def tell(query: dict[str, str]) -> Any:
            nonlocal ended
            ended = ended or offset(query) > 0  # it ends after the first page is read
            return sheet(landed, start=offset(query)) if ended else sheet(waiting, moving=True, start=offset(query))

        desk.tell = tell
        page = desk.open()
        until(lambda: page.locator("#totals").inner_text() == "250 pictures", page)
        until(lambda: set(statuses(page)) == {"landed"}, page)
        assert [offset(query) for query in desk.asked] == [0, 200, 0, 200]

    def test_pages_that_never_agree_are_not_read_for_ever_but_looked_at_again(self, desk: Desk) -> None:
        looks = 0

        def tell(query: dict[str, str]) -> Any:
            nonlocal looks
            looks += 1
            return sheet([card(str(n)) for n in range(201)], start=offset(query), cost_usd=str(looks))

        desk.tell = tell
        desk.stop_the_clock()
        desk.open()
        desk.answer(6)
        assert desk.wait(3.9) == 0
        desk.tell = lambda query: sheet([card(str(n)) for n in range(201)], start=offset(query))
        assert desk.wait(0.2) > 0
        desk.answer(8)
        assert desk.wait(3600) == 0

    def test_what_two_pages_both_tell_is_shown_once(self, desk: Desk) -> None:
        cards = [card(f"{n:03}", "waiting") for n in range(201)]

        def tell(query: dict[str, str]) -> Any:
            start = offset(query)
            return (
                sheet(cards, moving=True)
                if not start
                else {**sheet(cards, moving=True, start=200), "cards": cards[150:]}
            )

        desk.tell = tell
        page = desk.open()
        desk.answer(2)
        assert page.locator("article .place").first.text_content() == ", 1 of 201"


class TestWhatChangesInPlace:
    def test_a_card_that_waits_becomes_its_picture_and_keeps_the_focus(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a", "waiting"), card("b", "waiting")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: statuses(page) == ["waiting", "waiting"])
        page.locator("article button.open").nth(1).focus()
        desk.tell = lambda query: sheet([card("a", "waiting"), card("b")], moving=True)
        desk.wait(4)
        assert statuses(page) == ["waiting", "landed"]
        assert page.evaluate(FOCUSED) == "b"
        page.keyboard.press("Enter")
        assert page.get_by_role("dialog").locator("h2").inner_text() == "b"
        page.keyboard.press("Escape")
        until(lambda: page.evaluate(FOCUSED) == "b", page)

    def test_the_card_of_a_whole_batch_gives_the_focus_to_the_first_of_its_items(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card(None, "waiting", count=3)], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: statuses(page) == ["waiting"])
        page.locator("article button.open").focus()
        desk.tell = lambda query: sheet([card(key) for key in "xyz"])
        desk.wait(4)
        assert names(page) == ["x", "y", "z"]
        assert page.evaluate(FOCUSED) == "x"

    def test_the_focus_of_a_card_that_is_gone_goes_to_the_sheet(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a", "waiting"), card("z", "waiting", task_id="other")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: len(statuses(page)) == 2)
        page.locator("article button.open").nth(1).focus()
        desk.tell = lambda query: sheet([card("a", "waiting")], moving=True)
        desk.wait(4)
        assert names(page) == ["a"]
        assert page.evaluate("document.activeElement.id") == "sheet"

    def test_what_was_chosen_to_compare_is_the_card_of_now(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a"), card("b"), card("c", "waiting")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: len(statuses(page)) == 3)
        for at in (0, 1):
            page.locator("article .pick input").nth(at).check()
        assert "a  ↔  b" in page.locator("#compare-bar").text_content()
        desk.tell = lambda query: sheet([card("a"), card("b", "failed"), card("c", "waiting")], moving=True)
        desk.wait(4)
        assert "a: choose one more" in page.locator("#compare-bar").text_content()

    def test_the_focus_on_a_dag_runs_link_stays_when_its_totals_change(self, desk: Desk) -> None:
        many = [card(f"s{n}") for n in range(30)]
        desk.tell = lambda query: latest({"shop": many}, moving=True)
        desk.stop_the_clock()
        page = desk.open(NAVIGATION)
        until(lambda: len(names(page)) > 1)
        page.locator(".group a").first.focus()
        link = page.evaluate("document.activeElement.textContent")
        desk.tell = lambda query: latest({"shop": [*many, card("new")]}, moving=True)
        desk.wait(4)
        until(lambda: "31" in page.locator(".group").first.text_content(), page)
        assert page.evaluate("document.activeElement.tagName") == "A"
        assert page.evaluate("document.activeElement.textContent").replace("31", "30") == link

    def test_a_refusal_that_may_pass_is_asked_again(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a", "waiting")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: statuses(page) == ["waiting"])

        def busy(query: dict[str, str]) -> Any:
            raise Refuse(429)

        desk.tell = busy
        desk.wait(4)
        assert statuses(page) == ["waiting"]
        desk.tell = lambda query: sheet([card("a")])
        desk.wait(15)
        assert statuses(page) == ["landed"]

    def test_a_look_that_finds_nothing_new_writes_nothing(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet(
            [card("a", "waiting"), card("b")], moving=True, troubles=["a: it cannot be read"]
        )
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: page.locator("#notices p").count() == 1)
        page.evaluate(
            """() => {
              window.written = [];
              new MutationObserver((all) => window.written.push(...all.map((each) => each.target.nodeName)))
                .observe(document.body, { subtree: true, childList: true, characterData: true });
            }"""
        )
        assert sum(desk.wait(4) for _ in range(3)) == 3
        assert page.evaluate("window.written") == []


class TestWhoMayNotLookAnyMore:
    @pytest.mark.parametrize(
        ("status", "told"),
        [
            (401, "You are signed out of Airflow"),
            (403, "You may not see the pictures of this DAG"),
            (404, "There is no such DAG run"),
        ],
    )
    def test_cards_full_view_and_what_was_chosen_to_compare_are_gone(self, desk: Desk, status: int, told: str) -> None:
        desk.tell = lambda query: sheet([card("a"), card("b", "waiting")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: len(statuses(page)) == 2)
        page.locator(".pick input").check()
        page.locator("article.landed button.open").click()
        page.get_by_role("dialog").wait_for()

        def refuse(query: dict[str, str]) -> Any:
            raise Refuse(status)

        desk.tell = refuse
        desk.wait(4)
        page.locator("#nothing").get_by_text(told).wait_for()
        assert told in page.locator("#announcer").text_content()  # nobody has to find it
        until(lambda: page.locator("dialog").count() == 0, page)
        assert page.locator("article, main img").count() == 0
        assert page.locator("#compare-bar").is_hidden()
        until(lambda: page.evaluate("document.activeElement.id") == "sheet", page)
        assert desk.wait(3600) == 0

    def test_an_error_of_the_server_is_told_and_passes(self, desk: Desk) -> None:
        def refuse(query: dict[str, str]) -> Any:
            raise Refuse(500)

        desk.tell = refuse
        desk.stop_the_clock()
        page = desk.open()
        page.locator("#nothing").get_by_text("The pictures cannot be loaded (500)").wait_for()
        assert page.locator("article").count() == 0
        desk.tell = lambda query: sheet([card("a", "waiting")], moving=True)
        desk.wait(15)
        assert names(page) == ["a"]
        assert page.locator("#nothing").count() == 0
        desk.tell = refuse
        desk.wait(4)
        assert "cannot be loaded (500)" in page.locator("#notices").inner_text()
        assert names(page) == ["a"]  # what was seen stays; it may be old, as the notice says
        desk.tell = lambda query: sheet([card("a")])
        desk.wait(15)
        assert page.locator("#notices p").count() == 0
        assert statuses(page) == ["landed"]


class TestHowOftenItAsks:
    def test_where_nothing_changes_each_pause_becomes_longer_up_to_a_minute(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a", "waiting")], moving=True)
        desk.stop_the_clock()
        desk.open()
        desk.answer(1)
        for pause in [4] * 16 + [8, 16, 32, 60, 60]:
            assert desk.wait(pause - 0.1) == 0
            assert desk.wait(0.1) == 1
        desk.tell = lambda query: sheet([card("a", "waiting", state="running")], moving=True)
        assert desk.wait(60) == 1
        assert desk.wait(4) == 1

    def test_a_dag_run_that_has_ended_is_not_asked_about_again(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a")])
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: names(page) == ["a"])
        desk.settle()
        assert desk.wait(3600) == 0
        desk.show(hidden=True)
        desk.show(hidden=False)
        assert desk.wait(3600) == 0

    def test_in_the_background_it_does_not_ask_and_when_it_is_seen_again_it_does_at_once(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a", "waiting")], moving=True)
        desk.stop_the_clock()
        page = desk.open()
        until(lambda: names(page) == ["a"])
        desk.settle()
        desk.show(hidden=True)
        assert desk.wait(3600) == 0
        desk.tell = lambda query: sheet([card("a")])
        desk.show(hidden=False)
        assert desk.wait(0.1) == 1
        assert statuses(page) == ["landed"]

    def test_a_dag_run_that_begins_later_appears_in_the_navigation_by_itself(self, desk: Desk) -> None:
        desk.tell = lambda query: latest({"shop": [card("a")]})
        desk.stop_the_clock()
        page = desk.open(NAVIGATION)
        until(lambda: names(page) == ["a"])
        desk.settle()
        assert desk.wait(29.9) == 0
        desk.tell = lambda query: latest({"fair": [card("n", "waiting")], "shop": [card("a")]}, moving=True)
        assert desk.wait(0.1) == 1
        assert names(page) == ["n", "a"]
        assert desk.wait(4) == 1  # something moves now


class TestFilters:
    def test_a_dag_that_is_chosen_while_an_older_question_is_open_is_the_one_that_is_shown(self, desk: Desk) -> None:
        both = latest({"fair": [card("f")], "shop": [card("s")]})
        desk.tell = lambda query: both
        page = desk.open(NAVIGATION)
        until(lambda: names(page) == ["f", "s"])
        desk.tell = lambda query: None
        page.locator("#filter-dag").select_option("fair")
        desk.hold()
        desk.tell = lambda query: latest({"shop": [card("s")]}, dag_ids=["fair", "shop"])
        page.locator("#filter-dag").select_option("shop")
        until(lambda: names(page) == ["s"], page)
        assert [query.get("dag_id") for query in desk.asked] == [None, "fair", "shop"]
        desk.held[0].abort()
        page.locator("#filter-text").fill("picture")
        until(lambda: names(page) == ["s"], page)

    def test_what_is_typed_while_a_question_is_open_counts_when_its_answer_comes(self, desk: Desk) -> None:
        desk.tell = lambda query: latest({"fair": [card("f"), card("g")], "shop": [card("s")]})
        page = desk.open(NAVIGATION)
        until(lambda: names(page) == ["f", "g", "s"])
        desk.tell = lambda query: None
        page.locator("#filter-dag").select_option("fair")
        desk.hold()
        page.locator("#filter-text").fill("of g")
        desk.give(desk.held[0], latest({"fair": [card("f"), card("g")]}, dag_ids=["fair", "shop"]))
        until(lambda: names(page) == ["g"], page)

    def test_task_and_model_choose_cards_and_clearing_them_leads_to_the_search_field(self, desk: Desk) -> None:
        flux = "black-forest-labs/flux-1.1-pro"
        desk.tell = lambda query: sheet([card("a"), card("b", task_id="other"), card("c", model=flux)])
        page = desk.open()
        until(lambda: len(names(page)) == 3)
        page.locator("#filter-task").select_option("other")
        until(lambda: names(page) == ["b"], page)
        page.locator("#filter-task").select_option("")
        page.locator("#filter-model").select_option(flux)
        until(lambda: names(page) == ["c"], page)
        page.get_by_role("button", name="Clear filters").click()
        until(lambda: len(names(page)) == 3, page)
        assert page.evaluate("document.activeElement.id") == "filter-text"
        page.locator("#filter-text").fill("no such words")
        page.get_by_text("No picture of this DAG run fits these filters.").wait_for()
        page.locator("#nothing button").click()
        until(lambda: len(names(page)) == 3, page)
        assert page.evaluate("document.activeElement.id") == "filter-text"

    def test_newest_and_oldest_first_go_by_the_end_of_the_task(self, desk: Desk) -> None:
        times = {"a": "2026-01-01T10:00:00+00:00", "b": "2026-01-03T10:00:00+00:00", "c": "2026-01-02T12:00:00+02:00"}
        desk.tell = lambda query: sheet([card(key, ended_at=ended) for key, ended in times.items()])
        page = desk.open()
        until(lambda: names(page) == ["a", "b", "c"])
        page.locator("#filter-sort").select_option("newest")
        until(lambda: names(page) == ["b", "c", "a"], page)
        page.locator("#filter-sort").select_option("oldest")
        until(lambda: names(page) == ["a", "c", "b"], page)

    def test_a_search_that_finds_nothing_says_what_was_searched(self, desk: Desk) -> None:
        desk.tell = lambda query: latest({"fair": [card("f")], "shop": [card(f"s{n}") for n in range(30)]})
        page = desk.open(NAVIGATION)
        until(lambda: len(names(page)) > 1)
        page.locator("#filter-text").fill("no such words")
        page.get_by_text("Searched: the latest 2 DAG runs with pictures (of fair, shop).").wait_for()
        assert "Of one of them only the first 24 cards are here" in page.locator("#nothing").inner_text()


class TestDownload:
    def saved(self, page: Any, click: Any) -> tuple[str, bytes]:
        with page.expect_download() as waiting:
            click()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    @pytest.mark.parametrize("where", ["/runflow/pictures", "/runflow/frame"])
    def test_it_saves_the_bytes_by_itself_and_in_a_frame_that_allows_no_downloads(self, desk: Desk, where: str) -> None:
        desk.tell = lambda query: sheet([card("a")])
        page = desk.open(f"{where}?dag_id=shop&run_id=one")
        view = page.frame_locator("iframe") if "frame" in where else page
        view.locator("article button.open").click()
        link = view.get_by_role("link", name="Download")
        assert self.saved(page, link.click) == ("picture.png", PIXELS)

    def test_the_identity_that_is_kept_in_the_page_goes_with_it(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet([card("a")])
        desk.context.add_init_script("localStorage.setItem('token', 'of-ada')")
        carried: list[str | None] = []
        page = desk.open()
        page.on("request", lambda asked: "download" in asked.url and carried.append(asked.headers.get("authorization")))
        page.locator("article button.open").click()
        assert self.saved(page, page.get_by_role("link", name="Download").click) == ("picture.png", PIXELS)
        assert carried == ["Bearer of-ada"]

    def test_a_refusal_is_told_beside_it_and_the_page_stays(self, desk: Desk) -> None:
        desk.tell = lambda query: sheet(
            [card("a", derivatives=[{"name": "feed.jpg", "sha256": "0" * 64, "uri": "s3://b/f"}])]
        )
        page = desk.open()
        page.locator("article button.open").click()
        desk.refuse_pictures = Refuse(404, "The picture is not there any more.")
        page.get_by_role("link", name="feed.jpg").click()
        page.get_by_role("dialog").get_by_text("The picture is not there any more.").wait_for()
