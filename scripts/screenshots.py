# SPDX-License-Identifier: Apache-2.0
"""`make screenshots`: what the browser tests saw, as the pictures of the documentation (docs/screenshots)."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TAKEN = ROOT / "build" / "screenshots"
SHOWN = ROOT / "docs" / "screenshots"
#: The page's picture, and the one screenshot that it is made from.
WANTED = {
    "dag-run": "navigation_*1280-light--run.png",
    "dark": "navigation_*1280-dark--task.png",
    "narrow": "navigation_*390-light--nav.png",
    "full": "*--full.png",
    "compare": "*--compared.png",
    "waiting": "*--waiting.png",
}
QUALITY = 85


def main() -> int:
    """Make them all; 1 when one of the screenshots is missing."""
    try:
        made = make(TAKEN, SHOWN)
    except FileNotFoundError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(f"screenshots: {path.relative_to(ROOT)}, {path.stat().st_size // 1024} KiB")
    return 0


def make(taken: Path, shown: Path) -> list[Path]:
    """
    Convert the wanted screenshots; nothing is written unless all of them are there.

    :raises FileNotFoundError: there is not exactly one screenshot for a picture.
    """
    sources = {name: _only(taken, pattern) for name, pattern in WANTED.items()}
    shown.mkdir(parents=True, exist_ok=True)
    return [_convert(source, shown / f"{name}.webp") for name, source in sources.items()]


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(f"one screenshot like {pattern} is wanted in {folder}, found: {names}")
    return found[0]


def _convert(source: Path, target: Path) -> Path:
    with Image.open(source) as picture:
        picture.convert("RGB").save(target, "WEBP", quality=QUALITY, method=6)
    return target


if __name__ == "__main__":
    sys.exit(main())
