# SPDX-License-Identifier: Apache-2.0
"""What to ask a destination before paying: can it be used, is the name free, is it all there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_runflow.exceptions import DestinationError, NameTakenError
from airflow_provider_runflow.landing import names, sidecar
from airflow_provider_runflow.landing.job import Job, Landed
from airflow_provider_runflow.landing.seen import unchanged
from airflow_provider_runflow.landing.store import Store


@dataclass(frozen=True)
class Found:
    """
    A request that is already paid and landed.

    :param images: every picture of its run, in order.
    :param runflow_run_id: the run.
    :param cost_usd: of the whole run, as its sidecars say; None when they do not.
    """

    images: list[Landed]
    runflow_run_id: str
    cost_usd: str | None


def check_before_money(job: Job, store: Store, sidecar_store: Store | None) -> None:
    """
    Find what would keep a picture from landing, while nothing is paid yet.

    :param job: the request.
    :param store: the destination.
    :param sidecar_store: where sidecars go; None for no sidecars.
    :raises DestinationError: the destination, or that of the sidecars, cannot be used.
    :raises NameTakenError: a picture that is not this request's has one of the names; never with ``replace``.
    :raises InvalidRequestError: the pattern breaks a rule with this job's values.
    """
    wanted = [job.name(index, job.likely_exts[0]) for index in range(job.num_images)]
    try:
        store.check()
        if sidecar_store is not None and sidecar_store is not store:
            sidecar_store.check()
        if job.replace or not job.predictable:
            return
        for name in wanted:
            if store.stat(name) is not None:
                _check_ours(job, store, sidecar_store, name)
    except NameTakenError:
        raise
    except DestinationError as error:
        raise DestinationError(f"{str(error).rstrip('.')}. Nothing was submitted.") from error


def _check_ours(job: Job, store: Store, sidecar_store: Store | None, name: str) -> None:
    told = sidecar_store.read_json(sidecar.sidecar_name(name)) if sidecar_store is not None else None
    # A name that holds {request} is this request's own, even if its sidecar was never written.
    if sidecar.is_ours(told, job) or (told is None and names.names_request(job.filename_pattern)):
        return
    owner = "another picture"
    if told is not None and isinstance(told.get("airflow"), Mapping):
        made_by = [str(told["airflow"].get(key)) for key in ("dag_id", "task_id", "run_id")]
        owner = f"a picture of another request (dag {made_by[0]}, task {made_by[1]}, run {made_by[2]})"
    elif sidecar_store is None:
        owner = "a picture (without sidecars nothing can tell whether it is this request's own)"
    raise NameTakenError(
        f"{store.uri(name)} is taken by {owner}. Nothing was submitted. "
        f"Use another filename_pattern or destination, or replace=True to overwrite it."
    )


def find_landed(job: Job, store: Store, sidecar_store: Store | None) -> Found | None:
    """
    Look for this very request in the destination: each picture with the bytes that our sidecar tells of.

    :param job: the request; one whose names depend on the run id is never found.
    :param store: the destination.
    :param sidecar_store: where sidecars are; without them nothing is ever found.
    :return: all pictures of one run, None when even one is missing, altered or not told of.
    :raises DestinationError: the store cannot be read.
    """
    if sidecar_store is None or not job.predictable:
        return None
    images: list[Landed] = []
    run_id: Any = None
    cost: Any = None
    expected = 1
    while len(images) < expected:
        index = len(images)
        told, image = _told(job, store, sidecar_store, index)
        if told is None or image is None or image.index != index:
            return None
        if index == 0:
            # A run may deliver fewer pictures than it was asked for; its sidecars know how many.
            run_id, cost, delivered = (
                told.get("runflow_run_id"),
                told.get("cost_usd"),
                told.get("images_in_run"),
            )
            expected = delivered if type(delivered) is int else job.num_images
        # Two submissions of one request could each have left some: only one run's full set counts.
        if not isinstance(run_id, str) or not run_id or told.get("runflow_run_id") != run_id:
            return None
        if not unchanged(store, image.name, image.size_bytes, image.sha256, image.etag):
            return None
        images.append(image)
    return Found(images, run_id, cost if isinstance(cost, str) else None)


def _told(job: Job, store: Store, sidecar_store: Store, index: int) -> tuple[dict[str, Any] | None, Landed | None]:
    # Under every extension, because a model that was asked for png and sent jpeg was paid all the same.
    for ext in job.likely_exts:
        name = job.name(index, ext)
        told = sidecar_store.read_json(sidecar.sidecar_name(name))
        if told is not None and sidecar.is_ours(told, job):
            image = sidecar.image_of(told, name)
            # The address as it is now: a bucket may have been copied, with its sidecars.
            return told, image.at(store.uri(name)) if image is not None else None
    return None, None


def still_there(images: Sequence[Mapping[str, Any]], store: Store) -> bool:
    """
    Whether pictures that a journal remembers are all in the destination, with the same size and bytes.

    :param images: as :meth:`Landed.as_dict` gives them; False for none at all, or for another form.
    :param store: the destination; False when it is not the one that they were landed in.
    :raises DestinationError: the store cannot be read.
    """
    prefix = store.uri("")
    for image in images:
        uri, size, sha256 = image.get("uri"), image.get("size_bytes"), image.get("sha256")
        if not isinstance(uri, str) or not uri.startswith(prefix) or uri == prefix:
            return False
        if type(size) is not int or not isinstance(sha256, str):
            return False
        if not unchanged(store, uri[len(prefix) :], size, sha256, image.get("etag")):
            return False
    return bool(images)
