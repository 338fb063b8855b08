# SPDX-License-Identifier: Apache-2.0
"""A model that nothing here has ever heard of: what `sketch.py` says of it is enough for everything."""

from __future__ import annotations

import ast
import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_runflow import models
from airflow_provider_runflow.decorators.runflow_image import runflow_image_task
from airflow_provider_runflow.emulator import Emulator, emulator_transport
from airflow_provider_runflow.emulator.catalogue import CATALOGUE, Model
from airflow_provider_runflow.emulator.inputs import Choice, Text
from airflow_provider_runflow.estimate import estimate_cost
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.harness import in_dag
from tests.unit.operators.conftest import World

SERVED = Model(
    slug="acme/sketch/2.0",
    inputs={"prompt": Text(1, 100, required=True), "paper": Choice(("small", "large"), default="small")},
    price_by=(),
    prices={(): Decimal("0.02")},
    seconds_by_quality={"": 3.0},
    seconds_range=(1.0, 5.0),
    format="webp",
)


@pytest.fixture
def new(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The new model's module, registered for the time of one test."""
    monkeypatch.setattr(models, "_registered", {})
    monkeypatch.delitem(sys.modules, "tests.unit.operators.sketch", raising=False)
    return import_module("tests.unit.operators.sketch")


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The usual world, where Runflow serves the new model too."""
    world.emulator = Emulator(models={**CATALOGUE, SERVED.slug: SERVED}, picture_size=(64, 64))
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(world.emulator, world.clock))
    return world


def test_it_takes_about_twenty_lines() -> None:
    source = Path(__file__).with_name("sketch.py").read_text()
    first = min(node.lineno for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    lines = [line for line in source.splitlines()[first - 1 :] if line.strip()]
    assert len(lines) <= 20


def test_it_lands_pictures_and_is_paid_once(world: World, new: ModuleType) -> None:
    world.emulator.add_fault(route="output", effect="status", status=503, times=5)
    operator = world.operator_of(new.SketchOperator, prompt="a cat on {{ ds }}", paper="large", retries=1)
    first = world.run(operator)
    second = world.retry(first)
    assert (first.state, second.state, len(world.billed)) == ("up_for_retry", "success", 1)
    assert world.result(second)["images"][0]["content_type"] == "image/webp"
    assert world.sidecars()[0]["input"] == {"prompt": "a cat on 2026-03-02", "paper": "large"}


def test_its_wrong_inputs_are_told_like_those_of_any_other(new: ModuleType) -> None:
    with (
        in_dag(),
        pytest.raises(InvalidRequestError, match=r"acme/sketch/2.0: paper='huge': must be 'small' or 'large'"),
    ):
        new.SketchOperator(task_id="hero", prompt="a cat", paper="huge")


def test_its_name_is_guarded_before_anything_is_paid(world: World, new: ModuleType) -> None:
    world.destination.mkdir()
    (world.destination / "banner.webp").write_bytes(b"somebody's")
    outcome = world.run(world.operator_of(new.SketchOperator, prompt="a cat", filename_pattern="banner.{ext}"))
    assert "banner.webp is taken" in str(outcome.error)


def test_it_is_estimated(new: ModuleType) -> None:
    assert estimate_cost("acme/sketch/2.0", paper="large") == Decimal("0.05")
    assert estimate_cost("acme/sketch/2.0") == Decimal("0.02")


def test_a_function_can_prompt_it(world: World, new: ModuleType) -> None:
    with in_dag():
        decorated = runflow_image_task(
            model="acme/sketch/2.0", destination=str(world.destination), deferrable=world.deferrable
        )(lambda: "a cat").override(task_id="hero")
        operator = decorated().operator
    assert world.run(operator).state == "success"
    assert world.emulator.runs[0].prompt == "a cat"
