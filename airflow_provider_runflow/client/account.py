# SPDX-License-Identifier: Apache-2.0
"""Where Runflow is, and who is asking."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_runflow.exceptions import ConfigurationError

DEFAULT_BASE_URL = "https://api.runflow.io"
DEFAULT_REQUEST_TIMEOUT = 30.0
# Sockets take no infinite time-out: they raise in the middle of a request.
LONGEST_REQUEST_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Account:
    """
    One way into the API. It cannot be pickled, since it holds the key.

    :param base_url: scheme and host, without ``/v1``.
    :param api_key: Bearer token; never part of the representation.
    :param organization_id: sent as ``X-Organization-Id``; ``None`` means the key's own organisation.
    :param request_timeout: seconds that one HTTP request may take.
    :param name: where it comes from, such as ``Connection 'runflow_default'``: errors about it begin with that.
    :raises ConfigurationError: when the base URL is not http(s), the key is empty, key or organisation cannot be sent
        in a header, or the time-out is not between 0 and 3600 seconds.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    organization_id: str | None = None
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    name: str = ""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and _is_host(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(
                "The Runflow connection's host must be a base URL such as https://api.runflow.io "
                f"(scheme, host, optional port), not {_without_secrets(self.base_url)!r}."
            )
        path = parts.path.rstrip("/").removesuffix("/v1")
        object.__setattr__(self, "base_url", f"{parts.scheme}://{parts.netloc.lower()}{path}")
        key = self.api_key.strip()
        if not key:
            raise ConfigurationError(
                "The Runflow connection has no API key. Put it into the connection's password field "
                "(app.runflow.io, Settings, API Keys)."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigurationError("The Runflow connection's API key contains characters that no key has.")
        object.__setattr__(self, "api_key", key)
        organization = (self.organization_id or "").strip()
        if not (organization.isascii() and organization.isprintable()):
            raise ConfigurationError(
                f"The Runflow connection's organization_id={organization!r} contains characters that no header takes."
            )
        object.__setattr__(self, "organization_id", organization or None)
        if not 0 < self.request_timeout <= LONGEST_REQUEST_TIMEOUT:
            raise ConfigurationError(
                f"request_timeout={self.request_timeout!r}: must be more than 0 and at most "
                f"{LONGEST_REQUEST_TIMEOUT:.0f} seconds."
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Runflow account holds an API key, so it cannot be pickled: pass the connection's id on")

    def __deepcopy__(self, memo: dict[int, Any]) -> Account:
        return self

    @property
    def identity(self) -> str:
        """What tells two accounts apart without naming the key: base URL and organisation."""
        return f"{self.base_url}#{self.organization_id or ''}"

    @property
    def access(self) -> str:
        """What tells two ways into the API apart, without showing the key: :attr:`identity` and who asks."""
        return f"{self.identity}#{hashlib.sha256(self.api_key.encode()).hexdigest()}"

    @property
    def allows_http(self) -> bool:
        """Whether plain http is acceptable for downloads, because the connection itself uses it."""
        return self.base_url.startswith("http://")


def _is_host(host: str | None) -> bool:
    # `encode` raises UnicodeError, a ValueError, for what no resolver takes: a label that is empty or too long.
    return bool(host and host.isascii() and host.isprintable() and " " not in host and host.encode("idna"))


def _without_secrets(url: str) -> str:
    return url.rsplit("@", 1)[-1].split("?", 1)[0]
