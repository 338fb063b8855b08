# SPDX-License-Identifier: Apache-2.0
"""What `make matrix` came to: a table, and every reason for which a test was skipped, with where that was.

python -m scripts.matrix_report build/matrix
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree.ElementTree import parse


def main(folder: Path) -> int:
    """Print it; 1 when a test failed, or when nothing ran."""
    reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    failures = 0
    files = sorted(
        folder.glob("*.xml"), key=lambda path: [int(part) for part in path.stem.replace("-", ".").split(".")]
    )
    print("| Python | Airflow | passed | skipped | failed | s |\n|---|---|---|---|---|---|")
    for path in files:
        python, _, airflow = path.stem.partition("-")
        suite = next(parse(path).getroot().iter("testsuite"))  # noqa: S314 - written by our own pytest
        total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failures += failed
        seconds = float(suite.get("time", 0))
        print(f"| {python} | {airflow} | {total - skipped - failed} | {skipped} | {failed} | {seconds:.0f} |")
        for skip in suite.iter("skipped"):
            reasons[str(skip.get("message"))][path.stem] += 1
    for reason, places in sorted(reasons.items()):
        print(f"skipped: {reason} ({', '.join(f'{count} on {place}' for place, count in places.items())})")
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
