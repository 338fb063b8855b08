# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.unit.emulator.api import Api


@pytest.fixture
def api() -> Api:
    """An emulator without faults, on a virtual clock."""
    return Api()
