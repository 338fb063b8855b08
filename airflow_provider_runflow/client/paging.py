# SPDX-License-Identifier: Apache-2.0
"""Going through lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_provider_runflow.client.wire import Item, Listing

# So many in a row end a list that never says that it has ended.
MAX_EMPTY_PAGES = 5


def every_item(read_page: Callable[[str | None], Listing[Item]]) -> Iterator[Item]:
    """
    Yield every item of a list, page after page; a page is read only when it is wanted.

    :param read_page: reads the page at a cursor; ``None`` is the first.
    """
    cursor: str | None = None
    seen: set[str] = set()
    empty = 0
    while empty < MAX_EMPTY_PAGES:
        page = read_page(cursor)
        yield from page.items
        if not page.next or page.next in seen:
            return
        # A filter that is applied after paging makes empty pages: an item may be on the next one.
        empty = 0 if page.items else empty + 1
        seen.add(page.next)
        cursor = page.next
