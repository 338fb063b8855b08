# SPDX-License-Identifier: Apache-2.0
"""
Showing addresses without what makes them secrets.

Whoever has the query of a presigned URL has the picture, so no log, error or sidecar shows more than host and path.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)[?#][^\s'\"<>]*", re.IGNORECASE)
_USERINFO = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>@]*@", re.IGNORECASE)
# Codes are words such as RATE_LIMITED; nothing longer belongs into an XCom of every failed task.
MAX_CODE = 100


def redact_url(url: str) -> str:
    """
    Show a URL without what makes it a secret: no query, fragment, user or password.

    :param url: any URL, for example a presigned one.
    :return: ``https://host/path``; ``data:…`` for a data URI; ``(unreadable URL)`` for what is no URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable URL)"
    if not parts.netloc:
        return f"{parts.scheme}:…" if parts.scheme else "(unreadable URL)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def strip_queries(text: str) -> str:
    """Return ``text`` with the query and the user of every URL in it cut away."""
    return _USERINFO.sub(r"\1", _QUERY.sub(r"\1", text))


def public_code(code: str | None) -> str | None:
    """Return a server's code for what happened as it may be shown: short, and without the query of any URL."""
    return None if code is None else strip_queries(code)[:MAX_CODE]


def host_of(url: str) -> str:
    """Return ``host:port`` of a URL: what a firewall must let through; ``(no host)`` when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "(no host)"
    return f"{parts.hostname}:{port}" if parts.hostname else "(no host)"
