# SPDX-License-Identifier: Apache-2.0
"""
One paid picture from its presigned URL into a spool file, hashed on the way and looked at afterwards.

Everything that can go wrong here happens after the money is spent, so each failure is tried again as far as
that can help, and each final error says that the picture is paid and what a retry of the task does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.client.redact import host_of, redact_url, strip_queries
from airflow_provider_runflow.client.storage import Body, StorageClient, UnsafeUrlError
from airflow_provider_runflow.exceptions import (
    LandingError,
    OutputsGoneError,
    RunflowError,
    TransportError,
)
from airflow_provider_runflow.landing.images import ImageFacts, NotAnImage, Truncated, inspect

MAX_BYTES = 64 * 1024 * 1024
TRIES = 5
FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
# What storage hosts answer to a URL whose time is over, or whose object is.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_GONE = frozenset({403, 404, 410})
RETRY_IS_FREE = "a retry of the task lands the same run for $0"


@dataclass(frozen=True)
class Spooled:
    """
    A picture on the worker's disk.

    :param path: the spool file.
    :param sha256: of its bytes, lower-case hex.
    :param size_bytes: its length.
    :param facts: its format and pixels.
    """

    path: Path
    sha256: str
    size_bytes: int
    facts: ImageFacts


class _Failure(Exception):
    """
    One try that did not bring the picture.

    :param what: what happened, as a clause.
    :param status: HTTP status, if that was it.
    :param again: whether another try can help.
    """

    def __init__(self, what: str, *, status: int | None = None, again: bool = True) -> None:
        super().__init__(what)
        self.what = what
        self.status = status
        self.again = again


def landing_error(kind: type[LandingError], index: int, run_id: str, what: str, then: str) -> LandingError:
    """
    Make an error about one paid picture; its ``what`` attribute keeps the middle part for a summary.

    :param kind: the class.
    :param index: which picture of the run, from 0.
    :param run_id: the run.
    :param what: what happened to it, as a clause that follows "picture 0 of run X".
    :param then: the sentence about the money and a retry.
    """
    error = kind(f"Picture {index} of run {run_id} {what}. {then}")
    error.__dict__["what"] = what
    return error


def waits() -> Iterator[float]:
    """Yield the seconds to wait before each further try: 0.5, 1, 2, 4, 8, 8, …"""
    wait = FIRST_WAIT
    while True:
        yield wait
        wait = min(wait * 2, LONGEST_WAIT)


def download(
    url: str,
    index: int,
    spool_dir: Path,
    client: StorageClient,
    *,
    run_id: str,
    reread: Callable[[], list[str]],
    sleep: Callable[[float], None],
    log: Log,
    max_bytes: int = MAX_BYTES,
    tries: int = TRIES,
) -> Spooled:
    """
    Download one picture, trying up to ``tries`` times with exponential back-off.

    :param url: its presigned URL.
    :param index: which picture of the run, from 0.
    :param spool_dir: an existing directory on local disk.
    :param client: reads from storage hosts.
    :param run_id: the run, for messages.
    :param reread: returns the run's output URLs as they are now; called when a URL seems to have expired.
    :param sleep: how to wait, in seconds.
    :param log: gets a warning for each failed try.
    :param max_bytes: the largest picture to accept.
    :param tries: how often to ask at most; a fresh URL counts as one too.
    :raises OutputsGoneError: fresh URLs are refused as well: the storage no longer has the picture.
    :raises LandingError: it could not be downloaded; a retry of the task may.
    """
    path = spool_dir / f"{index}.part"
    pauses = waits()
    reread_worked = False
    for attempt in range(1, tries + 1):
        try:
            return _attempt(url, path, client, max_bytes)
        except _Failure as failure:
            last = failure
            path.unlink(missing_ok=True)
        if not last.again or attempt == tries:
            break
        pause = next(pauses)
        what = f"try {attempt} of {tries} failed ({strip_queries(last.what)} from {host_of(url)})"
        log.warning("Picture %d of run %s: %s; next in %.1f s", index, run_id, what, pause)
        sleep(pause)
        if last.status in _EXPIRED:
            fresh = _fresh_url(index, run_id, reread, log)
            reread_worked = reread_worked or fresh is not None
            url = fresh or url
    raise _final(last, url, index, run_id, attempt, gone=reread_worked and last.status in _GONE)


def _attempt(url: str, path: Path, client: StorageClient, max_bytes: int) -> Spooled:
    try:
        with client.stream(url) as body:
            _check_answer(body, max_bytes)
            sha256, size = _spool(body, path, max_bytes)
        return Spooled(path, sha256, size, inspect(path))
    except UnsafeUrlError as error:
        raise _Failure(error.message, again=False) from error
    except TransportError as error:
        raise _Failure(error.message) from error
    except NotAnImage as error:
        raise _Failure(f"not an image but {error}") from error
    except Truncated as error:
        raise _Failure(f"a truncated body: {error}") from error
    except OSError as error:
        raise _Failure(f"the worker's disk refused it ({error})", again=False) from error


def _check_answer(body: Body, max_bytes: int) -> None:
    if body.status == 200:
        declared = _declared(body)
        if declared is not None and declared > max_bytes:
            raise _too_large(declared, max_bytes)
        return
    if 300 <= body.status < 400:
        raise _Failure(f"HTTP {body.status}, a redirect, which is not followed", status=body.status, again=False)
    raise _Failure(f"HTTP {body.status}", status=body.status)


def _spool(body: Body, path: Path, max_bytes: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for chunk in body.chunks:
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(size, max_bytes)
            digest.update(chunk)
            file.write(chunk)
    if size == 0:
        raise _Failure("an empty body")
    declared = _declared(body)
    if declared is not None and declared != size and "content-encoding" not in body.headers:
        raise _Failure(f"a truncated body: {size} of {declared} bytes")
    return digest.hexdigest(), size


def _declared(body: Body) -> int | None:
    value = body.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _too_large(size: int, max_bytes: int) -> _Failure:
    return _Failure(f"{size} bytes or more, over the limit of {max_bytes}", again=False)


def _fresh_url(index: int, run_id: str, reread: Callable[[], list[str]], log: Log) -> str | None:
    """Return the picture's URL as Runflow signs it now; None when it could not be had."""
    try:
        urls = reread()
    # Whatever it is (the caller reads an Airflow connection, too): the next try may still bring the picture.
    except Exception as error:
        why = str(error) if isinstance(error, RunflowError) else f"{type(error).__name__}: {error}"
        log.warning("Run %s could not be read again for fresh URLs: %s", run_id, strip_queries(why))
        return None
    if index < len(urls):
        return urls[index]
    log.warning("Run %s was read again and now lists %d pictures; picture %d is missing", run_id, len(urls), index)
    return None


def _final(last: _Failure, url: str, index: int, run_id: str, attempts: int, *, gone: bool) -> LandingError:
    tried = f"{attempts} {'try' if attempts == 1 else 'tries'}"
    if gone:
        what = f"is gone: {host_of(url)} answers {last.what}, to a fresh URL too ({redact_url(url)}, {tried})"
        then = "It is paid, but a retry of the task finds the same; ask Runflow for it with this run id."
        return landing_error(OutputsGoneError, index, run_id, what, then)
    what = f"was not downloaded from {host_of(url)}: {strip_queries(last.what)} ({tried})"
    if last.again:
        return landing_error(LandingError, index, run_id, what, f"It is paid, and {RETRY_IS_FREE}.")
    then = f"It is paid, and {RETRY_IS_FREE}, once what stopped it here has changed."
    return landing_error(LandingError, index, run_id, what, then)
