# SPDX-License-Identifier: Apache-2.0
"""What a Runflow connection says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_runflow.client.account import DEFAULT_BASE_URL, DEFAULT_REQUEST_TIMEOUT, Account
from airflow_provider_runflow.exceptions import ConfigurationError

CONN_TYPE = "runflow"


@dataclass(frozen=True)
class Settings:
    """
    A connection of type ``runflow``, read and checked.

    :param account: base URL, key, organisation, request time-out.
    :param run_url_template: address of a run's page with ``{run_id}``, for the extra link.
    :param max_quality: a staging guard: no request of a higher quality leaves this Airflow.
    :param callback_secret: verifies Runflow's callbacks.
    """

    account: Account
    run_url_template: str | None = None
    max_quality: str | None = None
    callback_secret: str | None = field(default=None, repr=False)


def read_connection(conn: Any, extra: Mapping[str, Any]) -> Settings:
    """
    Read an Airflow connection.

    :param conn: the connection.
    :param extra: its extra, already decoded (decoding may need to be awaited).
    :raises ConfigurationError: naming the connection and the field that is wrong.
    """
    if conn.conn_type not in (CONN_TYPE, "generic"):
        raise ConfigurationError(
            f"Connection {conn.conn_id!r} is of type {conn.conn_type!r}; it must be of type {CONN_TYPE!r}."
        )
    _check_extra(conn, extra)
    try:
        timeout = float(extra.get("request_timeout") or DEFAULT_REQUEST_TIMEOUT)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"Connection {conn.conn_id!r}: request_timeout={extra.get('request_timeout')!r} must be seconds."
        ) from None
    template = _text(extra, "run_url_template")
    if template and (not template.startswith(("https://", "http://")) or "{run_id}" not in template):
        raise ConfigurationError(
            f"Connection {conn.conn_id!r}: run_url_template={template!r} must be an http(s) address with {{run_id}}."
        )
    try:
        account = Account(
            base_url=_base_url(conn),
            api_key=conn.password or "",
            organization_id=_text(extra, "organization_id"),
            request_timeout=timeout,
            name=f"Connection {conn.conn_id!r}",
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"Connection {conn.conn_id!r}: {error}") from None
    return Settings(account, template, _text(extra, "max_quality"), _text(extra, "callback_secret"))


def _check_extra(conn: Any, extra: Any) -> None:
    # Airflow reads an extra that is not JSON as empty: the organisation and the guard in it would silently be gone.
    readable = isinstance(extra, Mapping)
    if readable and not extra and (conn.extra or "").strip():
        try:
            readable = isinstance(json.loads(conn.extra), Mapping)
        except ValueError:
            readable = False
    if not readable:
        raise ConfigurationError(f"Connection {conn.conn_id!r}: its extra must be a JSON object.")


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    return str(value) if value not in (None, "") else None


def _base_url(conn: Any) -> str:
    host = (conn.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" not in host:
        scheme = conn.schema if conn.schema in ("http", "https") else "https"
        host = f"{scheme}://{host}"
    # Airflow keeps the port apart when the connection is written as a URI.
    return _with_port(host, conn.port) if conn.port else str(host)


def _with_port(url: str, port: int) -> str:
    try:
        parts = urlsplit(url)
        return url if parts.port is not None else parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    except ValueError:
        return url  # not a base URL, which the account says
