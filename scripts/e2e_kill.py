# SPDX-License-Identifier: Apache-2.0
"""`make e2e-kill`: thirty pictures through a real Airflow whose processes are killed all the while.

    make e2e-kill                 SEED=1
    make e2e-kill SEED=7          other moments

Kills -9 busy task processes, their supervisors, the triggerer and the API server; exit 0 when each picture was billed
once and its bytes landed, else 1. What is left of it (Airflow's home with all logs, the facts) is in ./build/e2e-kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from scripts.kill_door import Door
from scripts.kill_killer import PATIENCE, AimBook, Killer
from scripts.kill_plan import Plan, make_plan
from scripts.kill_report import Outcome, bills_by_item, conclude, facts, landed_as_drawn, table, too_few
from scripts.kill_watch import Database
from scripts.leak_check import PRESIGNED, find_leaks
from scripts.processes import ProgramFailed, interruptible
from scripts.stack import AirflowStack
from scripts.waiting import TookTooLong, wait_for
from tests.servers import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "build" / "e2e-kill"
DAGS = Path(__file__).with_name("kill_dag")
DAG_ID = "thirty_pictures"
BUCKET = "brand-assets"
AT_WORK = [f"p{number:02}" for number in range(12)]
DEFERRED = [f"p{number:02}" for number in range(12, 30)]
KEY = "rf_live_only_for_the_kill_test"
#: From the first process to the last: nothing here takes longer, come what may.
DEADLINE = 600.0
SETTLE = 90.0

#: As a deployment has them that wants to notice soon; 300 s and more is the default.
FAST_FAILING = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


@dataclass
class World:
    """Everything that runs."""

    plan: Plan
    aims: AimBook
    emulator: Emulator
    server: EmulatorServer
    door: Door
    s3: S3Server
    stack: AirflowStack

    def read(self, uri: str) -> bytes | None:
        """An object of the bucket, or None."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.read(bucket, key) if bucket == BUCKET and key in self.s3.keys(BUCKET, key) else None


@contextlib.contextmanager
def started(seed: int, home: Path) -> Iterator[World]:
    """The emulator behind its door, an S3 API, Airflow; all of it stops with the block."""
    plan = make_plan(seed, AT_WORK, DEFERRED)
    aims = AimBook(plan)
    # Runs of 20 to 24 s: long enough to be waited for when something dies.
    emulator = Emulator(EmulatorConfig(seed=seed, time_scale=0.5, api_keys=(KEY,), picture_size=(256, 256)))
    door = Door(emulator, aims.current)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmulatorServer(emulator, around=door.around))
        stack.callback(door.open)
        s3 = S3Server.start()
        stack.callback(s3.stop)
        s3.bucket(BUCKET)
        connection = {**json.loads(server.connection_json(KEY)), "extra": {"request_timeout": PATIENCE}}
        env = {
            **FAST_FAILING,
            "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": json.dumps(connection),
            "E2E_KILL_KEYS": json.dumps({"at_work": AT_WORK, "deferred": DEFERRED}),
            "E2E_KILL_DESTINATION": f"s3://{BUCKET}/pictures",
        }
        airflow = stack.enter_context(AirflowStack(home, {"kill": DAGS}, env=env, parallelism=8))
        yield World(plan, aims, emulator, server, door, s3, airflow)


def run(world: World, began: float) -> tuple[Killer, str]:
    """Triggers the DAG and kills until it has ended; gives what was killed and the DAG run's id."""
    api = world.stack.api
    api.wait_for_dags([DAG_ID])
    run_id = api.trigger(DAG_ID)
    items = {key: ("at_work", index) for index, key in enumerate(AT_WORK)}
    items |= {key: ("deferred", index) for index, key in enumerate(DEFERRED)}
    database = Database(world.stack.home / "airflow.db")
    killer = Killer(world.stack, world.door, database, DAG_ID, run_id, world.plan, items, began, world.aims)
    told = 0
    while database.run_state(DAG_ID, run_id) not in ("success", "failed"):
        if time.monotonic() - began > DEADLINE - SETTLE:
            print("the DAG run has not ended in time")
            break
        killer.tick()
        for kill in killer.kills[told:]:
            say(began, f"kill -9  {kill.victim}  {kill.item}  {kill.phase.value if kill.phase else ''}".rstrip())
        told = len(killer.kills)
        time.sleep(0.1)
    world.door.open()
    say(began, f"the DAG run is {database.run_state(DAG_ID, run_id)}")
    return killer, run_id


def settle(world: World, killer: Killer, began: float) -> list[str]:
    """Waits for every task process and every run at the emulator: what has not ended could still bill."""

    def quiet() -> bool:
        processes = killer.task_processes()
        killer.follow(processes)
        now = world.server.clock.now()
        return not processes and all(run.completed_at(now) for run in world.emulator.runs)

    try:
        wait_for(quiet, seconds=max(1.0, began + DEADLINE - time.monotonic()), what="the last task process ended")
    except TookTooLong as late:
        return [str(late)]
    return []


def judge(world: World, run_id: str, problems: list[str]) -> Outcome:
    """Compares the emulator's ledger, Airflow's task instances, and the objects in the bucket."""
    keys = {("at_work", index): key for index, key in enumerate(AT_WORK)}
    keys |= {("deferred", index): key for index, key in enumerate(DEFERRED)}
    ledger = world.emulator.ledger(world.server.clock.now())
    runs = {run.id: run for run in world.emulator.runs}
    bills = bills_by_item(keys.values(), (bill["run_id"] for bill in ledger["billed"]), runs)
    landed: dict[str, str] = {}
    unfinished = []
    wait_for(world.stack.api.healthy, seconds=60, what="Airflow healthy after the last kill")
    for instance in world.stack.api.task_instances(DAG_ID, run_id):
        key = keys[instance["task_id"], instance["map_index"]]
        if instance["state"] != "success":
            unfinished.append(f"{key} {instance['state']}: {world.stack.api.error_of(instance)}")
        images = (world.stack.api.xcom(instance) or {}).get("images", [])
        for bought in bills[key]:
            if images and landed_as_drawn(images, [world.emulator.picture(bought)], world.read):
                landed[key] = bought
    leaks = find_leaks([world.stack.home], {"the key": KEY, "a presigned URL": PRESIGNED})
    return Outcome(list(keys.values()), bills, landed, unfinished, problems + leaks)


def say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def e2e_kill(seed: int) -> int:
    began = time.monotonic()
    folder = OUTPUT / f"{datetime.now(timezone.utc):%Y-%m-%d_%H-%M-%S}_seed-{seed}"
    with started(seed, folder / "airflow") as world:
        say(began, f"seed {seed}: {len(AT_WORK) + len(DEFERRED)} pictures, {world.plan.kills} kills planned; {folder}")
        killer, run_id = run(world, began)
        problems = settle(world, killer, began)
        outcome = judge(world, run_id, problems)
        tries = [entry.try_number for entry in killer.database.entries(DAG_ID, run_id).values()]
        posts = sum(visit.route == "create" for visit in world.door.visits)
    found = facts(
        outcome,
        killer.kills,
        runs_made=len(world.emulator.runs),
        posts=posts,
        tries=sum(tries),
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )
    return report(killer, outcome, found, folder)


def report(killer: Killer, outcome: Outcome, found: dict[str, Any], folder: Path) -> int:
    """Prints the table, the verdict and the facts; gives the exit code."""
    lines = table(killer.kills)
    lines += [f"not killed, its moment did not come: {what}" for what in killer.not_killed]
    (folder / "kills.txt").write_text("\n".join(lines) + "\n")
    print("\n" + "\n".join(lines) + "\n")
    return conclude(outcome, outcome.verdict() + too_few(killer.kills), found, folder)


def main() -> int:
    with interruptible():
        try:
            return e2e_kill(int(os.environ.get("SEED") or 1))
        except (ProgramFailed, TookTooLong) as trouble:
            print(f"e2e-kill: {trouble}", file=sys.stderr)
        except KeyboardInterrupt:
            print("e2e-kill: interrupted; what was started is stopped", file=sys.stderr)
            return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
