# SPDX-License-Identifier: Apache-2.0
"""The surroundings of the operators' tests, and what each release left behind."""

from __future__ import annotations

from tests.unit.operators.conftest import deferrable, world  # noqa: F401 - fixtures
