# SPDX-License-Identifier: Apache-2.0
"""
Destinations: ``s3://`` through the amazon provider's S3Hook, everything else through ``ObjectStoragePath``.

Importing this is cheap: Airflow and the providers are imported when a store is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_runflow.landing.store import Store

__all__ = ["check_destination", "open_store"]

FORMS = "s3://bucket/prefix, gs://bucket/prefix, abfs://container/prefix, file:///folder or /folder"
S3_SCHEMES = frozenset({"s3", "s3a", "s3n"})
_NOT_STORES = frozenset({"http", "https", "ftp", "data", "runflow"})
DEFAULT_AWS_CONN_ID = "aws_default"


@dataclass(frozen=True)
class Destination:
    """
    A destination, taken apart.

    :param scheme: lower case, for example ``s3``.
    :param bucket: bucket or container; empty for a local folder.
    :param prefix: what every name begins with: empty, or with a slash at its end and none in front.
    :param conn_id: the Airflow connection in ``scheme://CONN_ID@bucket``, None without one.
    """

    scheme: str
    bucket: str
    prefix: str
    conn_id: str | None

    @property
    def uri(self) -> str:
        """The address of the prefix, with a slash at its end and without the connection."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


def check_destination(destination: str) -> None:
    """
    Check the form of a destination; needs no Airflow connection, so it can run when the DAG is parsed.

    :param destination: rendered: a text without ``{{``.
    :raises InvalidRequestError: it is none of the legal forms; the message names value, rule and forms.
    """
    parse_destination(destination)


def check_tagged(destination: str) -> None:
    """
    Check that a destination has tags.

    :raises InvalidRequestError: it is not on S3.
    """
    if parse_destination(destination).scheme not in S3_SCHEMES:
        raise InvalidRequestError(f"tag_objects: for S3 only, but the destination is {_shown(destination)!r}.")


def parse_destination(destination: object, *, called: str = "destination", forms: str = FORMS) -> Destination:
    """
    Take a destination apart.

    :param called: what the message calls it.
    :param forms: the legal forms that the message names.
    :raises InvalidRequestError: it is none of them.
    """
    try:
        return _take_apart(destination)
    except ValueError as rule:
        raise InvalidRequestError(f"{called} {_shown(destination)!r} {rule}. Legal forms: {forms}") from None


def _take_apart(destination: object) -> Destination:
    if not isinstance(destination, str) or not destination.strip():
        raise ValueError("is no text")
    if destination != destination.strip() or not destination.isprintable() or "\\" in destination:
        raise ValueError("has white space around it, a control character or a backslash")
    if "?" in destination or "#" in destination:
        raise ValueError("has a query or a fragment")
    if "://" not in destination:
        if not destination.startswith("/"):
            raise ValueError("has no scheme and is not an absolute path")
        destination = f"file://{destination}"
    try:
        parts = urlsplit(destination)
    except ValueError:
        raise ValueError("cannot be read") from None
    conn_id, _, bucket = parts.netloc.rpartition("@")
    scheme, path = parts.scheme.lower(), parts.path.strip("/")
    if not scheme or scheme in _NOT_STORES:
        raise ValueError("is not in an object store")
    if ":" in conn_id:
        raise ValueError("has a password in it; credentials belong into an Airflow connection")
    if scheme == "file" and (parts.netloc or not path):
        raise ValueError("names no folder on this machine: a file URL has three slashes")
    if scheme != "file" and not bucket:
        raise ValueError("names no bucket")
    if any(segment in ("", ".", "..") for segment in path.split("/")) and path:
        raise ValueError("has an empty, '.' or '..' folder in it")
    return Destination(scheme, bucket, f"{path}/" if path else "", conn_id or None)


def open_store(
    destination: str,
    *,
    aws_conn_id: str | None = DEFAULT_AWS_CONN_ID,
    encrypt: bool = False,
    acl_policy: str | None = None,
    cache_control: str | None = None,
    extra_args: Mapping[str, Any] | None = None,
    conn_id: str | None = None,
    tagged: bool = False,
) -> Store:
    """
    Open a destination. Nothing is asked of it yet; :meth:`Store.check` does that.

    :param destination: always a prefix; ``s3://CONN_ID@bucket/prefix`` names its own connection.
    :param aws_conn_id: S3 only: the AWS connection; None for boto3's own search for credentials.
    :param encrypt: S3 only: encrypt with S3's own keys (SSE-S3).
    :param acl_policy: S3 only: a canned ACL.
    :param cache_control: S3 only: the ``Cache-Control`` that pictures are served with.
    :param extra_args: S3 only: further arguments of ``put_object``, for example ``Tagging``.
    :param conn_id: all others: the Airflow connection.
    :param tagged: S3 only: pictures will be stored with tags.
    :raises InvalidRequestError: the destination has no legal form, or arguments that its store does not take.
    :raises ConfigurationError: a package is missing; the message has the pip line.
    """
    where = parse_destination(destination)
    if where.scheme in S3_SCHEMES:
        if conn_id is not None:
            raise InvalidRequestError(f"conn_id: {_shown(destination)!r} is on S3; use aws_conn_id")
        from airflow_provider_runflow.stores.s3 import S3Store

        return S3Store(
            destination,
            aws_conn_id=aws_conn_id,
            encrypt=encrypt,
            acl_policy=acl_policy,
            cache_control=cache_control,
            extra_args=extra_args,
            tagged=tagged,
        )
    given = {
        "aws_conn_id": aws_conn_id != DEFAULT_AWS_CONN_ID and aws_conn_id is not None,
        "encrypt": encrypt,
        "acl_policy": acl_policy is not None,
        "cache_control": cache_control is not None,
        "extra_args": bool(extra_args),
        "tag_objects": tagged,
    }
    if wrong := ", ".join(name for name, is_given in given.items() if is_given):
        raise InvalidRequestError(f"{wrong}: for S3 only, but the destination is {_shown(destination)!r}")
    from airflow_provider_runflow.stores.object_storage import ObjectStorageStore

    return ObjectStorageStore(destination, conn_id=conn_id)


def _shown(destination: object) -> object:
    """Return a destination as it may be shown: a query or a password could be a secret."""
    if not isinstance(destination, str):
        return destination
    shown = destination.split("?")[0]
    scheme, slashes, rest = shown.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
