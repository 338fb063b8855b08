# SPDX-License-Identifier: Apache-2.0
"""What differs between Airflow versions and is looked up, not imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import airflow_provider_runflow
from airflow_provider_runflow.compat import add_partitions, stats

PACKAGE = Path(airflow_provider_runflow.__file__).parent
#: Modules beside compat.py that may ask what this Airflow has, each with its reason.
MAY_ASK = {
    "stores/s3.py": "asks for a provider that may not be installed, whatever the version",
    "stores/object_storage.py": "asks for a file system that may not be installed, whatever the version",
}
FAILED_LOOKS = {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception"}
SDK, CORE = "airflow.sdk.observability.stats", "airflow.observability.stats"


class Sent:
    """Metrics that were sent."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *call: Any) -> None:
        self.calls.append(call)


def module_of_functions(monkeypatch: pytest.MonkeyPatch, name: str, *, set_up: bool) -> Sent:
    """As in Airflow 3.3: the functions come from a module that knows whether it was set up."""
    sent, module, home = Sent(), ModuleType(name), ModuleType(f"{name}_home")
    home._factory = object() if set_up else None  # type: ignore[attr-defined]
    for kind in ("incr", "gauge", "timing"):

        def send(*arguments: Any, kind: str = kind) -> None:
            sent(kind, *arguments)

        send.__module__ = home.__name__
        setattr(module, kind, send)
    monkeypatch.setitem(sys.modules, home.__name__, home)
    monkeypatch.setitem(sys.modules, name, module)
    return sent


def module_with_a_class(monkeypatch: pytest.MonkeyPatch, name: str, *, set_up: bool) -> Sent:
    """As in Airflow 3.2."""
    sent, module = Sent(), ModuleType(name)

    class Stats:
        factory = object() if set_up else None
        incr = staticmethod(lambda *arguments: sent("incr", *arguments))

    module.Stats = Stats  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return sent


def test_metrics_go_to_airflow_as_it_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = module_of_functions(monkeypatch, SDK, set_up=True)
    metrics = stats()
    metrics.incr("runflow.watcher.polls", 3)
    metrics.gauge("runflow.watcher.waiting", 2)
    metrics.timing("runflow.watcher.round", 0.25)
    assert sent.calls == [
        ("incr", "runflow.watcher.polls", 3),
        ("gauge", "runflow.watcher.waiting", 2),
        ("timing", "runflow.watcher.round", timedelta(seconds=0.25)),
    ]


@pytest.mark.parametrize("kind", [module_of_functions, module_with_a_class])
@pytest.mark.parametrize("in_the_triggerer", [True, False])
def test_of_two_kinds_the_one_that_this_process_has_set_up_is_taken(
    monkeypatch: pytest.MonkeyPatch, kind: Any, in_the_triggerer: bool
) -> None:
    sdk = kind(monkeypatch, SDK, set_up=not in_the_triggerer)
    core = kind(monkeypatch, CORE, set_up=in_the_triggerer)
    stats().incr("runflow.watcher.polls")
    assert (len(sdk.calls), len(core.calls)) == ((0, 1) if in_the_triggerer else (1, 0))


def test_this_airflow_has_what_is_looked_for_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    metrics = stats()
    metrics.incr("runflow.watcher.polls")
    metrics.gauge("runflow.watcher.waiting", 0)
    metrics.timing("runflow.watcher.round", 0.1)
    assert [str(warning.message) for warning in recwarn if "stats" in str(warning.message).lower()] == []


def test_nothing_is_looked_up_before_something_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SDK, CORE, "airflow.stats"):
        monkeypatch.setitem(sys.modules, name, None)
    stats()


def test_partitions_are_asked_for_where_events_have_them() -> None:
    class Event:
        asked: list[str] | None = None

        def add_partitions(self, keys: list[str]) -> None:
            self.asked = keys

    event = Event()
    add_partitions(event, ("kettle", "cup"))
    assert event.asked == ["kettle", "cup"]
    add_partitions(object(), ("kettle",))  # as before Airflow 3.3


def version_checks(source: str) -> Iterator[str]:
    """Find what asks which Airflow this is: its version, or whether something of it is there."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="airflow"), attr="__version__" | "version"):
                yield f"{node.lineno}: the version of Airflow"
            case ast.ImportFrom(module="airflow", names=names) if {"__version__", "version"} & {n.name for n in names}:
                yield f"{node.lineno}: the version of Airflow"
            case ast.ImportFrom(module=("airflow.version" | "packaging.version")):
                yield f"{node.lineno}: the version of Airflow"
            case ast.Call(
                func=ast.Name(id="version") | ast.Attribute(attr="version"), args=[ast.Constant(str() as of)]
            ):
                if of.startswith("apache-airflow"):
                    yield f"{node.lineno}: the version of {of}"
            case ast.Name(id=name) | ast.alias(name=name) if name.startswith("AIRFLOW_V_"):
                yield f"{node.lineno}: {name}"
            case ast.Call(func=ast.Name(id="hasattr")):
                yield f"{node.lineno}: hasattr"
            case ast.Try(body=body, handlers=handlers):
                caught = {
                    name.id
                    for each in handlers
                    if each.type
                    for name in ast.walk(each.type)
                    if isinstance(name, ast.Name)
                }
                if caught & FAILED_LOOKS and any(map(imports_airflow, body)):
                    yield f"{node.lineno}: an import of Airflow that may fail"


def imports_airflow(statement: ast.stmt) -> bool:
    """Whether a statement imports something of Airflow, by name or through import_module."""
    for node in ast.walk(statement):
        match node:
            case ast.ImportFrom(module=str() as name, level=0) | ast.Import(names=[ast.alias(name=name)]):
                if name.partition(".")[0] == "airflow":
                    return True
            case ast.Call(
                func=ast.Name(id="import_module" | "find_spec") | ast.Attribute(attr="import_module" | "find_spec"),
                args=[ast.Constant(str() as name), *_],
            ):
                if name.partition(".")[0] == "airflow":
                    return True
    return False


@pytest.mark.parametrize(
    "source",
    [
        "import airflow\nNEW = airflow.__version__ >= '3.3'",
        "from airflow import __version__",
        "from importlib.metadata import version\nversion('apache-airflow')",
        "from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS",
        "if hasattr(event, 'add_partitions'):\n    pass",
        "try:\n    from airflow.sdk import NEW\nexcept ImportError:\n    NEW = None",
        "try:\n    import_module('airflow.new')\nexcept (ImportError, OSError):\n    pass",
    ],
)
def test_the_guard_below_sees_a_question_about_versions(source: str) -> None:
    assert list(version_checks(source))


def test_the_guard_below_sees_no_other_questions() -> None:
    assert not list(
        version_checks("try:\n    import PIL\nexcept ImportError:\n    PIL = None\nfrom x import __version__")
    )


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_asks_which_airflow_this_is(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    if name == "compat.py" or name in MAY_ASK:
        return
    assert list(version_checks(path.read_text())) == []
