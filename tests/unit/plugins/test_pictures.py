# SPDX-License-Identifier: Apache-2.0
"""What Airflow is told of the plugin."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import metadata

import pytest

from airflow_provider_runflow.links import RUN_ROUTE, TASK_ROUTE
from airflow_provider_runflow.plugins import pictures
from airflow_provider_runflow.plugins.pictures import RunflowPicturesPlugin

LOADED = textwrap.dedent("""
    import json
    from airflow import plugins_manager as manager
    if hasattr(manager, "get_fastapi_plugins"):
        apps = manager.get_fastapi_plugins()[0]
        views, errors = manager._get_ui_plugins()[0], manager._get_plugins()[1]
    else:  # Airflow 3.1
        manager.initialize_fastapi_plugins(); manager.initialize_ui_plugins()
        apps, views, errors = manager.fastapi_apps, manager.external_views, manager.import_errors
    ours = [app for app in apps if app["url_prefix"] == "/runflow"]
    shown = sorted(view["destination"] for view in views if view["url_route"].startswith("runflow-"))
    print("FOUND", len(ours), shown, dict(errors))
""")


def test_its_views_have_routes_of_their_own_and_lead_below_the_base_path() -> None:
    views = RunflowPicturesPlugin.external_views
    assert {view["destination"]: view["url_route"] for view in views} == {
        "nav": "runflow-pictures",
        "dag_run": RUN_ROUTE,
        "task_instance": TASK_ROUTE,
    }
    assert not any(view["href"].startswith("/") for view in views)


@pytest.mark.parametrize("lazy", ["True", "False"])
def test_airflow_loads_it_once_however_it_looks_for_plugins(lazy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not metadata.entry_points(group="airflow.plugins", name="runflow_pictures"):
        pytest.skip("the package is on the path only, without its entry points")
    monkeypatch.setenv("AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS", lazy)
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    (found,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert found == "FOUND 1 ['dag_run', 'nav', 'task_instance'] {}"


def test_there_is_nothing_else_that_the_module_makes_up() -> None:
    with pytest.raises(AttributeError):
        pictures.anything  # noqa: B018 - the look-up is the test
