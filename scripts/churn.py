# SPDX-License-Identifier: Apache-2.0
"""`make churn`: does the triggerer of a real Airflow grow while runs come and go? (MINUTES=30)

DAG runs follow each other without a pause; every ten seconds the memory of the triggerer's processes is read. Exit 0
when the last third needs no more than the middle third, within 5 %. The facts are one JSON line, and in ./build/churn.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import psutil

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from scripts.processes import ProgramFailed, interruptible, session_members
from scripts.stack import AirflowStack
from scripts.waiting import TookTooLong
from tests.servers import S3Server

OUTPUT = Path(__file__).resolve().parent.parent / "build" / "churn"
DAGS = Path(__file__).with_name("churn_dag")
DAG_ID = "churn"
BUCKET = "brand-assets"
KEY = "rf_live_only_for_the_churn"
EVERY = 10.0
#: DAG runs that are under way at the same time.
AT_ONCE = 2
MOST_GROWTH = 1.05


@contextlib.contextmanager
def started(home: Path) -> Iterator[tuple[Emulator, AirflowStack]]:
    """The emulator, an S3 API, Airflow."""
    emulator = Emulator(EmulatorConfig(time_scale=0.2, api_keys=(KEY,), picture_size=(64, 64)))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmulatorServer(emulator))
        s3 = S3Server.start()
        stack.callback(s3.stop)
        s3.bucket(BUCKET)
        env = {
            "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": server.connection_json(KEY),
            "CHURN_DESTINATION": f"s3://{BUCKET}/churn",
        }
        yield emulator, stack.enter_context(AirflowStack(home, {"churn": DAGS}, env=env, parallelism=8))


def churn(minutes: float) -> int:
    began = time.monotonic()
    folder = OUTPUT / f"{datetime.now(timezone.utc):%Y-%m-%d_%H-%M-%S}"
    print(f"churn: {minutes:g} minutes; Airflow's home and logs are in {folder}", flush=True)
    with started(folder / "airflow") as (emulator, stack):
        stack.api.wait_for_dags([DAG_ID])
        triggerer = stack.component("triggerer").pid
        until, look = time.monotonic() + minutes * 60, 0.0
        ended: list[str] = []
        active: list[str] = []
        megabytes: list[float] = []
        while time.monotonic() < until:
            stack.check()
            states = {run_id: stack.api.run_state(DAG_ID, run_id) for run_id in active}
            ended += [state for state in states.values() if state in ("success", "failed")]
            active = [run_id for run_id, state in states.items() if state not in ("success", "failed")]
            active += [stack.api.trigger(DAG_ID) for _ in range(AT_ONCE - len(active))]
            if time.monotonic() - look >= EVERY:
                look = time.monotonic()
                megabytes.append(memory(triggerer))
            time.sleep(0.5)
        found = facts(megabytes, ended)
        found |= {"runs_made": len(emulator.runs), "seconds": round(time.monotonic() - began)}
    (folder / "facts.json").write_text(json.dumps({**found, "megabytes": megabytes}, indent=2) + "\n")
    print(json.dumps(found))
    return 0 if found["flat"] and ended and set(ended) == {"success"} else 1


def memory(session: int) -> float:
    """
    Megabytes that the processes of a session hold.

    The resident set size, in which pages that a fork shares with its parent count twice, on purpose: the first full
    garbage collection after the fork writes to every object, so the kernel copies those pages. What each process has to
    itself then leaps, once and for good; the resident set stays what it was, and shows growth alone.
    """
    total = 0
    for process in session_members(session):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return round(total / 1e6, 1)


def facts(megabytes: Sequence[float], ended: Sequence[str]) -> dict[str, object]:
    """Compare the thirds: the first one holds what is imported and cached on first use."""
    third = len(megabytes) // 3
    first, middle, last = (
        round(statistics.median(part), 1) if part else 0.0
        for part in (megabytes[:third], megabytes[third : 2 * third], megabytes[2 * third :])
    )
    return {
        "dag_runs": len(ended),
        "failed": sum(state == "failed" for state in ended),
        "samples": len(megabytes),
        "megabytes_first_third": first,
        "megabytes_middle_third": middle,
        "megabytes_last_third": last,
        "flat": third > 0 and last <= middle * MOST_GROWTH,
    }


def main() -> int:
    with interruptible():
        try:
            return churn(float(os.environ.get("MINUTES") or 30))
        except (ProgramFailed, TookTooLong) as trouble:
            print(f"churn: {trouble}", file=sys.stderr)
        except KeyboardInterrupt:
            print("churn: interrupted; what was started is stopped", file=sys.stderr)
            return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
