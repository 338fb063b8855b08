# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about this package: valid by Airflow's own schemas, importable, and without a deprecation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

import airflow_provider_runflow
from airflow_provider_runflow.get_provider_info import CONFIG, CONN_FIELDS, UI_FIELD_BEHAVIOUR, get_provider_info
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.models.gpt_image_2 import GptImage2Input
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.batch import RunflowBatchOperator
from airflow_provider_runflow.operators.common import RunflowBaseOperator
from airflow_provider_runflow.operators.references import TakesReferences
from tests.unit.hooks.connections import READERS, VARIABLE, as_json

INFO = get_provider_info()
BASES = (RunflowBaseOperator, RunflowRunOperator, RunflowBatchOperator, TakesReferences)
ROOT = Path(airflow_provider_runflow.__file__).parents[1]
AIRFLOW = tuple(int(part) for part in metadata.version("apache-airflow-core").split(".")[:2])
# The providers that name the other ends of transfers.
TARGETS = ("amazon", "common.io")
ENTRY_POINT = "airflow_provider_runflow.get_provider_info:get_provider_info"


def schema(name: str) -> Any:
    return json.loads(resources.files("airflow").joinpath(name).read_text())


def imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def public_operators(module: str) -> list[type]:
    """The operators that a module defines, without bases."""
    return [
        each
        for each in vars(import_module(module)).values()
        if isinstance(each, type)
        and issubclass(each, RunflowBaseOperator)
        and each.__module__ == module
        and each not in BASES
    ]


class TestTheDescription:
    def test_it_is_valid_by_airflows_schema(self) -> None:
        jsonschema.validate(INFO, schema("provider_info.schema.json"))

    def test_it_is_plain_json(self) -> None:
        assert json.loads(json.dumps(INFO)) == INFO

    def test_it_names_the_distribution(self) -> None:
        assert INFO["package-name"] == "airflow-provider-runflow"
        assert re.search(r'^name = "airflow-provider-runflow"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    @pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers", "notifications"])
    def test_every_module_of_it_can_be_imported(self, kind: str) -> None:
        for entry in INFO.get(kind, []):
            assert entry["integration-name"] in {item["integration-name"] for item in INFO["integrations"]}
            for module in entry["python-modules"]:
                assert import_module(module).__doc__

    def test_every_transfer_of_it_can_be_imported_and_its_ends_are_integrations_that_airflow_knows(self) -> None:
        others = [imported(f"airflow.providers.{name}.get_provider_info.get_provider_info")() for name in TARGETS]
        known = {item["integration-name"] for info in (INFO, *others) for item in info["integrations"]}
        folder = ROOT / "airflow_provider_runflow" / "transfers"
        modules = {path.stem for path in folder.glob("runflow_to_*.py")}
        assert {entry["python-module"].rpartition(".")[2] for entry in INFO["transfers"]} == modules
        for entry in INFO["transfers"]:
            assert {entry["source-integration-name"], entry["target-integration-name"]} <= known
            assert import_module(entry["python-module"]).__doc__
            assert entry["how-to-guide"].startswith("/docs/")

    def test_every_class_of_it_can_be_imported(self) -> None:
        for path in INFO["extra-links"]:
            assert imported(path)().name
        for connection in INFO["connection-types"]:
            assert imported(connection["hook-class-name"]) is RunflowHook
        for plugin in INFO["plugins"]:
            assert imported(plugin["plugin-class"]).name == plugin["name"]

    def test_every_operator_module_and_decorator_of_the_package_is_in_it(self) -> None:
        operators = [module for entry in INFO["operators"] for module in entry["python-modules"]]
        found = [path.stem for path in (ROOT / "airflow_provider_runflow" / "operators").glob("*.py")]
        ours = [name for name in found if public_operators(f"airflow_provider_runflow.operators.{name}")]
        assert {module.rpartition(".")[2] for module in operators} == set(ours)
        for decorator in INFO["task-decorators"]:
            assert callable(imported(decorator["class-name"]))
            assert decorator["class-name"].endswith(f".{decorator['name']}_task")

    def test_reading_it_imports_nothing_else_of_the_package(self) -> None:
        code = (
            "import sys; from airflow_provider_runflow.get_provider_info import get_provider_info as g; g(); "
            "ours = ('airflow.', 'airflow_provider_runflow.', 'pydantic', 'httpx'); "
            "print([name for name in sys.modules if name.startswith(ours)])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stdout.strip() == "['airflow_provider_runflow.get_provider_info']"


class TestTheConnectionForm:
    def test_its_behaviour_is_valid_by_airflows_schema(self) -> None:
        behaviour = {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}
        jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))

    def test_type_and_id_are_the_hooks(self) -> None:
        (connection,) = INFO["connection-types"]
        assert connection["connection-type"] == RunflowHook.conn_type == "runflow"
        assert connection["hook-name"] == RunflowHook.hook_name
        assert RunflowHook.conn_name_attr == "runflow_conn_id"

    @pytest.mark.parametrize("name", CONN_FIELDS)
    def test_each_field_has_a_valid_schema_that_its_default_fits_and_may_be_left_empty(self, name: str) -> None:
        field = CONN_FIELDS[name]
        jsonschema.Draft7Validator.check_schema(field["schema"])
        assert "null" in field["schema"]["type"]
        if "default" in field["schema"]:
            jsonschema.validate(field["schema"]["default"], field["schema"])
        assert field["label"]
        assert field["description"].endswith(".")

    def test_the_secret_is_masked_in_the_form(self) -> None:
        assert {name for name, field in CONN_FIELDS.items() if field["schema"].get("format") == "password"} == {
            "callback_secret"
        }

    def test_what_the_form_takes_the_hook_takes(self) -> None:
        seconds = CONN_FIELDS["request_timeout"]["schema"]
        for value in (seconds["minimum"], seconds["default"], seconds["maximum"]):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(VARIABLE, as_json(extra={"request_timeout": value}))
                assert [read().account.request_timeout for read in READERS] == [value, value]

    def test_each_field_of_the_form_is_read_by_the_hook(self, monkeypatch: pytest.MonkeyPatch) -> None:
        filled = {
            "organization_id": "org-1",
            "request_timeout": 7,
            "run_url_template": "https://x.test/{run_id}",
            "max_quality": "low",
            "callback_secret": "whsec_1",
        }
        assert set(filled) == set(CONN_FIELDS)
        monkeypatch.setenv(VARIABLE, as_json(extra=filled))
        for read in READERS:
            settings = read()
            seen = {**vars(settings), **vars(settings.account)}
            assert {name: seen[name] for name in filled} == filled

    def test_the_highest_quality_is_one_that_the_models_know(self) -> None:
        known = get_args(GptImage2Input.model_fields["quality"].annotation)
        assert CONN_FIELDS["max_quality"]["schema"]["enum"] == list(known)

    def test_the_hook_itself_defines_no_form_which_airflow_deprecated(self) -> None:
        assert not {"get_connection_form_widgets", "get_ui_field_behaviour"} & set(vars(RunflowHook))


class TestTheConfiguration:
    def test_each_option_says_what_it_does_and_since_when(self) -> None:
        for option in CONFIG["runflow"]["options"].values():
            assert option["description"].endswith(".")
            assert option["version_added"] == airflow_provider_runflow.__version__
            assert option["type"] == "string"

    def test_each_option_that_the_code_reads_is_declared(self) -> None:
        sources = [path.read_text() for path in (ROOT / "airflow_provider_runflow").rglob("*.py")]
        read = {name for text in sources for name in re.findall(r'conf\.get\w*\(\s*"runflow",\s*"(\w+)"', text)}
        assert read == set(CONFIG["runflow"]["options"])


# What an Airflow that has the package installed makes of it, in a process of its own.
QUESTIONS = """
import json, os, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow.providers_manager import ProvidersManager
    manager = ProvidersManager()
    hook = manager.hooks["runflow"]
    widgets = {n: w for n, w in manager.connection_form_widgets.items() if n.startswith("extra__runflow__")}
    from airflow_provider_runflow.compat import conf
    unset = [conf.get("runflow", "namespace", fallback=""), conf.get("runflow", "default_destination", fallback=None)]
    os.environ["AIRFLOW__RUNFLOW__NAMESPACE"] = "production"
    answers = {
        "version": manager.providers["airflow-provider-runflow"].version,
        "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name, hook.connection_testable],
        "behaviour": manager.field_behaviours.get("runflow"),
        "fields": {n.removeprefix("extra__runflow__"): w.is_sensitive for n, w in widgets.items()},
        "unset": unset,
        "set": conf.get("runflow", "namespace", fallback=""),
    }
about_us = [str(w.message) for w in caught if "runflow" in str(w.message).lower() or "runflow" in w.filename.lower()]
print("ANSWERS " + json.dumps({**answers, "warnings": about_us}))
"""


@pytest.fixture(scope="module")
def in_airflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers; where the package is only on the path, its metadata is put beside it as an installer would."""
    home = tmp_path_factory.mktemp("airflow")
    path = [str(ROOT)]
    if not _installed():
        dist = home / "site" / "airflow_provider_runflow-0.1.0.dist-info"
        dist.mkdir(parents=True)
        (dist / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {INFO['package-name']}\nVersion: {airflow_provider_runflow.__version__}\n"
        )
        (dist / "entry_points.txt").write_text(f"[apache_airflow_provider]\nprovider_info = {ENTRY_POINT}\n")
        path.append(str(dist.parent))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(path), "AIRFLOW_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", QUESTIONS], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    said = [other for other in (done.stdout + done.stderr).splitlines() if other != line]
    complaints = [other for other in said if "runflow" in other.lower() and ("warning" in other or "error" in other)]
    return {**json.loads(line.removeprefix("ANSWERS ")), "complaints": complaints}


def _installed() -> bool:
    try:
        metadata.distribution("airflow-provider-runflow")
    except metadata.PackageNotFoundError:
        return False
    return True


class TestInsideAirflow:
    def test_the_project_declares_the_entry_point(self) -> None:
        section = (ROOT / "pyproject.toml").read_text().split("[project.entry-points.apache_airflow_provider]")[1]
        assert section.strip().splitlines()[0] == f'provider_info = "{ENTRY_POINT}"'

    def test_an_installed_package_has_the_entry_point(self) -> None:
        if not _installed():
            pytest.skip("the package is on the path, not installed")
        (point,) = metadata.distribution("airflow-provider-runflow").entry_points.select(
            group="apache_airflow_provider"
        )
        assert point.value == ENTRY_POINT
        assert point.load()() == INFO

    def test_the_provider_is_found_with_its_version(self, in_airflow: dict[str, Any]) -> None:
        assert in_airflow["version"] == airflow_provider_runflow.__version__

    def test_the_connection_type_leads_to_a_hook_that_can_be_tested(self, in_airflow: dict[str, Any]) -> None:
        hook_class = "airflow_provider_runflow.hooks.runflow.RunflowHook"
        assert in_airflow["hook"] == [hook_class, "runflow_conn_id", "Runflow", True]

    @pytest.mark.skipif(AIRFLOW < (3, 2), reason="Airflow 3.1 reads no form from a declaration: extras are JSON there")
    def test_the_form_is_built_from_the_declaration(self, in_airflow: dict[str, Any]) -> None:
        assert in_airflow["behaviour"]["relabeling"] == {"host": "Base URL", "password": "API key"}
        assert in_airflow["behaviour"]["placeholders"]["host"] == "https://api.runflow.io"
        assert in_airflow["fields"] == {name: name == "callback_secret" for name in CONN_FIELDS}

    def test_the_options_are_unset_by_default_and_read_once_set(self, in_airflow: dict[str, Any]) -> None:
        assert in_airflow["unset"] == ["", None]
        assert in_airflow["set"] == "production"

    def test_airflow_neither_warns_nor_complains_about_it(self, in_airflow: dict[str, Any]) -> None:
        assert in_airflow["warnings"] == []
        assert in_airflow["complaints"] == []
