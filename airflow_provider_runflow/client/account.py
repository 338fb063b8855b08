# SPDX-License-Identifier: Apache-2.0
"""Where Runflow is, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_runflow.exceptions import ConfigurationError

DEFAULT_BASE_URL = "https://api.runflow.io"
DEFAULT_REQUEST_TIMEOUT = 30.0


@dataclass(frozen=True)
class Account:
    """
    One way into the API.

    :param base_url: scheme and host, without ``/v1``.
    :param api_key: Bearer token; never part of the representation.
    :param organization_id: sent as ``X-Organization-Id``; ``None`` means the key's own organisation.
    :param request_timeout: seconds that one HTTP request may take.
    :raises ConfigurationError: when the base URL is not http(s), or the key is empty or not printable ASCII.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    organization_id: str | None = None
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
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
        if not self.request_timeout > 0:
            raise ConfigurationError(f"request_timeout={self.request_timeout!r}: must be more than 0 seconds.")

    @property
    def identity(self) -> str:
        """What tells two accounts apart without naming the key: base URL and organisation."""
        return f"{self.base_url}#{self.organization_id or ''}"

    @property
    def allows_http(self) -> bool:
        """Whether plain http is acceptable for downloads, because the connection itself uses it."""
        return self.base_url.startswith("http://")


def _without_secrets(url: str) -> str:
    return url.rsplit("@", 1)[-1].split("?", 1)[0]
