# SPDX-License-Identifier: Apache-2.0
"""What `make matrix` says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.matrix_report import main

SUITE = """<testsuites><testsuite tests="4" skipped="2" failures="{failures}" errors="0" time="61.5">
<testcase name="one"/><testcase name="two"><skipped message="needs a journal"/></testcase>
<testcase name="three"><skipped message="needs a journal"/></testcase><testcase name="four"/>
</testsuite></testsuites>"""


def write(folder: Path, name: str, failures: int = 0) -> None:
    (folder / f"{name}.xml").write_text(SUITE.format(failures=failures))


def test_each_environment_has_a_row_in_the_order_of_versions_not_of_letters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("3.10-3.3", "3.9-3.1", "3.10-3.1"):
        write(tmp_path, name)
    assert main(tmp_path) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 3.")]
    assert rows == [
        "| 3.9 | 3.1 | 2 | 2 | 0 | 62 |",
        "| 3.10 | 3.1 | 2 | 2 | 0 | 62 |",
        "| 3.10 | 3.3 | 2 | 2 | 0 | 62 |",
    ]


def test_what_was_skipped_is_named_with_its_reason_and_its_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "3.10-3.1")
    write(tmp_path, "3.11-3.1")
    main(tmp_path)
    assert "skipped: needs a journal (2 on 3.10-3.1, 2 on 3.11-3.1)" in capsys.readouterr().out


def test_one_failure_fails_it(tmp_path: Path) -> None:
    write(tmp_path, "3.10-3.1")
    write(tmp_path, "3.11-3.1", failures=1)
    assert main(tmp_path) == 1


def test_nothing_at_all_fails_it(tmp_path: Path) -> None:
    assert main(tmp_path) == 1
