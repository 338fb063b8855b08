# SPDX-License-Identifier: Apache-2.0
"""The pictures of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from scripts.screenshots import SHOWN, WANTED, make


def taken(folder: Path, names: dict[str, str]) -> Path:
    for pattern in names.values():
        Image.new("RGBA", (8, 6), "white").save(folder / pattern.replace("*", "x"))
    return folder


def test_each_wanted_screenshot_becomes_a_picture_of_the_documentation(tmp_path: Path) -> None:
    made = make(taken(tmp_path, WANTED), tmp_path / "docs")
    assert [path.stem for path in made] == list(WANTED)
    assert {Image.open(path).size for path in made} == {(8, 6)}


def test_a_missing_screenshot_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    names = dict(WANTED)
    missing = names.pop("full")
    with pytest.raises(FileNotFoundError, match=f"like {missing.replace('*', '.')}.*found: none"):
        make(taken(tmp_path, names), tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_two_screenshots_for_one_picture_are_not_chosen_from(tmp_path: Path) -> None:
    taken(tmp_path, WANTED)
    taken(tmp_path, {"again": "another--full.png"})
    with pytest.raises(FileNotFoundError, match=r"another--full\.png, x--full\.png"):
        make(tmp_path, tmp_path / "docs")


def test_the_documentation_shows_exactly_those() -> None:
    assert {path.stem for path in SHOWN.glob("*")} == set(WANTED)
