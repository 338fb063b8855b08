# SPDX-License-Identifier: Apache-2.0
"""Programs that are started here: watched, explained, and ended with all their children."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.processes import Program, ProgramFailed, run_to_end, session_members, stop
from scripts.waiting import TookTooLong, wait_for

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


# As Airflow's supervisor starts a task: in a process group of its own.
SUPERVISOR = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=os.setpgrp)
print(child.pid, flush=True)
time.sleep(600)
"""


def python(code: str, log: Path) -> Program:
    return Program.start("python", [sys.executable, "-c", code], log=log, env=os.environ)


def gone(pid: int) -> bool:
    """Ended: no such process, or a zombie whose parent has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_program_that_does_not_want_to_stop_is_ended_with_its_children(tmp_path: Path) -> None:
    program = python(STUBBORN, tmp_path / "log")
    child = int(wait_for(lambda: program.log.read_text().strip(), seconds=20, what="the child's pid"))
    stop([program], grace=0.3)
    assert not program.running
    wait_for(lambda: gone(child), seconds=10, what="the child ended")


def supervised(tmp_path: Path) -> tuple[Program, int]:
    program = python(SUPERVISOR, tmp_path / "log")
    return program, int(wait_for(lambda: program.log.read_text().strip(), seconds=20, what="the child's pid"))


def test_a_killed_program_takes_along_what_has_a_process_group_of_its_own(tmp_path: Path) -> None:
    program, child = supervised(tmp_path)
    program.kill()
    assert gone(child)
    wait_for(lambda: not program.running, seconds=10, what="its end")
    program.reap()


def test_killed_alone_it_leaves_its_children_and_reaping_ends_them(tmp_path: Path) -> None:
    program, child = supervised(tmp_path)
    program.kill(alone=True)
    wait_for(lambda: not program.running, seconds=10, what="its end")
    assert not gone(child)
    assert [process.pid for process in session_members(program.pid)] == [child]
    program.reap()
    assert gone(child)


def test_a_program_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = python("print('no room left'); raise SystemExit(3)", tmp_path / "log")
    wait_for(lambda: not program.running, seconds=20, what="its end")
    with pytest.raises(ProgramFailed, match=r"(?s)python ended by itself.*no room left"):
        program.check()
    program.reap()


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    program = python("import time; time.sleep(600)", tmp_path / "log")
    stop([program])
    stop([program])
    assert not program.running


def test_a_short_program_that_fails_raises_with_its_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the database is locked')"]
    with pytest.raises(ProgramFailed, match=r"(?s)migrate failed \(exit 1\).*the database is locked"):
        run_to_end("migrate", command, log=tmp_path / "log", env=os.environ, seconds=20)


def test_a_short_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(TookTooLong, match="migrate"):
        run_to_end("migrate", command, log=tmp_path / "log", env=os.environ, seconds=0.3)
