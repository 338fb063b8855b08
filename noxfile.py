# SPDX-License-Identifier: Apache-2.0
"""`make matrix`: the unit and integration tests on every Python and every Airflow that is promised.

An older Airflow is resolved as of a day on which its dependencies still went together; the newest is the one that
`requirements/dev.txt` locks. `nox -s 'tests-3.10(3.1)'` runs one of them.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv"
nox.options.envdir = ".nox"
nox.options.sessions = ["tests"]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
#: Airflow's release, and the day; None: as locked.
AIRFLOWS = {"3.1": ("3.1.8", "2026-04-15"), "3.2": ("3.2.2", "2026-06-30"), "3.3": ("3.3.2", None)}
TESTS = ("tests/unit", "tests/integration", "tests/contract")


@nox.session(python=PYTHONS)
@nox.parametrize("airflow", list(AIRFLOWS), ids=list(AIRFLOWS))
def tests(session: nox.Session, airflow: str) -> None:
    """Run the tests; what they came to is in build/matrix."""
    install(session, airflow)
    result = f"build/matrix/{session.python}-{airflow}.xml"
    session.run("python", "-m", "pytest", "-n", "auto", "-q", f"--junitxml={result}", *TESTS)


@nox.session(python="3.11")
@nox.parametrize("airflow", list(AIRFLOWS), ids=list(AIRFLOWS))
def browser(session: nox.Session, airflow: str) -> None:
    """Look at the *Pictures* page of an older Airflow: `nox -s "browser(3.1)"`; see build/screenshots."""
    install(session, airflow)
    session.install("--require-hashes", "-r", "requirements/browser.txt")
    session.run("python", "-m", "pytest", "tests/browser", *session.posargs)


def install(session: nox.Session, airflow: str) -> None:
    """Install an Airflow, this package and what the tests need."""
    release, day = AIRFLOWS[airflow]
    if day is None:
        session.install("--require-hashes", "-r", "requirements/dev.txt")
        session.install("--no-deps", "--no-build-isolation", "--editable", ".")
    else:
        wanted = (f"apache-airflow=={release}", "-r", "requirements/tests.in", "--editable", ".[emulator]")
        session.install("--exclude-newer", day, *wanted)
