# SPDX-License-Identifier: Apache-2.0
"""The pictures of the documentation, from the screenshots that `make test-browser` leaves: `make screenshots`.

They are committed; whoever changes the *Pictures* page makes them anew and looks at them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
TAKEN = REPOSITORY / "build" / "screenshots"
SHOWN = REPOSITORY / "docs" / "screenshots"
#: Name in the documentation: the screenshot's name, from its test and its moment.
CHOSEN = {
    "contact-sheet": "contact-sheet",
}
QUALITY = 82


def main() -> int:
    """Convert them; 1 when one is missing."""
    missing = [name for name in CHOSEN.values() if not (TAKEN / f"{name}.png").exists()]
    if missing:
        print(f"screenshots: not in {TAKEN}: {', '.join(missing)}. Run make test-browser first.", file=sys.stderr)
        return 1
    SHOWN.mkdir(parents=True, exist_ok=True)
    for name, taken in CHOSEN.items():
        target = SHOWN / f"{name}.webp"
        with Image.open(TAKEN / f"{taken}.png") as picture:
            picture.convert("RGB").save(target, quality=QUALITY, method=6)
        print(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
