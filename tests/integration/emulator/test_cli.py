# SPDX-License-Identifier: Apache-2.0
"""The console script as a person or a script starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 20.0


@dataclass
class Started:
    """A running `runflow-emulator` and what it printed before it was ready."""

    process: subprocess.Popen[str]
    url: str

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; give the exit code and all that was printed."""
        self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, printed


@contextmanager
def emulator(tmp_path: Path, *argv: str) -> Iterator[Started]:
    """Start the script on a free port and wait for its ready file."""
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_runflow.emulator.cli", "--port", "0", "--ready-file", ready, *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Started(process, ready.read_text())
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_it_starts_without_any_configuration_and_prints_a_line_that_works(tmp_path: Path) -> None:
    with emulator(tmp_path, "--time-scale", "1000") as started:
        key = {"Authorization": "Bearer rf_live_emulator"}
        with httpx.Client(base_url=started.url, headers=key, trust_env=False) as http:
            body = {"input": {"prompt": "A red fox", "quality": "low"}}
            run = http.post("/v1/models/openai/gpt-image-2/runs", json=body).json()
            deadline = time.monotonic() + PATIENCE
            while run["status_code"] != "succeeded":
                assert time.monotonic() < deadline
                run = http.get(f"/v1/runs/{run['id']}").json()
            http.get("/v1/runs/nothing")
        code, printed = started.stop(signal.SIGINT)
    assert code == 0
    line = re.search(r"^export AIRFLOW_CONN_RUNFLOW_DEFAULT='(.*)'$", printed, re.MULTILINE)
    assert line is not None
    connection = json.loads(line.group(1))
    assert connection == {"conn_type": "runflow", "host": started.url, "password": "rf_live_emulator"}
    assert f"Runflow emulator on {started.url}" in printed
    assert f"{started.url}/_emulator/ledger" in printed
    assert "201 POST /v1/models/openai/gpt-image-2/runs" in printed
    assert "404 GET /v1/runs/nothing" in printed
    assert f"200 GET /v1/runs/{run['id']}" not in printed  # polls would drown everything else
    assert "Stopped. 1 runs, 1 billed, $0.009000 play money." in printed
    assert "Traceback" not in printed


def test_sigterm_stops_it_cleanly_and_options_reach_the_server(tmp_path: Path) -> None:
    argv = ["--api-key", "rf_live_mine", "--virtual-clock", "--quiet", "--fault", '{"outcome": "failed"}']
    with emulator(tmp_path, *argv) as started:
        key = {"Authorization": "Bearer rf_live_mine"}
        with httpx.Client(base_url=started.url, headers=key, trust_env=False) as http:
            assert http.get("/v1/runs", headers={"Authorization": "Bearer rf_other"}).status_code == 401
            run = http.post("/v1/models/openai/gpt-image-2/runs", json={"input": {"prompt": "A fox"}}).json()
            http.post("/_emulator/clock", json={"advance": 31})
            assert http.get(f"/v1/runs/{run['id']}").json()["status_code"] == "failed"
        code, printed = started.stop(signal.SIGTERM)
    assert code == 0
    assert "rf_live_mine" in printed
    assert "POST /v1" not in printed
    assert "Traceback" not in printed


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "airflow_provider_runflow.emulator.cli", "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"runflow-emulator: cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1
