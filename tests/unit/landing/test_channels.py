# SPDX-License-Identifier: Apache-2.0
"""The presets: well-formed, and the page about them tells the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.landing.channels import CHANNELS, table
from airflow_provider_runflow.landing.derivatives import Derivative, parse_derivatives

PAGE = Path(__file__).resolve().parents[3] / "docs" / "channel-sizes.md"


@pytest.mark.parametrize("name", CHANNELS)
def test_a_preset_is_a_derivative_of_that_name(name: str) -> None:
    channel = CHANNELS[name]
    assert parse_derivatives([name]) == (
        Derivative(name, channel.width, channel.height, max_bytes=channel.max_bytes, format=channel.format),
    )
    assert channel.source


def test_there_are_those_that_people_ask_for() -> None:
    assert len(CHANNELS) >= 20
    asked = {"meta_feed", "meta_square", "stories", "reels_cover", "linkedin", "pinterest", "x_post", "open_graph"}
    assert asked | {"youtube_thumbnail", "iab_300x250", "iab_728x90", "google_rda_landscape"} <= set(CHANNELS)


def test_a_name_with_pixels_in_it_means_them() -> None:
    for name, channel in CHANNELS.items():
        if name[-1].isdigit():
            assert name.endswith(f"_{channel.width}x{channel.height}")


def test_the_page_has_the_table_as_the_code_has_it() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_the_pages_example_can_be_read() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), found)
    names = [derivative.name for derivative in parse_derivatives(found["campaign"].derivatives)]
    assert names == ["meta_feed", "stories", "iab_728x90", "newsletter"]
