# SPDX-License-Identifier: Apache-2.0
"""What differs between Airflow versions and is looked up, not imported."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_runflow.compat import stats

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
