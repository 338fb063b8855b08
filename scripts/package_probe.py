# SPDX-License-Identifier: Apache-2.0
"""Run by `make check-package` with the Python of an environment that has only Airflow and the wheel."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sys
from importlib import resources
from importlib.metadata import entry_points, version
from pathlib import Path

import airflow_provider_runflow as package

# What an extra brings, and where it is needed.
EXTRAS = {"PIL": ("emulator", "derivatives", "ui"), "uvicorn": ("emulator",), "pytest": ("testing",)}


def main() -> int:
    """Import everything, find the provider as Airflow does, and serve the page's own files; 1 when something lacks."""
    home = Path(package.__file__).parent
    assert "site-packages" in str(home), home
    assert version("airflow-provider-runflow") == package.__version__
    imported, without = 0, []
    for module in pkgutil.walk_packages([str(home)], f"{package.__name__}."):
        if module.name.endswith("__main__") or ".example_dags." in module.name:
            continue
        try:
            importlib.import_module(module.name)
            imported += 1
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] not in EXTRAS:
                print(f"{module.name}: {error}", file=sys.stderr)
                return 1
            without.append(module.name.removeprefix(f"{package.__name__}."))
    print(f"{imported} modules imported; these wait for an extra: {', '.join(without) or 'none'}")

    provider = next(
        each for each in entry_points(group="apache_airflow_provider") if each.value.startswith(package.__name__)
    )
    assert provider.load()()["package-name"] == "airflow-provider-runflow"
    plugin = next(each for each in entry_points(group="airflow.plugins") if each.value.startswith(package.__name__))
    assert plugin.load()

    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    assert "airflow-provider-runflow" in manager.providers
    assert "airflow_provider_runflow.hooks.runflow.RunflowHook" in {
        each["hook-class-name"] for each in manager.providers["airflow-provider-runflow"].data["connection-types"]
    }

    static = resources.files(package.__name__) / "plugins" / "static"
    names = sorted(each.name for each in static.iterdir() if each.is_file())
    assert any(name.endswith(".js") for name in names), names
    print(f"Pictures: {', '.join(names)}; node on this PATH: {shutil.which('node') or 'none'}")
    examples = resources.files(package.__name__) / "example_dags"
    assert sum(each.name.endswith(".py") for each in examples.iterdir()) >= 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
