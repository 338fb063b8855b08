# SPDX-License-Identifier: Apache-2.0
"""What is checked of all items together, before the first cent: names that collide, labels that cannot be tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing import names
from airflow_provider_runflow.landing.job import SAMPLE_RUN_ID
from airflow_provider_runflow.landing.tags import check_tags
from airflow_provider_runflow.models import format_of
from airflow_provider_runflow.runs.identity import asked_images
from airflow_provider_runflow.runs.items import Item, raise_all


def check_names(
    pattern: str, wanted: Iterable[tuple[Item, str, Mapping[str, Any]]], *, task_id: str, map_index: int | None
) -> None:
    """
    Find before anything is paid that two items would land under one name, or that a name cannot be made.

    :param pattern: the ``filename_pattern``.
    :param wanted: each item with its model and its input.
    :param map_index: ``None`` while it is not known.
    :raises InvalidRequestError: naming the items.
    """
    wrong: list[str] = []
    owners: dict[str, str] = {}
    unique = names.names_request(pattern) or not names.predictable(pattern)
    for item, model, wire in wanted:
        shared = {"task_id": task_id, "map_index": "" if map_index in (None, -1) else map_index}
        try:
            mine = _names(pattern, item, model, wire, shared)
        except InvalidRequestError as error:
            wrong.append(f"Item {item.key!r}: {error}.")
            continue
        for name in () if unique else mine:
            owner = owners.setdefault(name, item.key)
            if owner != item.key:
                wrong.append(
                    f"filename_pattern {pattern!r} gives items {owner!r} and {item.key!r} the same name {name!r}; "
                    "put {key}, {request} or a label that differs in it."
                )
                break
    raise_all(wrong)


def _names(pattern: str, item: Item, model: str, wire: Mapping[str, Any], shared: Mapping[str, Any]) -> list[str]:
    pictures = asked_images(wire)
    names.check_pattern(pattern, num_images=pictures, labels=item.labels)
    ext = format_of(model, wire) or "png"
    values = {
        **shared,
        "key": item.key,
        "take": item.variation or "1",
        "ext": "jpg" if ext == "jpeg" else ext,
        "runflow_run_id": SAMPLE_RUN_ID,
        "request": "0" * 12,
    }
    return [names.filename(pattern, {**values, "index": index}, item.labels) for index in range(pictures)]


def check_labels_as_tags(items: Sequence[Item]) -> None:
    """
    Find before anything is paid what S3 would refuse as a tag.

    :raises InvalidRequestError: naming the items.
    """
    wrong: list[str] = []
    for item in items:
        try:
            check_tags(item.labels)
        except InvalidRequestError as error:
            wrong.append(f"Item {item.key!r}: tag_objects: {error}")
    raise_all(wrong)
