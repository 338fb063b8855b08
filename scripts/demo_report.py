# SPDX-License-Identifier: Apache-2.0
"""What became of the demo's pictures: read from Airflow, checked against the files, put into words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import imagesize

from scripts.airflow_api import AirflowApi

MAGIC = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/webp": (b"RIFF",),
}


@dataclass(frozen=True)
class Picture:
    """One image that a task says it landed, with the file that stands for the object."""

    key: str
    path: Path
    facts: Mapping[str, Any]
    cost: Decimal | None
    sidecar: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Everything in which the file differs from what the task returned."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            return [f"{self.key}: {error.strerror}"]
        content_type = str(self.facts["content_type"])
        pairs = {
            "bytes": (len(content), self.facts["size_bytes"]),
            "sha256": (hashlib.sha256(content).hexdigest(), self.facts["sha256"]),
            "pixels": (imagesize.get(str(self.path)), (self.facts["width"], self.facts["height"])),
        }
        found = [f"{self.key}: {what} is {is_}, not {said}" for what, (is_, said) in pairs.items() if is_ != said]
        if not content.startswith(MAGIC.get(content_type, ())):
            found.append(f"{self.key}: not {content_type}")
        return found


@dataclass(frozen=True)
class TaskResult:
    """One task instance that should have made pictures."""

    dag_id: str
    task_id: str
    label: str
    state: str
    tries: int
    pictures: tuple[Picture, ...]
    error: str = ""

    @property
    def blocked(self) -> bool:
        """Whether content moderation refused the prompt."""
        words = self.error.lower().replace("_", " ")
        return self.state == "failed" and any(sign in words for sign in ("moderat", "content policy"))


def collect(api: AirflowApi, runs: Mapping[str, str], tasks: Iterable[str], s3_root: Path) -> list[TaskResult]:
    """One result for each instance of the tasks named, in the DAG runs `{dag_id: run_id}`."""
    wanted = set(tasks)
    instances = [
        instance
        for dag_id, run_id in runs.items()
        for instance in api.task_instances(dag_id, run_id)
        if instance["task_id"] in wanted
    ]
    results: list[TaskResult] = []
    for instance in instances:
        returned = api.xcom(instance) or {}
        if "manifest_uri" in returned:
            results += _items(instance, returned["manifest_uri"], s3_root)
        else:
            results.append(_result(api, instance, returned, s3_root))
    return results


def _items(instance: Mapping[str, Any], manifest_uri: str, s3_root: Path) -> list[TaskResult]:
    """One result for each item of a batch task, by its manifest."""
    rows = [json.loads(line) for line in _path(manifest_uri, s3_root).read_text(encoding="utf-8").splitlines()]
    return [
        TaskResult(
            dag_id=instance["dag_id"],
            task_id=instance["task_id"],
            label=f"{instance['task_id']} {row['key']}",
            state="success" if row["outcome"] == "succeeded" else "failed",
            tries=instance["try_number"],
            pictures=tuple(
                _picture(image, _share(row["cost_usd"], len(row["images"])), s3_root) for image in row["images"]
            ),
            error=row["reason"] or "",
        )
        for row in rows
    ]


def _result(api: AirflowApi, instance: Mapping[str, Any], returned: Mapping[str, Any], s3_root: Path) -> TaskResult:
    images = returned.get("images", [])
    share = _share(returned.get("cost_usd"), len(images))
    return TaskResult(
        dag_id=instance["dag_id"],
        task_id=instance["task_id"],
        label=label(instance),
        state=instance["state"] or "none",
        tries=instance["try_number"],
        pictures=tuple(_picture(image, share, s3_root) for image in images),
        error="" if instance["state"] == "success" else api.error_of(instance),
    )


def label(instance: Mapping[str, Any]) -> str:
    """`hero`, or `variant kettle_en-GB` for a mapped task."""
    if instance["map_index"] < 0:
        return str(instance["task_id"])
    return f"{instance['task_id']} {instance['rendered_map_index'] or instance['map_index']}"


def progress_label(instance: Mapping[str, Any]) -> str:
    """`variant 0`, and `variant 0 (kettle_en-GB)` once Airflow knows the item's name."""
    if instance["map_index"] < 0:
        return str(instance["task_id"])
    index, named = str(instance["map_index"]), instance["rendered_map_index"]
    # Airflow gives the index for a name until it has rendered one.
    return f"{instance['task_id']} {index}" + (f" ({named})" if named and named != index else "")


def _share(cost: str | None, images: int) -> Decimal | None:
    return Decimal(cost) / images if cost is not None and images else None


def _picture(image: Mapping[str, Any], cost: Decimal | None, s3_root: Path) -> Picture:
    path = _path(str(image["uri"]), s3_root)
    key = path.relative_to(s3_root).as_posix().partition("/")[2]
    return Picture(key, path, image, cost, _sidecar(path))


def _path(uri: str, s3_root: Path) -> Path:
    return s3_root / uri.removeprefix("s3://")


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{path.name}.json")
    return json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}


def pictures(results: Iterable[TaskResult]) -> list[Picture]:
    return [picture for result in results for picture in result.pictures]


def total_cost(results: Iterable[TaskResult]) -> Decimal:
    return sum((picture.cost or Decimal(0) for picture in pictures(results)), Decimal(0))


def money(amount: Decimal | None) -> str:
    """`$0.009`, `$0.10`, or `unknown`."""
    if amount is None:
        return "unknown"
    places = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"${amount:.{places}f}"


def in_words(results: list[TaskResult]) -> list[str]:
    """The closing list: what was made, and what was not and why."""
    made, missing = pictures(results), [result for result in results if not result.pictures]
    lines = [f"Made: {len(made)} pictures"]
    width = max((len(picture.key) for picture in made), default=0)
    for picture in made:
        facts = picture.facts
        pixels = f"{facts['width']} x {facts['height']}"
        size = f"{facts['size_bytes']:,} bytes"
        lines.append(
            f"  {picture.key:<{width}}  {pixels:>11}  {size:>13}  {money(picture.cost)}  sha256 {facts['sha256']}"
        )
    lines.append(f"Not made: {len(missing)}")
    for result in missing:
        tries = "1 try" if result.tries == 1 else f"{result.tries} tries"
        lines.append(f"  {result.dag_id} {result.label}: {result.state} after {tries}")
        lines += [f"      {line}" for line in (result.error or "no error was logged").splitlines()]
    return lines
