# SPDX-License-Identifier: Apache-2.0
"""docs/parameters.md names each parameter of the public operators, with the default that the code has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import pytest

from airflow_provider_runflow.operators import flux, gpt_image_1_5, gpt_image_2, runflow
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.batch import RunflowBatchOperator
from airflow_provider_runflow.operators.common import RunflowBaseOperator
from airflow_provider_runflow.sensors.run_completion import RunCompletionSensor
from airflow_provider_runflow.transfers.base import RunflowTransferOperator
from airflow_provider_runflow.transfers.runflow_to_object_storage import RunflowToObjectStorageOperator
from airflow_provider_runflow.transfers.runflow_to_s3 import RunflowToS3Operator
from tests.unit.docs.pages import ROOT

PAGE = (ROOT / "docs" / "parameters.md").read_text()
TABLE = re.compile(r"^\| parameter \|(?P<head>.*)\|\n\|[-|]+\|\n(?P<rows>(?:\|.*\|\n)+)", re.MULTILINE)
SHARED = ("The request, whatever the model", "Money", "Waiting", "Landing", "Batches only")
OPERATORS: dict[str, Any] = {
    name: value
    for module in (flux, gpt_image_1_5, gpt_image_2, runflow)
    for name, value in vars(module).items()
    if inspect.isclass(value) and value.__module__ == module.__name__ and name.endswith("Operator")
}
TRANSFERS: dict[str, Any] = {each.__name__: each for each in (RunflowToS3Operator, RunflowToObjectStorageOperator)}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tables(text: str) -> Iterable[tuple[list[str], dict[str, list[str]]]]:
    """The headings of each table's columns, and its cells by parameter."""
    for found in TABLE.finditer(text):
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in found["rows"].splitlines()]
        assert len({row[0] for row in rows}) == len(rows)
        yield [cell.strip() for cell in found["head"].split("|")], {row[0].strip("`"): row[1:] for row in rows}


def parameters(*kinds: Any) -> dict[str, str]:
    """What the classes' own constructors take, each with its default as the page writes it."""
    named = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    found = [p for kind in kinds for p in inspect.signature(kind.__init__).parameters.values() if p.kind in named]
    return {p.name: default(p) for p in found if p.name != "self"}


def default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if parameter.name == "deferrable":  # read from Airflow's configuration
        return "`[operators] default_deferrable`"
    return f'`"{parameter.default}"`' if isinstance(parameter.default, str) else f"`{parameter.default!r}`"


def test_the_tables_by_operator_have_every_operator_with_what_it_alone_takes() -> None:
    told: dict[str, dict[str, str]] = {}
    for head, rows in [*tables(section("The request, by model")), *tables(section("The transfers"))]:
        for column, kind in enumerate(head):
            if kind.startswith("`"):
                cells = {name: row[column] for name, row in rows.items() if row[column] != "–"}  # noqa: RUF001 - a dash
                told[kind.strip("`")] = cells
    assert told == {name: parameters(kind) for name, kind in {**OPERATORS, **TRANSFERS}.items()}


@pytest.mark.parametrize(
    ("titles", "kinds"),
    [
        (SHARED, (RunflowBaseOperator, RunflowRunOperator, RunflowBatchOperator)),
        (("The sensor",), (RunCompletionSensor,)),
        (("The transfers",), (RunflowTransferOperator,)),
    ],
    ids=["operators", "sensor", "transfers"],
)
def test_what_operators_share_is_told_with_its_default_and_whether_it_is_a_template(
    titles: tuple[str, ...], kinds: tuple[Any, ...]
) -> None:
    told: dict[str, list[str]] = {}
    for title in titles:
        for head, rows in tables(section(title)):
            if head[0] == "default":
                assert not told.keys() & rows.keys()
                told |= rows
    assert {name: cells[0] for name, cells in told.items()} == parameters(*kinds)
    templated = {name for kind in kinds for name in kind.template_fields}
    assert {name for name, cells in told.items() if cells[1] == "yes"} == templated & told.keys()
    assert all(cells[2] for cells in told.values())


def test_what_is_said_of_the_models_own_parameters_and_templates_is_so() -> None:
    for kind in OPERATORS.values():
        assert parameters(kind).keys() - {*kind.template_fields} <= {"render_items", "check_schema"}


def test_what_singles_alone_have_is_marked() -> None:
    rows = {name: cells for title in SHARED for _, table in tables(section(title)) for name, cells in table.items()}
    marked = {name for name, cells in rows.items() if "not of batches" in cells[2].lower()}
    assert marked == parameters(RunflowRunOperator).keys()
