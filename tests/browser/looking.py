# SPDX-License-Identifier: Apache-2.0
"""Looking at a page until it shows something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(look: Callable[[], Any], page: Any = None, *, seconds: float = 20) -> Any:
    """Poll: the page's policy lets no one evaluate strings in it, Playwright's waiting functions included."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"it did not come in time; there is: {page_text(page)}"
        time.sleep(0.02)
    return found


def page_text(page: Any) -> str:
    return "" if page is None else str(page.locator("body").inner_text())[:1500]


def statuses(page: Any) -> list[str]:
    names = page.locator("article.card").evaluate_all("cards => cards.map((each) => each.className)")
    return [each.split(" ", 1)[1] for each in names]
