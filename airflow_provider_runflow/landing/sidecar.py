# SPDX-License-Identifier: Apache-2.0
"""
The JSON beside a picture: where it comes from, what was asked, what it cost, and that a machine made it.

It is read back too: a sidecar of ours with the same request, next to its picture, is proof that the request
is paid and landed (:func:`is_ours`). Its form is published as ``landing/schemas/sidecar.v1.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from typing import Any

from airflow_provider_runflow.client.redact import redact_url
from airflow_provider_runflow.landing.job import Job, Landed, LandedDerivative

SCHEMA_VERSION = 1
PACKAGE = "airflow-provider-runflow"
# IPTC's word for "made by a trained model": the machine-readable AI mark. It is never written into the
# picture, whose own Content Credentials would no longer be valid.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


def sidecar_name(image_name: str) -> str:
    """Return the name of the sidecar of a picture: the picture's own and ``.json``."""
    return f"{image_name}.json"


def build(
    job: Job, image: Landed, *, run_id: str, cost_usd: str | None, images_in_run: int, created_at: datetime
) -> dict[str, Any]:
    """
    Return the sidecar of one picture.

    :param job: the request.
    :param image: the picture as it is stored.
    :param run_id: the Runflow run.
    :param cost_usd: of the whole run, a decimal as text; None when the run does not say.
    :param images_in_run: how many pictures the run delivered.
    :param created_at: when it was landed, with a time zone.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": {"name": PACKAGE, "version": _version()},
        "model": job.model,
        "input": without_queries(dict(job.input)),
        "prompt": job.prompt,
        "labels": {str(name): str(value) for name, value in job.labels.items()},
        "alt_text": job.alt_text,
        "runflow_run_id": run_id,
        "cost_usd": cost_usd,
        "image": image.as_dict(),
        "images_in_run": images_in_run,
        "created_at": created_at.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "airflow": {key: job.airflow.get(key) for key in ("dag_id", "task_id", "run_id", "map_index")},
        "request": {
            "client_ref": job.client_ref,
            "item_key": job.item_key,
            "fingerprint": job.fingerprint,
            "fingerprint_version": job.fingerprint_version,
            "ordinal": job.ordinal,
            "variation": job.variation,
        },
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


def without_queries(value: Any) -> Any:
    """
    Return JSON data in which every text that is a URL has lost its query, fragment and user.

    A data URI, which is a whole file, is shortened to its media type and length.
    """
    if isinstance(value, Mapping):
        return {str(key): without_queries(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_queries(item) for item in value]
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:5].lower() == "data:" and "," in text:
        head, _, data = text.partition(",")
        return f"{head},({len(data)} characters)" if len(data) > 64 else value
    return redact_url(text) if _URL.fullmatch(text) else value


def is_ours(sidecar: Mapping[str, Any] | None, job: Job) -> bool:
    """
    Whether a sidecar that was read back tells of this very request: same scope, item and fingerprint.

    Of a run that was named instead of bought, it tells when it names that run.
    """
    if job.run_id is not None:
        return sidecar is not None and sidecar.get("runflow_run_id") == job.run_id
    request = sidecar.get("request") if sidecar is not None else None
    if not isinstance(request, Mapping):
        return False
    told = (request.get("client_ref"), request.get("item_key"), request.get("fingerprint"))
    return told == (job.client_ref, job.item_key, job.fingerprint)


def image_of(sidecar: Mapping[str, Any], name: str) -> Landed | None:
    """
    Return the picture that a sidecar tells of; None when it is not in the form of :func:`build`.

    :param sidecar: as read back from a store, where anybody may have written.
    :param name: of the picture, relative to the destination.
    """
    image = sidecar.get("image")
    if not isinstance(image, Mapping):
        return None
    numbers = [image.get(key) for key in ("index", "width", "height", "size_bytes")]
    texts = [image.get(key) for key in ("uri", "content_type", "sha256")]
    if not all(type(number) is int for number in numbers) or not all(isinstance(text, str) for text in texts):
        return None
    return Landed(
        index=image["index"],
        uri=image["uri"],
        name=name,
        content_type=image["content_type"],
        width=image["width"],
        height=image["height"],
        size_bytes=image["size_bytes"],
        sha256=image["sha256"],
        etag=image.get("etag") if isinstance(image.get("etag"), str) else None,
        nsfw=image.get("nsfw_detected") is True,
        derivatives=tuple(filter(None, map(_derivative_of, _list(image.get("derivatives"))))),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _derivative_of(told: Any) -> LandedDerivative | None:
    # Strictly: one that cannot be read is made anew, which costs nothing.
    kinds = {"name": str, "uri": str, "content_type": str, "sha256": str, "recipe": str, "upscaled": bool}
    kinds.update(dict.fromkeys(("width", "height", "size_bytes"), int))
    if not isinstance(told, Mapping) or not all(type(told.get(key)) is kind for key, kind in kinds.items()):
        return None
    return LandedDerivative(**{key: told[key] for key in kinds})


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "0+unknown"
