# SPDX-License-Identifier: Apache-2.0
"""What `make e2e-kill` says at its end: what was killed when, and what that did to money and pictures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_runflow.emulator.runs import Run
from scripts.kill_killer import Kill
from scripts.kill_plan import BETWEEN

WANTED_KILLS = 20
WANTED_BETWEEN = 5
Json = dict[str, Any]


@dataclass
class Outcome:
    """
    What became of each picture.

    :param bills: of each picture, the billed runs.
    :param landed: the run of each picture whose object has the sha256 that the emulator drew for this run.
    :param unfinished: tasks that did not end well, with their state.
    :param problems: anything else that is wrong.
    """

    items: Sequence[str]
    bills: Mapping[str, Sequence[str]]
    landed: Mapping[str, str]
    unfinished: Sequence[str] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def billed(self) -> int:
        return sum(len(runs) for runs in self.bills.values())

    @property
    def double_paid(self) -> int:
        return sum(max(0, len(runs) - 1) for runs in self.bills.values())

    @property
    def lost(self) -> list[str]:
        """The runs that are paid and whose picture is not there."""
        return [run_id for item, runs in self.bills.items() for run_id in runs if self.landed.get(item) != run_id]

    def verdict(self) -> list[str]:
        """All that is not as it should be; empty when all is well."""
        wrong = [f"{item}: paid {len(runs)} times ({', '.join(runs)})" for item, runs in self.bills.items() if runs[1:]]
        wrong += [f"{item}: never paid" for item in self.items if not self.bills.get(item)]
        wrong += [f"{item}: a bill for none of the pictures" for item in self.bills if item not in self.items]
        wrong += [f"run {run_id}: paid, and its picture is not in the bucket as it was drawn" for run_id in self.lost]
        wrong += [f"unfinished: {what}" for what in self.unfinished]
        return wrong + self.problems


def conclude(outcome: Outcome, wrong: Sequence[str], found: Json, folder: Path) -> int:
    """
    Keep the facts, print the verdict and the facts; give the exit code.

    :param wrong: all that is not as it should be.
    :param found: what a machine reads.
    """
    (folder / "facts.json").write_text(json.dumps(found, indent=2) + "\n")
    for problem in wrong:
        print(f"WRONG: {problem}")
    if not wrong:
        print(f"{outcome.billed} bills, one for each request; {len(outcome.landed)} pictures landed as drawn.")
    print(json.dumps(found))
    return 1 if wrong else 0


def too_few(kills: Sequence[Kill]) -> list[str]:
    """What is missing for a proof; empty when there are kills enough."""
    between = sum(kill.between for kill in kills)
    wrong = []
    if len(kills) < WANTED_KILLS:
        wrong.append(f"{len(kills)} kills, fewer than {WANTED_KILLS}: this run proves too little")
    if between < WANTED_BETWEEN:
        wrong.append(f"{between} kills between intent and run id, fewer than {WANTED_BETWEEN}")
    return wrong


def landed_as_drawn(
    images: Iterable[Mapping[str, Any]], drawn: Sequence[bytes], read: Callable[[str], bytes | None]
) -> bool:
    """
    Compare the objects of a task with what the emulator drew.

    :param images: of the task's return value.
    :param read: gives the bytes of an object by its URI.
    """
    wanted = [hashlib.sha256(content).hexdigest() for content in drawn]
    said, there = [], []
    for image in images:
        content = read(str(image["uri"]))
        there.append(hashlib.sha256(content).hexdigest() if content is not None else "")
        said.append(image["sha256"])
    return there == said == wanted


def bills_by_item(items: Iterable[str], billed: Iterable[str], runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """The billed runs of each picture; those of no picture stand under what they say of themselves."""
    found: dict[str, list[str]] = {item: [] for item in items}
    for run_id in billed:
        facts = (runs[run_id].metadata or {}).get("airflow") or {}
        found.setdefault(str(facts.get("item_key", "?")), []).append(run_id)
    return found


# ---------------------------------------------------------------------------- the table


def table(kills: Iterable[Kill]) -> list[str]:
    """One line a kill: when, what, whose, where it stood, and what followed."""
    rows = [("    s", "UTC", "killed -9", "picture", "try", "it was", "seen")]
    for kill in sorted(kills, key=lambda kill: kill.at):
        rows.append(
            (
                f"{kill.at:5.1f}",
                f"{kill.moment:%H:%M:%S.%f}"[:-5],
                f"{kill.victim} ({', '.join(map(str, kill.pids))})",
                kill.item or "-",
                str(kill.entry.try_number) if kill.entry else "-",
                kill.phase.value if kill.phase else f"{kill.deferred} deferred",
                seen(kill),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def seen(kill: Kill) -> str:
    """The evidence, in words."""
    said = []
    if kill.entry is not None:
        run = "a run id" if kill.entry.run_id else "no run id"
        said.append(f"journal: {kill.entry.journal}, {run}" if kill.entry.journal else "journal: nothing")
    visit = kill.visit
    if visit is not None:
        if kill.phase in BETWEEN:
            said.append(f"runs made: {kill.known_runs}")
        if visit.dropped is not None:
            said.append(f"sender hung up after {visit.dropped - kill.clock:.2f} s")
        if visit.taken is not None and visit.taken > kill.clock:
            said.append(f"taken {visit.taken - kill.clock:.1f} s after the kill")
    if kill.leaves_task:
        lived = "until the end" if kill.lived_on is None else f"{kill.lived_on:.1f} s"
        said.append(f"task lived on {lived}" + (" beside its successor" if kill.made_two else ""))
    return "; ".join(said)


def facts(outcome: Outcome, kills: Sequence[Kill], **more: Any) -> Json:
    """What a machine reads."""
    counts = Counter(kill.victim.split(",")[0] if kill.item == "" else kill.victim for kill in kills)
    return {
        "pictures": len(outcome.items),
        "billed": outcome.billed,
        "double_paid": outcome.double_paid,
        "landed": len(outcome.landed),
        "lost": len(outcome.lost),
        "unfinished": len(outcome.unfinished),
        "kills": {"total": len(kills), **dict(sorted(counts.items()))},
        "kills_between_intent_and_run_id": sum(kill.between for kill in kills),
        "tasks_beside_their_successor": sum(kill.made_two for kill in kills),
        **more,
    }
