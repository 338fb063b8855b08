# SPDX-License-Identifier: Apache-2.0
"""Reading what a batch landed: typed rows, for a downstream task to work with."""

from __future__ import annotations

from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError
from airflow_provider_runflow.landing.manifest import MAX_BYTES, ManifestRow, parse_rows

__all__ = ["ManifestRow", "read_manifest"]


def read_manifest(uri: str, conn_id: str | None = None) -> list[ManifestRow]:
    """
    Read the manifest of a batch: one row an item, in the order of the list.

    ::

        @task
        def shop_pictures(result: dict) -> list[str]:
            return [uri for row in read_manifest(result["manifest_uri"]) for uri in row.uris]

    :param uri: the ``manifest_uri`` that a batch operator returned.
    :param conn_id: Airflow connection of its store. Default: the store's own, such as ``aws_default``.
    :raises InvalidRequestError: the address has no legal form, or what it names is no manifest.
    :raises DestinationError: there is no such object, or its store does not answer.
    """
    from airflow_provider_runflow.stores import S3_SCHEMES, open_store, parse_destination

    if not str(uri).endswith(".jsonl"):
        raise InvalidRequestError(f"uri={uri!r}: must be the manifest_uri of a batch; it ends in .jsonl.")
    folder, _, name = uri.rpartition("/")
    on_s3 = parse_destination(folder).scheme in S3_SCHEMES
    connection = {"aws_conn_id" if on_s3 else "conn_id": conn_id} if conn_id else {}
    raw = open_store(folder, **connection).read_document(name, MAX_BYTES)  # type: ignore[arg-type]
    if raw is None:
        raise DestinationError(f"{uri}: there is no such manifest.")
    try:
        return list(parse_rows(raw.decode("utf-8", "replace")))
    except ValueError as error:
        raise InvalidRequestError(f"{uri}: is no manifest of this package ({error}).") from error
