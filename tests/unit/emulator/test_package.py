# SPDX-License-Identifier: Apache-2.0
"""What importing the emulator costs, and what it must not know."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_runflow import emulator

HEAVY = ("PIL", "airflow", "httpx", "pydantic", "uvicorn")


def loaded_after(statement: str) -> set[str]:
    """The modules in a fresh interpreter after one statement."""
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_none_of_its_modules() -> None:
    loaded = loaded_after("import airflow_provider_runflow.emulator")
    assert not [name for name in loaded if name.startswith("airflow_provider_runflow.emulator.")]
    assert not loaded & set(HEAVY)


def test_the_core_needs_the_standard_library_only() -> None:
    assert not loaded_after("import airflow_provider_runflow.emulator.core") & set(HEAVY)


def test_the_server_brings_neither_httpx_nor_airflow() -> None:
    loaded = loaded_after("import airflow_provider_runflow.emulator.cli, airflow_provider_runflow.emulator.asgi")
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("name", emulator.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(emulator, name) is not None
    assert name in dir(emulator)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = emulator.Nothing
