# SPDX-License-Identifier: Apache-2.0
"""
pytest plugin: the fixture :func:`runflow_emulator`, a local Runflow for the tests of your own DAGs.

Name it in the ``conftest.py`` at the root of your tests::

    pytest_plugins = ["airflow_provider_runflow.testing"]

It is no ``pytest11`` entry point, which would load it into every pytest run of the environment, asked for or not.
Importing it imports nothing of Airflow, so that your ``conftest.py`` can still set ``AIRFLOW_HOME``. It needs the extra
``emulator``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, VirtualClock
    from airflow_provider_runflow.emulator.faults import ArmedFault
    from airflow_provider_runflow.emulator.ledger import Bill, Ledger
    from airflow_provider_runflow.emulator.runs import Run

HOST = "http://runflow.emulator"
KEY = "rf_live_emulator"


@dataclass(frozen=True)
class RunflowEmulator:
    """
    What a test sees of the local Runflow, and of its bills.

    :param emulator: the whole of it, for what has no short-cut here.
    :param clock: its virtual time, which is that of the operators, sensors and triggers as well: waiting moves it and
        takes no real time.
    :param connection: the connection as JSON, for a connection id of your own:
        ``monkeypatch.setenv("AIRFLOW_CONN_MY_RUNFLOW", runflow_emulator.connection)``.
    """

    emulator: Emulator
    clock: VirtualClock
    connection: str

    @property
    def ledger(self) -> Ledger:
        """``billed`` (one entry a debit), ``totals`` and ``requests`` (how often each route was asked), up to now."""
        return self.emulator.ledger(self.clock.now())

    @property
    def billed(self) -> list[Bill]:
        """What has been billed: ``{run_id, model, images, cost_usd, client_ref, ...}`` for each run."""
        return self.ledger["billed"]

    @property
    def cost_usd(self) -> Decimal:
        """What that comes to."""
        return Decimal(self.ledger["totals"]["cost_usd"])

    @property
    def runs(self) -> list[Run]:
        """Every run that was submitted, with its ``id``, ``input``, ``client_ref`` and ``metadata``."""
        return self.emulator.runs

    def configure(self, **switches: Any) -> EmulatorConfig:
        """
        Change how the emulator behaves from now on.

        :param switches: fields of :class:`~airflow_provider_runflow.emulator.EmulatorConfig`, such as
            ``picture_size=(64, 64)`` (quick to draw, whatever size is asked for) or ``queue_seconds=600``.
        """
        return self.emulator.configure(**switches)

    def add_fault(self, **rule: Any) -> ArmedFault:
        """
        Let something go wrong.

        :param rule: fields of :class:`~airflow_provider_runflow.emulator.Fault`, such as
            ``route="create", outcome="blocked"`` or ``route="get", effect="status", status=503, times=3``.
        """
        return self.emulator.add_fault(**rule)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass: runs go on, presigned URLs age."""
        self.clock.advance(seconds)


@pytest.fixture
def runflow_emulator(monkeypatch: pytest.MonkeyPatch) -> RunflowEmulator:
    """
    Give a Runflow of its own to one test: in this process, in virtual time, with no network and no bill.

    ``AIRFLOW_CONN_RUNFLOW_DEFAULT`` points to it, and the package's hook talks to it whatever the host of a connection
    is. Everything that runs in the test's own process takes part, such as ``dag.test()``; for other processes there is
    the command ``runflow-emulator``. A task that reschedules itself waits in Airflow's real time, which moves nothing
    here: :meth:`RunflowEmulator.advance` does.
    """
    if find_spec("PIL") is None:
        pytest.fail(
            "runflow_emulator draws with Pillow: pip install 'airflow-provider-runflow[emulator]'", pytrace=False
        )
    from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
    from airflow_provider_runflow.emulator.server import connection_json
    from airflow_provider_runflow.hooks.runflow import RunflowHook

    made = RunflowEmulator(Emulator(), VirtualClock(), connection_json(HOST, KEY))
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", made.connection)
    monkeypatch.setattr(RunflowHook, "clock", made.clock)
    monkeypatch.setattr(RunflowHook, "transport", emulator_transport(made.emulator, made.clock))
    monkeypatch.setattr(RunflowHook, "jitter", random.Random(0))  # noqa: S311 - spreads polls, guards nothing
    return made
