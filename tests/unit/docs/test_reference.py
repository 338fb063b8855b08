# SPDX-License-Identifier: Apache-2.0
"""What is public has its place in the API reference, and the emulator's page knows each fault."""

from __future__ import annotations

import re
import sys

import pytest

from airflow_provider_runflow.emulator import faults
from tests.unit.docs.pages import ROOT
from tests.unit.test_public_names import SIGNATURES, resolve

REFERENCE = "".join(page.read_text() for page in sorted((ROOT / "docs" / "api").glob("*.md")))
DOCUMENTED = set(re.findall(r"auto(?:module|class):: airflow_provider_runflow\.(\S+)", REFERENCE))


@pytest.mark.parametrize(
    "path", [*SIGNATURES, "emulator.EmulatorConfig", "emulator.Fault", "operators.references.TakesReferences"]
)
def test_everything_public_is_in_the_api_reference(path: str) -> None:
    resolve(path)
    within = [path.rsplit(".", dots)[0] for dots in range(path.count(".") + 1)]
    # A page of a package does not hold what its modules have: the innermost module counts.
    module = next(each for each in within if f"airflow_provider_runflow.{each}" in sys.modules)
    assert {path, module} & DOCUMENTED


@pytest.mark.parametrize(
    ("name", "values"), [("route", faults.ROUTES), ("effect", faults.EFFECTS), ("outcome", faults.OUTCOMES)]
)
def test_the_emulators_page_names_each_value_that_a_fault_may_have(name: str, values: tuple[str, ...]) -> None:
    (row,) = re.findall(rf"^\| `{name}`.*?\|(.*)\|$", (ROOT / "docs" / "emulator.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(values)
