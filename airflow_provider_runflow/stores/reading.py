# SPDX-License-Identifier: Apache-2.0
"""Private files that a task reads: in a bucket, or on the worker's disk as far as that is allowed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_runflow.compat import conf
from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_runflow.stores import Destination

FORMS = "s3://bucket/cup.jpg, gs://bucket/cup.jpg, abfs://container/cup.jpg, file:///folder/cup.jpg"


def whereabouts(address: str, called: str = "references") -> Destination:
    """
    Take the address of a private file apart.

    :param called: the parameter that it came in.
    :raises InvalidRequestError: it has no legal form, or names no file.
    """
    from airflow_provider_runflow.stores import parse_destination

    where = parse_destination(address, called=f"{called}:", forms=FORMS)
    if not where.prefix or address.endswith("/"):
        raise InvalidRequestError(f"{called}: {address} names no file. Legal forms: {FORMS}")
    return where


def open_file(address: str, conn_id: str | None, called: str = "references") -> Any:
    """
    Open a private file to read it; used as a context manager.

    :param conn_id: Airflow connection of its store; ``None`` for the store's default.
    :param called: the parameter that it came in.
    :raises InvalidRequestError: it has no legal form, or lies where a worker's disk may not be read.
    :raises ConfigurationError: no installed package knows its store; the message has the pip line.
    :raises Exception: whatever the store raises.
    """
    from airflow_provider_runflow.stores import S3_SCHEMES

    where = whereabouts(address, called)
    if where.scheme == "file":
        return allowed_path(address, called).open("rb")
    if where.scheme in S3_SCHEMES:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        client = S3Hook(aws_conn_id=where.conn_id or conn_id or "aws_default").get_conn()
        return contextlib.closing(client.get_object(Bucket=where.bucket, Key=where.prefix.rstrip("/"))["Body"])
    from airflow_provider_runflow.stores.object_storage import ObjectStorageStore

    folder, _, name = address.rpartition("/")
    return ObjectStorageStore(folder, conn_id=conn_id).open(name)


def allowed_path(address: str, called: str) -> Path:
    """
    Return the path of a ``file://`` address.

    :raises InvalidRequestError: it is outside of ``[runflow] allowed_local_paths``.
    """
    path = Path(unquote(urlsplit(address).path)).resolve()
    allowed = conf.get("runflow", "allowed_local_paths", fallback="") or ""
    folders = [Path(folder.strip()).resolve() for folder in allowed.split(",") if folder.strip()]
    if not any(path.is_relative_to(folder) for folder in folders):
        raise InvalidRequestError(
            f"{called}: {address} is outside of [runflow] allowed_local_paths ({allowed or 'empty'}): a worker's "
            "disk is read only where that option says so."
        )
    return path
