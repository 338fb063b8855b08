# SPDX-License-Identifier: Apache-2.0
"""benchmarks/tables.py: the page says what was measured."""

from __future__ import annotations

from typing import Any

from benchmarks import tables

MACHINE = {"cpus": 2, "python": "3.11.7", "system": "Linux x86_64"}
LAND: dict[str, Any] = {
    "latency_ms": {"loopback": 0},
    "load_average_before": 0.1,
    "machine": MACHINE,
    "rows": [
        {
            "network": "loopback",
            "way": "ours",
            "objects_per_second": 1234.56,
            "cpu_ms_per_object": 5.0,
            "rss_growth_mb": 0.0,
        }
    ],
}
PAGE = "before\n<!-- table: land -->\nold\n<!-- end of table -->\nafter\n"


def test_the_page_shows_the_results_that_are_committed() -> None:
    page = tables.PAGE.read_text()
    assert tables.written(page, tables.read_result) == page, "run `make bench-tables` and commit docs/performance.md"


def test_every_marker_of_the_page_is_a_table_that_can_be_made_and_each_table_has_its_place() -> None:
    assert sorted(found[2] for found in tables._MARKED.finditer(tables.PAGE.read_text())) == sorted(tables.TABLES)


def test_a_table_is_made_anew_and_what_stands_around_it_is_left_alone() -> None:
    page = tables.written(PAGE, lambda name: LAND)
    assert page.startswith("before\n<!-- table: land -->\n\n| network | way |")
    assert "| loopback (0 ms) | ours | 1,234.6 | 5.0 | 0.0 |" in page
    assert "Measured on 2 cores, Python 3.11.7, Linux x86_64; load average before: 0.1." in page
    assert page.endswith("<!-- end of table -->\nafter\n")
    assert "old" not in page


def test_what_was_not_measured_says_so_and_is_replaced_later() -> None:
    page = tables.written(PAGE, lambda name: None)
    assert "Not measured yet." in page
    assert "1,234.6" in tables.written(page, lambda name: LAND)


def test_making_a_page_twice_changes_nothing() -> None:
    once = tables.written(PAGE, lambda name: LAND)
    assert tables.written(once, lambda name: LAND) == once
