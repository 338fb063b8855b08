# SPDX-License-Identifier: Apache-2.0
"""
Reading pictures from the storage hosts that Runflow's output URLs point to.

Those hosts are not Runflow: they get no key, no cookie and no second address to send us to. An output URL is
a secret while it lives (whoever has its query has the picture), so nothing here shows more than
:func:`redact_url`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from airflow_provider_runflow.client.redact import host_of, redact_url, strip_queries
from airflow_provider_runflow.exceptions import TransportError

CHUNK_BYTES = 64 * 1024
# httpx writes each request's full URL at INFO; httpcore writes answer headers at DEBUG (think of Location).
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")


class UnsafeUrlError(TransportError):
    """The URL is not one that pictures may be read from; asking again never helps."""


class _WithoutQueries(logging.Filter):
    """Cut the query from every URL in a log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str):
            record.msg = strip_queries(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_clean(value) for value in record.args)
        elif isinstance(record.args, Mapping):
            record.args = {key: _clean(value) for key, value in record.args.items()}
        return True


def _clean(value: Any) -> Any:
    if isinstance(value, httpx.URL):
        return strip_queries(str(value))
    return strip_queries(value) if isinstance(value, str) else value


def _install_log_filter() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        # By name, because a reloaded module has another class.
        if not any(type(known).__name__ == _WithoutQueries.__name__ for known in logger.filters):
            logger.addFilter(_WithoutQueries())


_install_log_filter()


class _NoAuth(httpx.Auth):
    """Adds nothing; without it httpx would turn a URL's ``user:password@`` into an Authorization header."""


@dataclass(frozen=True)
class Body:
    """
    An answer whose body has not been read yet.

    :param status: HTTP status; redirects are not followed, so this may be 3xx.
    :param headers: headers, looked up in any case.
    :param chunks: the body, at most 64 KiB at a time; raises ``TransportError`` when the connection breaks.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class StorageClient:
    """
    Read pictures from storage hosts, without credentials of any kind.

    Proxies from the environment (``HTTPS_PROXY`` and friends) are honoured. Safe to share between threads.

    :param ssl_context: the process's TLS context; None makes one.
    :param allow_http: also read ``http://`` URLs; only right when the Runflow connection itself is http.
    :param timeout: seconds without a single byte, or until connected, before a read counts as failed.
    :param transport: httpx transport, for tests and special networks (environment proxies are then ignored).
    """

    def __init__(
        self,
        ssl_context: ssl.SSLContext | None,
        *,
        allow_http: bool,
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.allow_http = allow_http
        self._http = httpx.Client(
            verify=ssl_context if ssl_context is not None else True,
            timeout=timeout,
            transport=transport,
            auth=_NoAuth(),
            # A jar that takes no cookie: one storage host's cookie is nobody else's business.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            # Masters are stored as received: a host that compresses would have us store something else.
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> StorageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextmanager
    def stream(self, url: str) -> Iterator[Body]:
        """
        Get ``url`` and hand out its answer while it arrives.

        :param url: an ``https://`` URL (``http://`` too with ``allow_http``).
        :raises UnsafeUrlError: for any other URL; nothing was sent.
        :raises TransportError: no answer, or the connection broke; the message names the host that a firewall
            must allow. Any HTTP status is an answer and is returned.
        """
        self._check(url)
        with _naming_the_host(url), self._http.stream("GET", url) as response:
            yield Body(response.status_code, response.headers, _chunks(url, response))

    def _check(self, url: str) -> None:
        shown = redact_url(url)
        try:
            parts: SplitResult | None = urlsplit(url)
        except ValueError:
            parts = None
        if parts is None or not parts.hostname or parts.scheme not in ("https", "http"):
            raise UnsafeUrlError(f"{shown} is not an https URL, so nothing was read from it")
        if parts.scheme == "http" and not self.allow_http:
            raise UnsafeUrlError(
                f"{shown} is plain http, which is read only when the Runflow connection itself is http"
            )


def _chunks(url: str, response: httpx.Response) -> Iterator[bytes]:
    with _naming_the_host(url):
        yield from response.iter_bytes(CHUNK_BYTES)


@contextmanager
def _naming_the_host(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        cause = strip_queries(str(error)) or "no further detail"
        raise TransportError(
            f"no complete answer from {host_of(url)} ({type(error).__name__}: {cause}); "
            f"a firewall or proxy must allow this host",
            request=f"GET {redact_url(url)}",
        ) from error
