# SPDX-License-Identifier: Apache-2.0
"""The light table with a database of its own: real XComs and task instances, a hand-written auth manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.plugins.world import World


@pytest.fixture
def world(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World.open(tmp_path, monkeypatch) as opened:
        yield opened
