# SPDX-License-Identifier: Apache-2.0
"""
The pictures of a paid run, from their URLs into the destination.

Order per picture: download, verify, picture, derivatives, sidecar. A sidecar is therefore proof that its picture is
complete, and whatever is interrupted in between is simply done again: the same bytes under the same name are
skipped.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.redact import strip_queries
from airflow_provider_runflow.client.storage import StorageClient
from airflow_provider_runflow.exceptions import DestinationError, LandingError, OutputsGoneError
from airflow_provider_runflow.landing import names, sidecar
from airflow_provider_runflow.landing.derived import Deriving
from airflow_provider_runflow.landing.download import RETRY_IS_FREE, Spooled, download, landing_error
from airflow_provider_runflow.landing.found import Found, check_before_money, find_landed, still_there
from airflow_provider_runflow.landing.job import Job, Landed
from airflow_provider_runflow.landing.store import NameTaken, Store, Stored, put_once

__all__ = [
    "Found",
    "Job",
    "Landed",
    "check_before_money",
    "find_landed",
    "land",
    "requested_size",
    "still_there",
]

_SIZE = re.compile(r"(\d+)\s*[xX]\s*(\d+)")


def land(
    job: Job,
    run_id: str,
    urls: Sequence[str],
    cost_usd: str | None,
    store: Store,
    sidecar_store: Store | None,
    client: StorageClient,
    *,
    reread: Callable[[], list[str]],
    sleep: Callable[[float], None],
    log: Log,
    now: Callable[[], datetime],
    flagged: Sequence[bool] = (),
) -> list[Landed]:
    """
    Copy all pictures of a finished run to the destination, each with its derivatives and its sidecar.

    One that fails does not stop the others. What is already there with the same bytes is left alone. A name
    that other bytes have taken meanwhile is not overwritten (unless ``replace``): the picture is paid, so it
    lands under a name with 8 characters of its hash.

    :param job: the request.
    :param run_id: the Runflow run.
    :param urls: its output URLs, in order.
    :param cost_usd: of the whole run, as text; None when the run does not say.
    :param store: the destination.
    :param sidecar_store: where sidecars go; None for none.
    :param client: reads from storage hosts.
    :param reread: returns the run's output URLs as they are now.
    :param sleep: how to wait, in seconds.
    :param log: gets a line per picture, and warnings.
    :param now: the time, with a time zone, for the sidecars.
    :param flagged: of each URL, whether its picture is flagged as not safe for work.
    :return: one entry per URL, in order. A derivative that cannot be made is told of in ``unmade``.
    :raises OutputsGoneError: every picture that is missing is gone from Runflow's storage.
    :raises LandingError: some pictures are paid but not landed; both errors list those that are landed in
        their attribute ``landed``.
    """
    if not urls:
        raise _with_landed(LandingError(f"Run {run_id} lists no pictures, but may be paid; {RETRY_IS_FREE}."), [])
    work = _Landing(job, run_id, list(urls), cost_usd, store, sidecar_store, client, reread, sleep, log, now, flagged)
    landed, failed = work.pictures()
    if failed:
        raise _with_landed(_summary(run_id, landed, failed), landed)
    return landed


def _spool_dir(run_id: str) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="runflow-", ignore_cleanup_errors=True)
    except OSError as error:
        what = f"Nothing of run {run_id} is downloaded: the worker has no temporary directory ({error})"
        raise _with_landed(LandingError(f"{what}. It is paid, and {RETRY_IS_FREE}."), []) from error


def _with_landed(error: LandingError, landed: list[Landed]) -> LandingError:
    error.__dict__["landed"] = landed
    return error


def _summary(run_id: str, landed: list[Landed], failed: dict[int, LandingError]) -> LandingError:
    errors = list(failed.values())
    if len(errors) == 1 and not landed:
        return errors[0]
    gone = all(isinstance(error, OutputsGoneError) for error in errors)
    kind, then = (OutputsGoneError, "a retry finds the same") if gone else (LandingError, RETRY_IS_FREE)
    missing = "; ".join(f"picture {index} {error.__dict__['what']}" for index, error in failed.items())
    there = ", ".join(f"picture {image.index} as {image.uri}" for image in landed) or "none"
    return kind(
        f"{len(failed)} of {len(failed) + len(landed)} pictures of run {run_id} are not landed: {missing}. "
        f"All are paid, and {then}. Landed: {there}."
    )


@dataclass
class _Landing:
    """The landing of one run."""

    job: Job
    run_id: str
    urls: list[str]
    cost_usd: str | None
    store: Store
    sidecar_store: Store | None
    client: StorageClient
    reread: Callable[[], list[str]]
    sleep: Callable[[float], None]
    log: Log
    now: Callable[[], datetime]
    flagged: Sequence[bool] = ()
    used: set[str] = field(default_factory=set)

    def pictures(self) -> tuple[list[Landed], dict[int, LandingError]]:
        """Land all pictures; returns those that landed, and why the others did not."""
        landed: list[Landed] = []
        failed: dict[int, LandingError] = {}
        with _spool_dir(self.run_id) as spool_dir:
            for index in range(len(self.urls)):
                try:
                    landed.append(self.picture(index, Path(spool_dir)))
                except LandingError as error:
                    failed[index] = error
        return landed, failed

    def picture(self, index: int, spool_dir: Path) -> Landed:
        """Land one picture; every error comes out as a ``LandingError``."""
        spooled = download(
            self.urls[index],
            index,
            spool_dir,
            self.client,
            run_id=self.run_id,
            reread=self._fresh_urls,
            sleep=self.sleep,
            log=self.log,
        )
        what = f"was downloaded but not stored in {self.store.uri('')}"
        try:
            self._warn_if_not_as_asked(index, spooled)
            image, was_there = self._put(index, spooled)
            what = f"is stored as {image.uri}, but not all of its derivatives are"
            work = Deriving(self.job, self.store, self.sidecar_store, self.log)
            told = work.told(image) if was_there else None
            image = work.add(work.known(image, told), spooled.path, spool_dir)
            what = f"is stored as {image.uri}, but its sidecar is not written"
            self._put_sidecar(image, told)
            image = work.wanted(image)
        # Whatever a store raises, the other pictures must still get their chance: they are paid.
        except Exception as error:
            why = str(error) if isinstance(error, DestinationError) else f"{type(error).__name__}: {error}"
            then = f"It is paid, and {RETRY_IS_FREE}."
            what = f"{what}: {strip_queries(why).rstrip('.')}"
            raise landing_error(LandingError, index, self.run_id, what, then) from error
        finally:
            spooled.path.unlink(missing_ok=True)
        facts = (image.uri, image.width, image.height, image.size_bytes, image.sha256[:12])
        verb = "Already there" if was_there else "Landed"
        self.log.info(verb + ": %s, %dx%d pixels, %d bytes, sha256 %s…", *facts)
        return image

    def _fresh_urls(self) -> list[str]:
        # One read serves the pictures that come after, too: URLs of a run expire together.
        fresh = self.reread()
        self.urls[: len(fresh)] = fresh[: len(self.urls)]
        return fresh

    def _put(self, index: int, spooled: Spooled) -> tuple[Landed, bool]:
        """Store a picture; returns it, and whether its bytes were there already."""
        name = self.job.name(index, spooled.facts.ext, self.run_id)
        try:
            # A name of this very run is never replaced: a run may deliver more pictures than were asked for.
            stored = self._put_as(name, spooled, replace=self.job.replace and name not in self.used)
        except NameTaken:
            if not self.job.suffix:
                raise DestinationError(
                    f"{self.store.uri(name)} is taken by another picture; use another name, or replace=True to "
                    "overwrite it"
                ) from None
            taken, name = name, names.suffixed(name, spooled.sha256)
            self.log.warning(
                "%s is taken by another picture; picture %d of run %s is paid, so it lands as %s",
                self.store.uri(taken),
                index,
                self.run_id,
                self.store.uri(name),
            )
            try:
                stored = self._put_as(name, spooled, replace=False)
            except NameTaken:
                raise DestinationError(f"{self.store.uri(name)} is taken by other bytes, too") from None
        self.used.add(name)
        return (
            Landed(
                index=index,
                uri=self.store.uri(name),
                name=name,
                content_type=spooled.facts.content_type,
                width=spooled.facts.width,
                height=spooled.facts.height,
                size_bytes=spooled.size_bytes,
                sha256=spooled.sha256,
                etag=stored.etag,
                nsfw=index < len(self.flagged) and self.flagged[index],
            ),
            stored.was_there,
        )

    def _put_as(self, name: str, spooled: Spooled, *, replace: bool) -> Stored:
        """Store under ``name``, unless the same bytes are there; raises NameTaken when others are."""
        return put_once(
            self.store,
            name,
            spooled.path,
            content_type=spooled.facts.content_type,
            size_bytes=spooled.size_bytes,
            sha256=spooled.sha256,
            replace=replace,
            tags=self.job.tags,
        )

    def _put_sidecar(self, image: Landed, told: Mapping[str, Any] | None) -> None:
        if self.sidecar_store is None:
            return
        known = sidecar.image_of(told, image.name) if told is not None else None
        if told is not None and known == image and told.get("runflow_run_id") == self.run_id:
            return
        data: dict[str, Any] = sidecar.build(
            self.job,
            image,
            run_id=self.run_id,
            cost_usd=self.cost_usd,
            images_in_run=len(self.urls),
            created_at=self.now(),
        )
        self.sidecar_store.put_json(sidecar.sidecar_name(image.name), data)

    def _warn_if_not_as_asked(self, index: int, spooled: Spooled) -> None:
        facts, asked = spooled.facts, self.job.expected_ext
        if asked and asked != facts.ext:
            self.log.warning(
                "Picture %d of run %s was asked for as %s but is %s; it lands as what it is",
                index,
                self.run_id,
                asked,
                facts.content_type,
            )
        size = requested_size(self.job.input)
        if size is not None and size != (facts.width, facts.height):
            self.log.warning(
                "Picture %d of run %s was asked for at %dx%d pixels but is %dx%d; it lands as received",
                index,
                self.run_id,
                *size,
                facts.width,
                facts.height,
            )


def requested_size(model_input: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the explicit size in pixels that an input asks for; None for presets, ``auto`` and no size."""
    size = model_input.get("image_size")
    if isinstance(size, str):
        found = _SIZE.fullmatch(size.strip())
        return (int(found[1]), int(found[2])) if found else None
    source = size if isinstance(size, Mapping) else model_input
    width, height = source.get("width"), source.get("height")
    return (width, height) if type(width) is int and type(height) is int else None
