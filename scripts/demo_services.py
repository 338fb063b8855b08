# SPDX-License-Identifier: Apache-2.0
"""What the demo runs beside Airflow: the Runflow emulator, and an S3 API whose objects are plain files."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.processes import Program
from scripts.stack import own_environment
from scripts.waiting import wait_for

START_SECONDS = 30
RCLONE_SAYS = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/?\]")


@dataclass(frozen=True)
class Emulator:
    """`runflow-emulator` with a key of its own: the only key it accepts."""

    program: Program
    key: str
    ready_file: Path

    @classmethod
    def start(cls, folder: Path, faults: Sequence[dict[str, Any]]) -> Emulator:
        key = f"rf_live_demo_{secrets.token_hex(16)}"
        ready_file = folder / "emulator.url"
        ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "airflow_provider_runflow.emulator.cli", "--port", "0"]
        command += ["--ready-file", str(ready_file)]
        for fault in faults:
            command += ["--fault", json.dumps(fault)]
        env = own_environment(RUNFLOW_EMULATOR_API_KEY=key)
        program = Program.start("emulator", command, log=folder / "emulator.log", env=env)
        return cls(program, key, ready_file)

    def wait(self) -> str:
        """The base URL, once requests are answered."""

        def url() -> str:
            self.program.check()
            return self.ready_file.read_text().strip() if self.ready_file.exists() else ""

        return wait_for(url, seconds=START_SECONDS, what="the emulator answers", every=0.05)

    def ledger(self) -> dict[str, Any]:
        """What it billed."""
        url = f"{self.ready_file.read_text().strip()}/_emulator/ledger"
        found: dict[str, Any] = httpx.get(url, trust_env=False).raise_for_status().json()
        return found


@dataclass(frozen=True)
class LocalS3:
    """`rclone serve s3`: a bucket is a folder of `root`, an object is a file."""

    program: Program
    root: Path
    access_key: str
    secret_key: str

    @classmethod
    def start(cls, root: Path, log: Path) -> LocalS3:
        access, secret = secrets.token_hex(10), secrets.token_hex(20)
        rclone = str(Path(sys.executable).with_name("rclone"))
        command = [rclone, "serve", "s3", "--config", "", "--addr", "127.0.0.1:0", "--vfs-cache-mode", "off"]
        command += ["--auth-key", f"{access},{secret}", str(root)]
        program = Program.start("rclone serve s3", command, log=log, env=own_environment())
        return cls(program, root, access, secret)

    def wait(self) -> str:
        """The endpoint, once it listens."""

        def endpoint() -> str:
            self.program.check()
            said = RCLONE_SAYS.search(self.program.log.read_text(errors="replace"))
            return said.group(1) if said else ""

        return wait_for(endpoint, seconds=START_SECONDS, what="the S3 API listens", every=0.05)

    def connection(self, endpoint: str) -> str:
        """For AIRFLOW_CONN_AWS_DEFAULT."""
        config = {
            "s3": {"addressing_style": "path"},
            "signature_version": "s3v4",
            # rclone knows no trailing checksums, which botocore sends and expects by default.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1", "config_kwargs": config}
        return json.dumps({"conn_type": "aws", "login": self.access_key, "password": self.secret_key, "extra": extra})
