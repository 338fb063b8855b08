# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, read as their readers do: blocks of code, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_BLOCK = re.compile(r"^```(?P<kind>[^\n`]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}:{self.kind}"


def blocks(*kinds: str) -> list[Block]:
    """All blocks of some kinds, in the order of pages."""
    return [block for page in PAGES for block in _blocks_of(page) if block.kind in kinds]


def kinds() -> set[str]:
    """Every kind of block that there is."""
    return {block.kind for page in PAGES for block in _blocks_of(page)}


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["kind"].strip(), found["text"])


def links() -> list[tuple[Path, str]]:
    """Every link outside of blocks of code."""
    return [(page, found["target"]) for page in PAGES for found in _LINK.finditer(_BLOCK.sub("", page.read_text()))]


def anchors(page: Path) -> set[str]:
    """The names under which headings can be linked to, as GitHub and the built pages make them."""
    headings = _HEADING.findall(_BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
