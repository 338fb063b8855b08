# SPDX-License-Identifier: Apache-2.0
"""Landed pictures in the Airflow UI: their address for the body of an approval, and copying exactly what was seen."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError
from airflow_provider_runflow.links import PICTURES_PREFIX, base_path

__all__ = ["copy_picture", "picture_markdown", "picture_url"]

# The largest picture that is copied; no model draws larger ones.
MAX_BYTES = 256 * 1024 * 1024


def picture_url(
    task_id: str,
    index: int = 0,
    *,
    key: str | None = None,
    map_index: int = -1,
    thumbnail: bool = False,
    dag_id: str | None = None,
    run_id: str | None = None,
) -> str:
    """
    Return the address of a landed picture within the Airflow UI, for the Markdown of an approval or a note.

    It holds no signature and does not expire: whoever opens it is asked for by Airflow, and must be allowed to read the
    task's XComs. It leads to what the task *has landed when somebody looks*: Airflow keeps the first body of an
    approval across retries, and so that body still shows the pictures of now.

    :param task_id: the task that landed it.
    :param index: which picture of the run, or of the item, from 0.
    :param key: the item, where the task is a batch.
    :param map_index: of a mapped task.
    :param thumbnail: at most 480 pixels a side.
    :param dag_id: default: that of the task that asks.
    :param run_id: the DAG run; default: that of the task that asks.
    """
    if dag_id is None or run_id is None:
        from airflow.sdk import get_current_context

        run = get_current_context()["dag_run"]
        dag_id, run_id = dag_id or run.dag_id, run_id or run.run_id
    query: dict[str, Any] = {"run_id": run_id, "task_id": task_id, "map_index": map_index, "index": index}
    if key is not None:
        query["key"] = key
    if thumbnail:
        query["size"] = "thumbnail"
    return f"{base_path()}{PICTURES_PREFIX}/dags/{quote(dag_id, safe='')}/picture?{urlencode(query)}"


def picture_markdown(task_id: str, alt_text: str, index: int = 0, **where: Any) -> str:
    """
    Return a landed picture as Markdown: ``![alt text](address)``.

    :param task_id: the task that landed it.
    :param alt_text: what it shows, for those who do not see it.
    :param index: which picture of the run, or of the item, from 0.
    :param where: as for :func:`picture_url`.
    """
    said = " ".join(alt_text.split()).translate({ord(sign): f"\\{sign}" for sign in "\\[]`*_<>"})
    return f"![{said}]({picture_url(task_id, index, **where)})"


def copy_picture(
    image: Mapping[str, Any],
    destination: str,
    *,
    name: str | None = None,
    approved_sha256: str | None = None,
    conn_id: str | None = None,
    destination_conn_id: str | None = None,
) -> dict[str, Any]:
    """
    Copy one landed picture to another prefix: exactly the bytes that were approved, or none.

    Doing it twice changes nothing. Another picture that has the name is left alone, and an error.

    :param image: as a result lists it: with ``uri``, ``sha256`` and ``content_type``.
    :param destination: prefix, as the operators take it.
    :param name: below it; default: the picture's own.
    :param approved_sha256: what was approved; default: what the result says.
    :param conn_id: Airflow connection of the picture's store. Default: the store's own, such as ``aws_default``.
    :param destination_conn_id: of the destination's store.
    :return: ``{uri, sha256, content_type, size_bytes}`` of the copy.
    :raises InvalidRequestError: the result names another picture than the approved one, or none.
    :raises DestinationError: what lies there is not that picture any more, or a store refuses.
    """
    import hashlib

    uri, sha256 = image.get("uri"), image.get("sha256")
    if not isinstance(uri, str) or not isinstance(sha256, str):
        raise InvalidRequestError(f"image={dict(image)!r}: has no uri and sha256, so it was not landed.")
    if approved_sha256 is not None and approved_sha256 != sha256:
        raise InvalidRequestError(
            f"{uri} is another picture (sha256 {sha256[:12]}…) than the approved one ({approved_sha256[:12]}…). "
            "Nothing was published. Clear the approval, so that somebody looks at this one."
        )
    folder, _, own_name = uri.rpartition("/")
    raw = _store(folder, conn_id).read_document(own_name, MAX_BYTES)
    if raw is None or hashlib.sha256(raw).hexdigest() != sha256:
        what = "is not there any more" if raw is None else "is not the picture that was landed and approved"
        raise DestinationError(f"{uri} {what} (sha256 {sha256[:12]}…). Nothing was published.")
    return _put(raw, _store(destination, destination_conn_id), name or own_name, image, sha256)


def _put(raw: bytes, store: Any, name: str, image: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    from airflow_provider_runflow.landing.store import NameTaken, matches

    content_type = str(image.get("content_type") or "application/octet-stream")
    with tempfile.TemporaryDirectory(prefix="runflow-copy-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(raw)
        store.check()
        try:
            store.put_file(name, path, content_type=content_type, sha256=sha256, replace=False)
        except NameTaken as taken:
            if not matches(store, name, taken.existing, len(raw), sha256):
                raise DestinationError(f"{store.uri(name)} is another picture. Nothing was published.") from taken
    return {"uri": store.uri(name), "sha256": sha256, "content_type": content_type, "size_bytes": len(raw)}


def _store(folder: str, conn_id: str | None) -> Any:
    from airflow_provider_runflow.stores import S3_SCHEMES, open_store, parse_destination

    on_s3 = parse_destination(folder).scheme in S3_SCHEMES
    connection = {"aws_conn_id" if on_s3 else "conn_id": conn_id} if conn_id else {}
    return open_store(folder, **connection)  # type: ignore[arg-type]
