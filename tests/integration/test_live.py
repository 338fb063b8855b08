# SPDX-License-Identifier: Apache-2.0
"""`make live` as a person starts it, but against an emulator: what it asks, buys, writes down and keeps to itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorServer
from tests.contract.questions import QUESTIONS

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "rf_live_never_show_this_key"


def make_live(server: EmulatorServer, answers: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "RUNFLOW_API_KEY": KEY, "RUNFLOW_BASE_URL": server.url, "YES": "1"}
    command = [sys.executable, "-m", "scripts.live", "--answers", str(answers)]
    return subprocess.run(
        command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def spent(server: EmulatorServer) -> Decimal:
    return Decimal(server.emulator.ledger(datetime.now(timezone.utc))["totals"]["cost_usd"])


def test_every_question_is_answered_and_no_secret_is_written_or_printed(tmp_path: Path) -> None:
    with EmulatorServer(Emulator(time_scale=500, picture_size=(24, 16), api_keys=(KEY,))) as server:
        done = make_live(server, tmp_path / "answers.json")
        assert done.returncode == 0, done.stdout[-3000:]
        assert 0 < spent(server) <= Decimal("0.036")
    written = (tmp_path / "answers.json").read_text()
    live = json.loads(written)
    assert live["answers"].keys() == {question.name for question in QUESTIONS}
    assert datetime.fromisoformat(live["asked_at"]).tzinfo is not None
    assert "The emulator answers the same." in done.stdout
    for text in (written, done.stdout, done.stderr):
        assert KEY not in text
        assert "X-Amz-Signature=" not in text


def test_a_service_that_is_otherwise_is_told_apart_in_words_and_costs_no_more(tmp_path: Path) -> None:
    other = Emulator(
        time_scale=500, picture_size=(24, 16), idempotency=False, list_metadata=False, cancelled_spelling="cancelled"
    )
    with EmulatorServer(other) as server:
        done = make_live(server, tmp_path / "answers.json")
        assert done.returncode == 0, done.stdout[-3000:]
        assert spent(server) <= Decimal("0.036")
    assert 'idempotency: Runflow "creates another run", the emulator "replays the first answer"' in done.stdout
    assert "list_metadata: Runflow" in done.stdout
