# SPDX-License-Identifier: Apache-2.0
"""`make e2e-celery`: 250 pictures through an Airflow on PostgreSQL, Redis and Celery that loses its parts meanwhile.

Two schedulers, two workers, two triggerers, no shared disk. A campaign of 200 pictures in one task and 50 single tasks;
a busy worker, a triggerer with tasks in hand and the API server are killed -9 and come back. Exit 0 when each picture
was billed once and its bytes landed. What is left of it (logs, the facts) is in ./build/e2e-celery.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from airflow_provider_runflow.emulator import Emulator, EmulatorConfig, EmulatorServer
from airflow_provider_runflow.landing.manifest import parse_rows
from scripts.celery_stack import DATABASE, TRIGGERERS, WORKERS, CeleryStack, celery_airflow
from scripts.celery_watch import Record
from scripts.e2e_kill import FAST_FAILING, say
from scripts.kill_report import Json, Outcome, bills_by_item, conclude, landed_as_drawn
from scripts.leak_check import PRESIGNED, find_leaks
from scripts.processes import ProgramFailed, interruptible
from scripts.waiting import TookTooLong, wait_for
from tests.servers import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "build" / "e2e-celery"
DAGS = Path(__file__).with_name("celery_dag")
DAG_ID = "fleet"
BUCKET = "brand-assets"
LOGS = "airflow-logs"
KEY = "rf_live_only_for_the_celery_test"
ITEMS: Mapping[str, list[str]] = {
    "campaign": [f"c{number:03}" for number in range(200)],
    "at_work": [f"w{number:02}" for number in range(10)],
    "deferred": [f"d{number:02}" for number in range(40)],
}
KEYS = [key for keys in ITEMS.values() for key in keys]
DEADLINE = 900.0
#: Airflow first mends what one blow broke.
BETWEEN_BLOWS = 20.0
#: So long a worker stays away.
AWAY = 10.0


@dataclass
class World:
    """Everything that runs."""

    emulator: Emulator
    server: EmulatorServer
    s3: S3Server
    stack: CeleryStack
    record: Record
    began: float
    run_id: str = ""
    blows: list[Json] = field(default_factory=list)

    def read(self, uri: str) -> bytes | None:
        """An object of the bucket, or None."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.read(bucket, key) if key in self.s3.keys(bucket, key) else None

    def ended(self) -> bool:
        """Whether the DAG run has ended; stops the show when a component has died by itself, or time is up."""
        self.stack.check()
        if time.monotonic() - self.began > DEADLINE:
            raise TookTooLong(f"the DAG run has not ended: {dict(self.record.task_states(DAG_ID, self.run_id))}")
        return self.record.run_state(DAG_ID, self.run_id) in ("success", "failed")


@contextlib.contextmanager
def started(home: Path) -> Iterator[World]:
    """The emulator, an S3 API, Airflow with its servers; all of it stops with the block."""
    began = time.monotonic()
    emulator = Emulator(EmulatorConfig(time_scale=0.5, api_keys=(KEY,), picture_size=(64, 64)))
    with contextlib.ExitStack() as stack:
        # PostgreSQL runs as a user of its own, who cannot enter everybody's folders.
        servers = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e2e-celery-")))
        servers.chmod(0o755)
        server = stack.enter_context(EmulatorServer(emulator))
        s3 = S3Server.start()
        stack.callback(s3.stop)
        for bucket in (BUCKET, LOGS):
            s3.bucket(bucket)
        env = {
            **FAST_FAILING,
            "AIRFLOW_CONN_AWS_DEFAULT": s3.connection_json,
            "AIRFLOW_CONN_RUNFLOW_DEFAULT": server.connection_json(KEY),
            "E2E_CELERY_ITEMS": json.dumps(ITEMS),
            "E2E_CELERY_DESTINATION": f"s3://{BUCKET}/pictures",
        }
        airflow = stack.enter_context(celery_airflow(home, {"fleet": DAGS}, env, servers, f"s3://{LOGS}/tasks"))
        yield World(emulator, server, s3, airflow, Record(airflow.database, DATABASE), began)


# ---------------------------------------------------------------------------- what is broken


def worker_dies(world: World, worker: str) -> bool:
    """Kill a worker with all its processes while it works, and let it come back a little later."""
    in_hand = world.record.running(DAG_ID, world.run_id, worker)
    if not in_hand or len(world.emulator.runs) < 20:
        return False
    world.stack.kill(worker)
    killed = time.monotonic()
    noted(world, worker, f"{len(in_hand)} tasks in hand")
    wait_for(lambda: time.monotonic() - killed > AWAY or world.ended(), seconds=AWAY + 5, what="the time off")
    world.stack.restart(worker)
    return True


def triggerer_dies(world: World, triggerer: str) -> bool:
    """Kill a triggerer with triggers in hand; it comes back when the other one has taken them over."""
    in_hand = world.record.triggers(triggerer)
    if len(in_hand) < 5:
        return False
    world.stack.kill(triggerer)
    other = next(name for name in TRIGGERERS if name != triggerer)
    moved: set[int] = set()

    def taken_over() -> bool:
        moved.update(in_hand & world.record.triggers(other))
        return not world.record.triggers(triggerer) or world.ended()

    wait_for(taken_over, seconds=120, what=f"{other} takes over the triggers of {triggerer}")
    noted(world, triggerer, f"{len(in_hand)} triggers in hand, {len(moved)} seen to move to {other}", moved=len(moved))
    world.stack.restart(triggerer)
    return True


def api_server_dies(world: World) -> bool:
    """Kill the API server while tasks are at work; it comes back at once."""
    states = world.record.task_states(DAG_ID, world.run_id)
    if not states["running"]:
        return False
    world.stack.kill_and_restart("api-server")
    noted(world, "api-server", f"{states['running']} tasks running, {states['deferred']} deferred")
    wait_for(world.stack.api.healthy, seconds=120, what="the API server is back")
    return True


def noted(world: World, victim: str, what: str, **more: int) -> None:
    at = round(time.monotonic() - world.began, 1)
    world.blows.append({"at": at, "victim": victim, "seen": what, **more})
    say(world.began, f"kill -9  {victim}: {what}")


def run(world: World) -> None:
    """Trigger the DAG, and break one thing after another until it has ended."""
    world.stack.api.wait_for_dags([DAG_ID])
    everybody = ["scheduler-1", "scheduler-2", *TRIGGERERS]
    wait_for(lambda: len(world.record.alive(everybody)) == 4, seconds=120, what="two schedulers, two triggerers")
    world.run_id = world.stack.api.trigger(DAG_ID)
    say(world.began, f"{len(KEYS)} pictures: {', '.join(f'{len(keys)} {name}' for name, keys in ITEMS.items())}")
    blows: list[Callable[[], bool]] = [
        lambda: worker_dies(world, WORKERS[0]),
        lambda: any(triggerer_dies(world, name) for name in TRIGGERERS),
        lambda: api_server_dies(world),
    ]
    latest = 0.0
    while not world.ended():
        if blows and time.monotonic() - latest > BETWEEN_BLOWS and blows[0]():
            blows.pop(0)
            latest = time.monotonic()
        time.sleep(0.2)
    say(world.began, f"the DAG run is {world.record.run_state(DAG_ID, world.run_id)}")


# ---------------------------------------------------------------------------- what came of it


def judge(world: World, home: Path) -> Outcome:
    """Compare the emulator's ledger, Airflow's task instances, and the objects in the bucket."""
    wait_for(world.stack.api.healthy, seconds=60, what="Airflow healthy after the last kill")
    ledger = world.emulator.ledger(world.server.clock.now())
    runs = {run.id: run for run in world.emulator.runs}
    bills = bills_by_item(KEYS, (bill["run_id"] for bill in ledger["billed"]), runs)
    images: dict[str, list[Json]] = {}
    unfinished = []
    for instance in world.stack.api.task_instances(DAG_ID, world.run_id):
        if instance["state"] != "success":
            error = world.stack.api.error_of(instance)
            unfinished.append(f"{instance['task_id']}[{instance['map_index']}] {instance['state']}: {error}")
        result = world.stack.api.xcom(instance) or {}
        if instance["task_id"] == "campaign":
            text = (world.read(result.get("manifest_uri", "")) or b"").decode()
            images |= {row.key: [image.as_dict() for image in row.images] for row in parse_rows(text)}
        else:
            images[ITEMS[instance["task_id"]][instance["map_index"]]] = result.get("images", [])
    landed = {
        key: bought
        for key, paid in bills.items()
        for bought in paid
        if images.get(key) and landed_as_drawn(images[key], [world.emulator.picture(bought)], world.read)
    }
    logs = home / "task-logs"
    for name in world.s3.keys(LOGS):
        path = logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(world.s3.read(LOGS, name))
    problems = find_leaks([home], {"the key": KEY, "a presigned URL": PRESIGNED})
    if not any(logs.rglob("*.log")):
        problems.append("no task log is in the bucket")
    problems += [
        f"{what} was not killed"
        for what in (WORKERS[0], "triggerer", "api-server")
        if not any(blow["victim"].startswith(what) for blow in world.blows)
    ]
    if not any(blow.get("moved") for blow in world.blows):
        problems.append("no trigger was seen to move from one triggerer to the other")
    return Outcome(KEYS, bills, landed, unfinished, problems)


def e2e_celery() -> int:
    folder = OUTPUT / f"{datetime.now(timezone.utc):%Y-%m-%d_%H-%M-%S}"
    print(f"e2e-celery: Airflow's home and logs are in {folder}", flush=True)
    with started(folder / "airflow") as world:
        run(world)
        outcome = judge(world, folder)
        found = {
            "pictures": len(KEYS),
            "billed": outcome.billed,
            "double_paid": outcome.double_paid,
            "landed": len(outcome.landed),
            "lost": len(outcome.lost),
            "unfinished": len(outcome.unfinished),
            "runs_made": len(world.emulator.runs),
            "tasks": sum(world.record.task_states(DAG_ID, world.run_id).values()),
            "tries": world.record.tries(DAG_ID, world.run_id),
            "kills": world.blows,
            "seconds": round(time.monotonic() - world.began, 1),
        }
    return conclude(outcome, outcome.verdict(), found, folder)


def main() -> int:
    with interruptible():
        try:
            return e2e_celery()
        except (ProgramFailed, TookTooLong) as trouble:
            print(f"e2e-celery: {trouble}", file=sys.stderr)
        except KeyboardInterrupt:
            print("e2e-celery: interrupted; what was started is stopped", file=sys.stderr)
            return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
