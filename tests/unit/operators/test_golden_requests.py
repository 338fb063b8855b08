# SPDX-License-Identifier: Apache-2.0
"""
What each operator asks for with the same parameters may never change: a default that is sent, a name on the wire or
the form of a size would make another request of it, which is paid again.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.get_provider_info import get_provider_info
from airflow_provider_runflow.runs.identity import Request
from tests.harness import in_dag

GOLDEN = json.loads((Path(__file__).parents[1] / "runs" / "golden_requests.json").read_text())["requests"]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_an_operator_asks_for_what_it_always_asked_for(golden: dict[str, Any]) -> None:
    module, _, name = golden["operator"].partition(".")
    kind = getattr(import_module(f"airflow_provider_runflow.operators.{module}"), name)
    with in_dag():
        operator = kind(task_id="hero", **golden["parameters"])
    asked = operator.model_input(rendered=True)
    assert (operator.model, asked) == (golden["model"], golden["input"])
    variation = None if operator.variation is None else str(operator.variation)
    assert Request(operator.model, asked, variation).fingerprint == golden["fingerprint"]


def test_each_operator_is_among_them() -> None:
    modules = {path.rpartition(".")[2] for path in get_provider_info()["operators"][0]["python-modules"]}
    assert {golden["operator"].partition(".")[0] for golden in GOLDEN} == modules
