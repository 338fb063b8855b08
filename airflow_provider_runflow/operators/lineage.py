# SPDX-License-Identifier: Apache-2.0
"""What a landing tells the rest of Airflow: the extra of its asset events, and OpenLineage's output datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_runflow.compat import add_partitions

EXTRA_SCHEMA_VERSION = 1
# An event's extra is a row of the metadata database: so many pictures are named in it, and the rest by the manifest.
MAX_IMAGES = 20
_TOLD = ("run_id", "model", "status", "cost_usd", "client_ref", "manifest_uri", "counts")
_OF_IMAGE = ("uri", "sha256", "width", "height", "content_type")
_OF_DERIVATIVE = ("name", "uri", "sha256")


def event_extra(result: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Say in small JSON types what landed.

    :param result: of an operator, single or batch.
    :param images: what landed; of more than 20 only the first 20 are named, with their derivatives.
    """
    told = {name: result[name] for name in _TOLD if name in result}
    named = [_named_image(image) for image in images[:MAX_IMAGES]]
    return {"schema_version": EXTRA_SCHEMA_VERSION, **told, "image_count": len(images), "images": named}


def _named_image(image: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: image.get(name) for name in _OF_IMAGE}
    made = [{name: each.get(name) for name in _OF_DERIVATIVE} for each in image.get("derivatives") or ()]
    return {**told, "derivatives": made} if made else told


def announce(outlets: Iterable[Any], context: Any, extra: Mapping[str, Any], partitions: Sequence[str] = ()) -> None:
    """
    Put what landed into the asset events that the task's outlets emit.

    :param outlets: of the operator; what is no asset gets no event.
    :param partitions: one key per picture, for partitioned assets (Airflow 3.3).
    """
    from airflow.sdk import Asset

    for outlet in outlets:
        if isinstance(outlet, Asset):
            event = context["outlet_events"][outlet]
            event.extra = {**event.extra, **extra}
            if partitions:
                add_partitions(event, partitions)


def output_datasets(uris: Iterable[str]) -> Any:
    """Return OpenLineage's description of what landed; its provider is there when this is asked."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(outputs=[Dataset(namespace=space, name=name) for space, name in map(_named, uris)])


def _named(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    # OpenLineage's naming: s3://bucket and the key; of a file its path.
    return (f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")) if parts.netloc else (parts.scheme, parts.path)
