# SPDX-License-Identifier: Apache-2.0
"""
The derivatives of landed pictures: which are there, which are to be made, and where they lie.

They are made of the master's file, whether it was just downloaded (:mod:`.land`) or has lain in the destination for
months (:func:`complete`). What cannot be made never endangers the master.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.exceptions import DestinationError, LandingError
from airflow_provider_runflow.landing import names, sidecar
from airflow_provider_runflow.landing.derivatives import (
    Derivative,
    DerivativeError,
    Made,
    derive_all,
)
from airflow_provider_runflow.landing.job import Job, Landed, LandedDerivative
from airflow_provider_runflow.landing.store import NameTaken, Stat, Store, matches, put_once

MAKING_IS_FREE = "a retry of the task makes what is missing of them for $0"
# A decoded master has up to 133 MB, and a core can work on one at a time.
_ONE_A_CORE = threading.BoundedSemaphore(os.cpu_count() or 1)


@dataclass(frozen=True)
class Deriving:
    """
    Makes the derivatives of one run's pictures.

    :param job: the request; its ``derivatives`` say what is wanted.
    :param store: the destination.
    :param sidecar_store: where sidecars go; None for none.
    :param log: gets warnings.
    """

    job: Job
    store: Store
    sidecar_store: Store | None
    log: Log

    def lacking(self, image: Landed) -> list[Derivative]:
        """Return what the task asks for and is not there as ``image`` lists it; reads no file."""
        known = {each.name: each for each in image.derivatives}
        return [each for each in self.job.derivatives if not self._is_there(known.get(each.name), each)]

    def add(self, image: Landed, master: Path, spool_dir: Path) -> Landed:
        """
        Make what lacks of a picture's derivatives, and store it.

        :param image: a picture that is stored, with the derivatives that it is known to have.
        :param master: its file.
        :param spool_dir: for files in between.
        :raises DestinationError: the store refuses one.
        :raises OSError: ``spool_dir`` takes no file.
        """
        lacking = self.lacking(image)
        if not lacking:
            return image
        known = {each.name: each for each in image.derivatives}
        before = {each.name: known.pop(each.name, None) for each in lacking}
        folder = spool_dir / f"derivatives-{image.index}"
        folder.mkdir(exist_ok=True)
        files, unmade = _make(master, image.name, lacking, folder)
        # Stored when the master is not in memory any more: the next picture's turn does not wait for the network.
        for derivative, name, path, made in files:
            known[derivative.name] = self._put(derivative, name, path, made, before[derivative.name])
            path.unlink()
        for why in unmade:
            self.log.warning("%s. Its master is landed as %s.", why, image.uri)
        return replace(image, derivatives=tuple(known.values()), unmade=unmade)

    def told(self, image: Landed) -> dict[str, Any] | None:
        """Return a picture's sidecar, if there is one and it is this request's."""
        name = sidecar.sidecar_name(image.name)
        told = self.sidecar_store.read_json(name) if self.sidecar_store is not None else None
        return told if sidecar.is_ours(told, self.job) else None

    def known(self, image: Landed, told: Mapping[str, Any] | None) -> Landed:
        """Add to a picture what its sidecar says was made of it."""
        other = sidecar.image_of(told, image.name) if told is not None else None
        if other is None or other.sha256 != image.sha256:
            return image
        listed = {each.name: each for each in (*image.derivatives, *other.at(image.uri).derivatives)}
        return replace(image, derivatives=tuple(listed.values()))

    def wanted(self, image: Landed) -> Landed:
        """Return a picture with those of its derivatives that the task asks for, in its order."""
        known = {each.name: each for each in image.derivatives}
        wanted = [known[each.name] for each in self.job.derivatives if each.name in known]
        return replace(image, derivatives=tuple(wanted))

    def _is_there(self, known: LandedDerivative | None, wanted: Derivative) -> bool:
        prefix = self.store.uri("")
        if known is None or known.recipe != wanted.recipe or not known.uri.startswith(prefix):
            return False
        found = self.store.stat(known.uri[len(prefix) :])
        # Not read to compare, as a master is: it can be made anew for nothing.
        return found is not None and found.size_bytes == known.size_bytes and found.sha256 in (None, known.sha256)

    def _put(
        self, derivative: Derivative, name: str, path: Path, made: Made, before: LandedDerivative | None
    ) -> LandedDerivative:
        def put(name: str, *, replace: bool) -> None:
            put_once(
                self.store,
                name,
                path,
                content_type=made.content_type,
                size_bytes=made.size_bytes,
                sha256=made.sha256,
                replace=replace,
                tags=self.job.tags,
            )

        try:
            put(name, replace=False)
        except NameTaken as taken:
            if self._may_replace(name, taken.existing, before):
                put(name, replace=True)
            else:
                name = self._other_name(name, made.sha256)
                try:
                    put(name, replace=False)
                except NameTaken:
                    raise DestinationError(f"{self.store.uri(name)} is taken by other bytes, too") from None
        return LandedDerivative(
            name=derivative.name,
            uri=self.store.uri(name),
            content_type=made.content_type,
            width=made.width,
            height=made.height,
            size_bytes=made.size_bytes,
            sha256=made.sha256,
            upscaled=made.upscaled,
            recipe=derivative.recipe,
        )

    def _may_replace(self, name: str, existing: Stat, before: LandedDerivative | None) -> bool:
        ours = before if before is not None and before.uri == self.store.uri(name) else None
        if ours is not None and matches(self.store, name, existing, ours.size_bytes, ours.sha256):
            return True  # what was made of this very master, when it was declared otherwise
        if not self.job.replace:
            return False
        # With replace=True another task's derivative may go, but never a picture that was paid for.
        return self.sidecar_store is None or self.sidecar_store.read_json(sidecar.sidecar_name(name)) is None

    def _other_name(self, name: str, sha256: str) -> str:
        if not self.job.suffix:
            raise DestinationError(f"{self.store.uri(name)} is taken by other bytes; replace=True overwrites them")
        other = names.suffixed(name, sha256)
        told = (self.store.uri(name), self.store.uri(other))
        self.log.warning("%s is taken by other bytes; the derivative lands as %s", *told)
        return other


def _make(
    master: Path, name: str, wanted: Sequence[Derivative], folder: Path
) -> tuple[list[tuple[Derivative, str, Path, Made]], tuple[str, ...]]:
    """Make files; returns them, and why others could not be made."""
    files: list[tuple[Derivative, str, Path, Made]] = []
    with _ONE_A_CORE:
        try:
            files.extend(derive_all(master, name, wanted, folder))
        except DerivativeError as error:
            return files, (str(error),)
    return files, ()


def complete(
    job: Job,
    images: Sequence[Landed],
    store: Store,
    sidecar_store: Store | None,
    *,
    run_id: str,
    cost_usd: str | None,
    log: Log,
    now: Callable[[], datetime],
) -> list[Landed]:
    """
    Make what lacks of the derivatives of pictures that landed before, of the masters in the destination.

    :param job: the request.
    :param images: all pictures of its run, which are in the destination.
    :param store: the destination.
    :param sidecar_store: where sidecars go, which list what was made; None for none.
    :param run_id: the Runflow run.
    :param cost_usd: of the whole run, as text; None when it is not known.
    :param log: gets a line per picture of which something was made, and warnings.
    :param now: the time, with a time zone, for a sidecar that is missing.
    :return: the pictures, with what the task asks for, as far as it could be made.
    :raises LandingError: a master cannot be read or a derivative not be stored; its attribute ``landed`` lists all
        pictures, with what there is of them.
    """
    work = Deriving(job, store, sidecar_store, log)
    done: list[Landed] = []
    failed: list[str] = []
    for image in images:
        try:
            done.append(work.wanted(_complete(work, image, run_id, cost_usd, len(images), now)))
        # Whatever a store raises, the other pictures must still get their chance.
        except Exception as error:
            why = str(error) if isinstance(error, DestinationError) else f"{type(error).__name__}: {error}"
            failed.append(f"Not all derivatives of {image.uri} are there: {strip_queries(why).rstrip('.')}.")
            done.append(replace(image, derivatives=()))
    if failed:
        refused = LandingError(f"{' '.join(failed)} The masters are paid and landed, and {MAKING_IS_FREE}.")
        refused.__dict__["landed"] = done
        raise refused
    return done


def _complete(
    work: Deriving, image: Landed, run_id: str, cost_usd: str | None, count: int, now: Callable[[], datetime]
) -> Landed:
    if not work.lacking(image):
        return image
    told = work.told(image)
    image = work.known(image, told)
    if not work.lacking(image):
        return image
    with tempfile.TemporaryDirectory(prefix="runflow-", ignore_cleanup_errors=True) as folder:
        master = Path(folder) / "master"
        if work.store.get_file(image.name, master) != image.sha256:
            raise DestinationError("the master has other bytes than a moment ago")
        image = work.add(image, master, Path(folder))
    work.log.info("Made of %s, for $0: %s", image.uri, ", ".join(each.name for each in image.derivatives) or "nothing")
    if work.sidecar_store is not None:
        whole = sidecar.build(work.job, image, run_id=run_id, cost_usd=cost_usd, images_in_run=count, created_at=now())
        data = whole if told is None else {**told, "image": whole["image"]}
        work.sidecar_store.put_json(sidecar.sidecar_name(image.name), data)
    return image
