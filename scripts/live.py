# SPDX-License-Identifier: Apache-2.0
"""`make live`: the contract tests against the real Runflow, for a few cents.

    RUNFLOW_API_KEY=... make live           names the cost and asks (YES=1 answers)

The same tests run against the emulator in `make test`. What no document says about Runflow is asked here too, and the
answers are written to tests/contract/answers-live.json, to be committed: they hold no key, id or presigned URL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.consent import DEFAULT_BASE_URL, Refused, ask, is_on

REPOSITORY = Path(__file__).resolve().parent.parent
KEY = "RUNFLOW_API_KEY"


@dataclass(frozen=True)
class Choices:
    """What the person asked for."""

    key: str = field(repr=False)
    base_url: str
    yes: bool

    @classmethod
    def take(cls, env: MutableMapping[str, str]) -> Choices:
        """Takes the key out of the environment: no test, no child and no traceback of one needs to see it there."""
        key = env.pop(KEY, "").strip()
        if not key:
            raise Refused(f"make live needs {KEY} in the environment. Nothing was sent.")
        return cls(key, env.get("RUNFLOW_BASE_URL") or DEFAULT_BASE_URL, is_on(env.get("YES")))


def confirm_cost(choices: Choices) -> None:
    """Names the money before the first request."""
    from tests.contract.world import LOW_PRICE, MOST_PICTURES

    print(f"LIVE: the contract tests will be run against {choices.base_url}.")
    print(
        f"LIVE: estimated cost at most {MOST_PICTURES} pictures at low quality x ${LOW_PRICE} = "
        f"${MOST_PICTURES * LOW_PRICE}, billed to the account of {KEY}; half of it where idempotency keys are honoured."
    )
    ask(choices.yes)


def run(choices: Choices, answers: Path | None) -> int:
    """Runs the tests in this process, which alone knows the key; gives pytest's exit code."""
    import pytest

    from tests.contract.answers import differences
    from tests.contract.target import LivePlugin, live_target

    target = live_target(choices.base_url, choices.key, answers)
    before = _written(target.answers)
    folder = str(REPOSITORY / "tests" / "contract")
    code = int(pytest.main([folder, "--tb=short", "-p", "no:cacheprovider"], plugins=[LivePlugin(target)]))
    if _written(target.answers) != before:
        differ = differences(json.loads(target.answers.read_text(encoding="utf-8")))
        print("\nThe emulator answers otherwise:" if differ else "\nThe emulator answers the same.")
        print("\n".join(f"  {line}" for line in differ))
        print(f"Answers        {target.answers}")
    return code


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="live", description="The contract tests against the real Runflow.")
    parser.add_argument("--answers", type=Path, metavar="PATH", help="write the answers here")
    options = parser.parse_args()
    try:
        choices = Choices.take(os.environ)
        confirm_cost(choices)
    except Refused as refusal:
        print(f"live: {refusal}", file=sys.stderr)
        return 1
    return run(choices, options.answers)


if __name__ == "__main__":
    sys.exit(main())
