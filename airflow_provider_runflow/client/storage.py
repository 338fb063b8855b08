# SPDX-License-Identifier: Apache-2.0
"""
Reading pictures from, and writing references to, the storage hosts that Runflow's presigned URLs point to.

Those hosts are not Runflow: they get no key, no cookie and no second address to send us to. A presigned URL is
a secret while it lives (whoever has its query has the picture), so nothing here shows more than
:func:`redact_url`.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from airflow_provider_runflow.client.reader import reader
from airflow_provider_runflow.client.redact import host_of, redact_url, strip_queries
from airflow_provider_runflow.exceptions import TransportError

CHUNK_BYTES = 64 * 1024
# Of an error's body only this is read, and only its code is told: the rest quotes the signed request.
_ERROR_BYTES = 4096
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
# httpx writes each request's full URL at INFO; httpcore writes answer headers at DEBUG (think of Location).
# urllib3 writes each request's path and query at DEBUG.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "urllib3.connectionpool",
)


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
    if not isinstance(value, str):
        return value
    # urllib3 names a path without its host.
    return value.partition("?")[0] if value.startswith("/") else strip_queries(value)


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
    :param chunks: the body in pieces of at most 256 KiB; raises ``TransportError`` when the connection breaks.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class PutAnswer:
    """
    What a storage host said to an upload.

    :param status: HTTP status; redirects are not followed.
    :param code: the code of an S3 error, such as ``AccessDenied``; None when there is none.
    """

    status: int
    code: str | None = None


class StorageClient:
    """
    Read from and write to storage hosts, without credentials of any kind.

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
        verify = ssl_context or httpx.create_ssl_context()
        self._http = httpx.Client(
            verify=verify,
            timeout=timeout,
            transport=transport or reader(verify),
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

    def put(self, url: str, content: Iterable[bytes], *, size: int, content_type: str) -> PutAnswer:
        """
        Send ``content`` to ``url`` while it is read.

        :param url: a presigned ``https://`` URL (``http://`` too with ``allow_http``).
        :param content: the body; what it raises passes unchanged.
        :param size: its length in bytes, declared up front: presigned URLs take no chunked body.
        :param content_type: must be the one that the URL was signed for.
        :raises UnsafeUrlError: for any other URL; nothing was sent.
        :raises TransportError: no answer, or the connection broke; the message names the host that a firewall
            must allow. Any HTTP status is an answer and is returned.
        """
        self._check(url)
        headers = {"Content-Type": content_type, "Content-Length": str(size)}
        with (
            _naming_the_host(url, "PUT"),
            self._http.stream("PUT", url, content=content, headers=headers) as response,
        ):
            found = None if response.is_success else _ERROR_CODE.search(_beginning(response))
            return PutAnswer(response.status_code, found[1].decode() if found else None)

    def _check(self, url: str) -> None:
        shown = redact_url(url)
        try:
            parts: SplitResult | None = urlsplit(url)
        except ValueError:
            parts = None
        if parts is None or not parts.hostname or parts.scheme not in ("https", "http"):
            raise UnsafeUrlError(f"{shown} is not an https URL, so nothing is read from it or sent to it")
        if parts.scheme == "http" and not self.allow_http:
            raise UnsafeUrlError(
                f"{shown} is plain http, which is used only when the Runflow connection itself is http"
            )


def _chunks(url: str, response: httpx.Response) -> Iterator[bytes]:
    with _naming_the_host(url):
        yield from response.iter_bytes()


def _beginning(response: httpx.Response) -> bytes:
    begin = b""
    for chunk in response.iter_bytes(_ERROR_BYTES):
        begin += chunk
        if len(begin) >= _ERROR_BYTES:
            break
    return begin


@contextmanager
def _naming_the_host(url: str, method: str = "GET") -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        cause = strip_queries(str(error)) or "no further detail"
        # Not chained: the cause may quote the URL whole, and a traceback would show it.
        raise TransportError(
            f"no complete answer from {host_of(url)} ({type(error).__name__}: {cause}); "
            f"a firewall or proxy must allow this host",
            request=f"{method} {redact_url(url)}",
        ) from None
