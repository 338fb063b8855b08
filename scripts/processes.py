# SPDX-License-Identifier: Apache-2.0
"""Start programs, watch them, and end exactly those that were started here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from scripts.waiting import wait_for

#: A silent end of that length needs no explanation.
PATIENT_SECONDS = 3.0


class ProgramFailed(RuntimeError):
    """A program ended that should have kept running, or could not be brought up."""


@dataclass(frozen=True)
class Program:
    """A running program, its process group and its log."""

    name: str
    log: Path
    _process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Program:
        """Starts it in a session of its own, so that Ctrl-C reaches only the one who started it."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
            )
        return cls(name, log, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        """Looks without reaping: the process id stays ours until `reap`."""
        if self._process.returncode is not None:
            return False
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, flags) is None
        except ChildProcessError:
            return False

    def check(self) -> None:
        """Raises with the end of the log when the program is no longer there."""
        if not self.running:
            raise ProgramFailed(f"{self.name} ended by itself. {self.tail()}")

    def tail(self, lines: int = 30) -> str:
        """The end of the log, for a person."""
        try:
            text = self.log.read_text(errors="replace").splitlines()[-lines:]
        except OSError as error:
            return f"(its log {self.log} cannot be read: {error})"
        return "\n".join([f"The end of {self.log}:", *(f"    {line}" for line in text)])

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL, for all that it started too, or for its first process alone. Its id stays ours until `reap`."""
        if alone:
            self.signal(signal.SIGKILL)
            return
        for _ in range(100):  # again, for what was being started meanwhile
            members = session_members(self.pid)
            if not members:
                return
            for process in members:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(members, timeout=0.1)

    def reap(self) -> None:
        """Ends what is left of it, then gives the process id back."""
        if self._process.returncode is None:
            self.kill()
        self._process.wait()


def session_members(session: int) -> list[psutil.Process]:
    """Every process of a session: all that a program has started, also in process groups of its own or orphaned."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def stop(programs: Sequence[Program], *, grace: float = 20.0) -> None:
    """Asks all at once (SIGTERM), waits up to `grace` seconds, then ends what is left (SIGKILL)."""
    for program in programs:
        if program.running:
            program.signal(signal.SIGTERM)
    began, told = time.monotonic(), False
    while (passed := time.monotonic() - began) < grace and (left := [p.name for p in programs if p.running]):
        if passed > PATIENT_SECONDS and not told:
            told = True
            print(f"Waiting for {', '.join(left)} to end, {grace:.0f} s at most.", file=sys.stderr, flush=True)
        time.sleep(0.05)
    for program in programs:
        program.reap()


def run_to_end(name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str], seconds: float) -> None:
    """Runs a short program; raises with the end of its log unless it exits 0 in time."""
    program = Program.start(name, command, log=log, env=env)
    try:
        wait_for(lambda: not program.running, seconds=seconds, what=f"{name} ({program.log})")
    finally:
        program.reap()
    if program._process.returncode != 0:
        raise ProgramFailed(f"{name} failed (exit {program._process.returncode}). {program.tail()}")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal all become KeyboardInterrupt, even where a shell had them ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """While cleaning up: a second Ctrl-C changes nothing."""
    with _handling(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handling(handler: signal._HANDLER) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
