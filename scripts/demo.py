# SPDX-License-Identifier: Apache-2.0
"""`make demo`: nine pictures through a real Airflow, a local Runflow and a local S3, on this machine only.

    make demo                     stays up until Ctrl-C
    make demo ONCE=1              stops by itself: exit 0 when all is as it should be, else 1
    make demo LIVE=1              the real Runflow, with RUNFLOW_API_KEY, after asking (YES=1 answers)

Everything it makes is in ./demo-output: the pictures in s3/, a contact sheet in index.html, Airflow's home in airflow/.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from scripts.airflow_api import AirflowApi
from scripts.consent import DEFAULT_BASE_URL, Refused, ask, is_on
from scripts.contact_sheet import write_contact_sheet
from scripts.demo_report import TaskResult, collect, in_words, money, pictures, progress_label, total_cost
from scripts.demo_services import Emulator, LocalS3
from scripts.leak_check import PRESIGNED, count_files, find_leaks
from scripts.processes import Program, ProgramFailed, interruptible, stop, uninterrupted
from scripts.stack import AirflowStack
from scripts.waiting import TookTooLong

REPOSITORY = Path(__file__).resolve().parent.parent
OUTPUT = REPOSITORY / "demo-output"
BUCKET = "brand-assets"
DAGS = ("weekly_hero_image", "product_variants")
WANTED = 9
#: Task -> what its pictures must be: width, height, content type.
PICTURE_TASKS = {"hero": (1024, 576, "image/png"), "variants": (1024, 1024, "image/webp")}
#: The emulator's content moderation has an opinion on one headline of the brief.
BLOCKED_HEADLINE = "Scharf wie nie"
RUN_SECONDS = 300.0
LIVE_RUN_SECONDS = 1800.0
#: What a person wants to see of a task; the states in between come and go.
SHOWN_STATES = {
    "running": "running",
    "deferred": "deferred: Runflow draws, no worker slot is held",
    "up_for_retry": "will be tried again",
    "success": "done",
    "failed": "failed",
    "upstream_failed": "upstream failed",
}


@dataclass(frozen=True)
class Choices:
    """What the person asked for, from the environment that `make` sets."""

    once: bool
    live_key: str | None = field(repr=False)
    yes: bool
    idle_key: bool
    base_url: str

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Choices:
        """Only LIVE=1 together with a key means the real service; a key alone means nothing."""
        key = env.get("RUNFLOW_API_KEY") or None
        live = is_on(env.get("LIVE"))
        if live and key is None:
            raise Refused("LIVE=1 needs RUNFLOW_API_KEY in the environment. Nothing was started.")
        return cls(
            once=is_on(env.get("ONCE")),
            live_key=key if live else None,
            yes=is_on(env.get("YES")),
            idle_key=key is not None and not live,
            base_url=env.get("RUNFLOW_BASE_URL") or DEFAULT_BASE_URL,
        )

    @property
    def live(self) -> bool:
        return self.live_key is not None


class Clock:
    """Seconds since the start, in front of every line."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)


# ---------------------------------------------------------------------------- before anything starts


def confirm_cost(choices: Choices) -> None:
    """LIVE=1 names the money and asks; nothing is started on any answer but yes."""
    from airflow_provider_runflow.models import get_model

    each = get_model("openai/gpt-image-2").price({"quality": "low"})
    print(f"LIVE: {choices.base_url} will be asked for {WANTED} pictures at low quality.")
    print(f"LIVE: estimated cost {WANTED} x ${each} = ${each * WANTED}, billed to the account of RUNFLOW_API_KEY.")
    ask(choices.yes)


@contextlib.contextmanager
def output_folder(output: Path) -> Iterator[Path | None]:
    """The demo's folder, for one demo at a time; what an earlier run left is put aside (and given)."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"Another demo is using {output}. Nothing was started.") from None
        yield put_aside(output)


def put_aside(output: Path) -> Path | None:
    """Moves an earlier run's results to `earlier/<when>`: no picture is deleted, no link of its page breaks."""
    left = [output / name for name in ("s3", "airflow", "services", "index.html")]
    there = [path for path in left if path.exists()]
    if not there:
        return None
    when = datetime.fromtimestamp(max(path.stat().st_mtime for path in there))
    aside = output / "earlier" / f"{when:%Y-%m-%d_%H-%M-%S}"
    aside.mkdir(parents=True)
    for path in there:
        path.rename(aside / path.name)
    return aside


# ---------------------------------------------------------------------------- what runs


@dataclass
class Demo:
    """The running demo: services, Airflow, and what came of them."""

    choices: Choices
    output: Path
    clock: Clock
    emulator: Emulator | None = None
    programs: list[Program] = field(default_factory=list)
    on_page: set[str] = field(default_factory=set)

    @property
    def s3_root(self) -> Path:
        return self.output / "s3"

    @property
    def page(self) -> Path:
        return self.output / "index.html"

    @property
    def note(self) -> str:
        if self.choices.live:
            return "Drawn by the real Runflow, billed to your account."
        return "Placeholder art with the prompt written on it, drawn by the local emulator: nothing was really billed."

    def start(self, stack: contextlib.ExitStack) -> AirflowStack:
        """Brings up the services at once, then Airflow; whatever started is stopped with `stack`."""
        services = self.output / "services"
        (self.s3_root / BUCKET).mkdir(parents=True)
        stack.callback(self._stop_services)
        storage = LocalS3.start(self.s3_root, services / "rclone.log")
        self.programs.append(storage.program)
        if not self.choices.live:
            rule = {"route": "create", "prompt_contains": BLOCKED_HEADLINE, "outcome": "blocked"}
            self.emulator = Emulator.start(services, [rule])
            self.programs.append(self.emulator.program)
        endpoint, runflow = storage.wait(), self._runflow()
        self.clock.say(f"Runflow at {runflow['host']}, S3 at {endpoint}")
        self.clock.say("starting Airflow: API server, scheduler, DAG processor, triggerer")
        airflow = stack.enter_context(
            AirflowStack(
                self.output / "airflow",
                {"examples": REPOSITORY / "dags"},
                env={
                    "AIRFLOW_CONN_AWS_DEFAULT": storage.connection(endpoint),
                    "AIRFLOW_CONN_RUNFLOW_DEFAULT": json.dumps(runflow),
                    "RUNFLOW_EXAMPLE_DESTINATION": f"s3://{BUCKET}",
                    "RUNFLOW_EXAMPLE_QUALITY": "low",
                },
            )
        )
        self.clock.say(f"Airflow is up: {airflow.url}")
        return airflow

    def _runflow(self) -> dict[str, Any]:
        if self.emulator is None:
            return {"conn_type": "runflow", "host": self.choices.base_url, "password": str(self.choices.live_key)}
        host = self.emulator.wait()
        pages = {"run_url_template": f"{host}/_emulator/runs/{{run_id}}"}
        return {"conn_type": "runflow", "host": host, "password": self.emulator.key, "extra": pages}

    def _stop_services(self) -> None:
        with uninterrupted():
            stop(self.programs, grace=5)

    def run(self, airflow: AirflowStack) -> list[TaskResult]:
        """Triggers both DAGs, shows what their tasks do, and gives what came of them."""
        api = airflow.api
        api.wait_for_dags(list(DAGS))
        runs = {dag_id: api.trigger(dag_id) for dag_id in DAGS}
        self.clock.say(f"{' and '.join(DAGS)} triggered: {WANTED} pictures")
        progress = Progress(api, runs, self.clock)

        def watch() -> None:
            airflow.check()
            progress.show()

        seconds = LIVE_RUN_SECONDS if self.choices.live else RUN_SECONDS
        for dag_id, run_id in runs.items():
            api.wait_for_run(dag_id, run_id, seconds=seconds, watch=watch)
        progress.show()
        self.on_page = {
            card["sha256"]
            for dag_id, run_id in runs.items()
            for card in api.pictures_page(dag_id, run_id)["cards"]
            if card["status"] == "landed"
        }
        return collect(api, runs, PICTURE_TASKS, self.s3_root)

    # ------------------------------------------------------------------ afterwards

    def verdict(self, results: list[TaskResult]) -> list[str]:
        """What is not as it should be; empty when all is well."""
        wrong = [problem for picture in pictures(results) for problem in picture.problems]
        blocked = [result for result in results if result.blocked]
        strange = [result for result in results if not result.pictures and not result.blocked]
        wrong += [f"{result.dag_id} {result.label} is {result.state}" for result in strange]
        made = {picture.key: picture.facts["sha256"] for picture in pictures(results)}
        wrong += [f"{key} is not on the Pictures page" for key, sha256 in made.items() if sha256 not in self.on_page]
        if len(results) != WANTED:
            wrong.append(f"{len(results)} tasks instead of {WANTED}")
        if self.emulator is not None:
            if len(blocked) != 1:
                wrong.append(f"{len(blocked)} pictures blocked instead of 1")
            wrong += [problem for result in results for problem in _unlike_the_order(result)]
            wrong += self._compare_ledger(results)
        return wrong

    def _compare_ledger(self, results: list[TaskResult]) -> list[str]:
        assert self.emulator is not None  # noqa: S101 - for the type checker
        totals = self.emulator.ledger()["totals"]
        billed, cost = totals["billed_runs"], Decimal(totals["cost_usd"])
        print(f"Billed by the emulator's ledger: {billed} runs, {money(cost)} of play money.")
        made, said = len(pictures(results)), total_cost(results)
        if (billed, cost) == (made, said):
            return []
        return [f"the ledger says {billed} runs and {money(cost)}, the tasks say {made} and {money(said)}"]

    def leaks(self) -> list[str]:
        """Promise 5: neither the key nor a presigned URL in anything that the run left behind."""
        places = [self.output / "airflow", self.output / "services", self.s3_root, self.page]
        key = self.emulator.key if self.emulator else self.choices.live_key
        found = find_leaks(places, {"the API key": str(key), "a presigned URL": PRESIGNED})
        print(
            f"Secrets: {count_files(places)} files searched (database, logs, pictures, sidecars, contact sheet): "
            + ("; ".join(found) if found else "no API key, no presigned URL.")
        )
        return found


def _unlike_the_order(result: TaskResult) -> list[str]:
    wanted = PICTURE_TASKS[result.task_id]
    made = {p.key: (p.facts["width"], p.facts["height"], p.facts["content_type"]) for p in result.pictures}
    return [f"{key}: is {found}, not {wanted}" for key, found in made.items() if found != wanted]


class Progress:
    """Prints a line whenever a task instance has come to a state worth telling."""

    def __init__(self, api: AirflowApi, runs: Mapping[str, str], clock: Clock) -> None:
        self._api, self._runs, self._clock = api, runs, clock
        self._told: dict[tuple[str, str, int], tuple[str, int]] = {}

    def show(self) -> None:
        for dag_id, run_id in self._runs.items():
            for instance in self._api.task_instances(dag_id, run_id):
                self._tell(instance)

    def _tell(self, instance: Mapping[str, Any]) -> None:
        state = instance["state"]
        who = (instance["dag_id"], instance["task_id"], instance["map_index"])
        if state not in SHOWN_STATES or self._told.get(who) == (state, instance["try_number"]):
            return
        seen = who in self._told
        self._told[who] = (state, instance["try_number"])
        if state == "running" and seen:
            return  # resumed after its deferral: the end follows at once
        self._clock.say(f"{instance['dag_id']}  {progress_label(instance):<26}  {SHOWN_STATES[state]}")


def stay(airflow: AirflowStack, clock: Clock) -> None:
    """Until Ctrl-C, or until something that should run has ended."""
    clock.say("up until Ctrl-C")
    while True:
        airflow.check()
        time.sleep(0.5)


def show(demo: Demo, airflow: AirflowStack) -> bool:
    """Runs the DAGs, prints and writes what came of them; whether all is as it should be."""
    results = demo.run(airflow)
    print()
    print("\n".join(in_words(results)))
    print(f"Total cost as the runs say: {money(total_cost(results))}. {demo.note}")
    write_contact_sheet(demo.page, results, note=demo.note, now=datetime.now())
    wrong = demo.verdict(results) + demo.leaks()
    for problem in wrong:
        print(f"WRONG: {problem}")
    print(f"Pictures       {demo.s3_root / BUCKET}")
    print(f"Contact sheet  {demo.page}")
    if not demo.choices.once:
        print(f"Airflow        {airflow.url}/dags/product_variants")
        print(f"Pictures page  {airflow.url}/plugin/runflow-pictures")
    return not wrong


def run_demo(choices: Choices, output: Path) -> int:
    if choices.idle_key:
        print("RUNFLOW_API_KEY is set but LIVE=1 is not: it is not used and not passed on.")
    if choices.live:
        confirm_cost(choices)
    clock = Clock()
    with output_folder(output) as aside, contextlib.ExitStack() as stack:
        if aside:
            print(f"The pictures of an earlier demo are now in {aside}")
        demo = Demo(choices, output, clock)
        well = show(demo, demo.start(stack)) if choices.once else _until_interrupted(demo, stack)
        clock.say("stopping what was started; the pictures stay")
    clock.say("stopped")
    return 0 if well else 1


def _until_interrupted(demo: Demo, stack: contextlib.ExitStack) -> bool:
    airflow = demo.start(stack)
    well = show(demo, airflow)
    with contextlib.suppress(KeyboardInterrupt):
        stay(airflow, demo.clock)
    return well


def main() -> int:
    with interruptible():
        try:
            return run_demo(Choices.read(os.environ), OUTPUT)
        except Refused as refusal:
            print(f"demo: {refusal}", file=sys.stderr)
        except (ProgramFailed, TookTooLong) as trouble:
            print(f"demo: {trouble}", file=sys.stderr)
        except KeyboardInterrupt:
            print("demo: interrupted; what was started is stopped", file=sys.stderr)
            return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
