# SPDX-License-Identifier: Apache-2.0
"""S3's rules for an object's tags, known before a picture is paid."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_runflow.exceptions import InvalidRequestError

MAX_TAGS = 10
MAX_NAME = 128
MAX_VALUE = 256
_SIGNS = "+-=._:/@ "


def check_tags(tags: Mapping[str, str]) -> None:
    """
    Check names and values as S3 does.

    :raises InvalidRequestError: naming tag, value and rule.
    """
    if len(tags) > MAX_TAGS:
        raise InvalidRequestError(f"{len(tags)} labels: S3 takes at most {MAX_TAGS} tags an object.")
    for name, value in tags.items():
        for what, text, longest in (("name", name, MAX_NAME), ("value", value, MAX_VALUE)):
            # S3 counts as Java does: a sign beyond the first plane as two.
            if len(text.encode("utf-16-le", "surrogatepass")) // 2 > longest:
                raise InvalidRequestError(f"label {name[:40]!r}: the {what} of a tag has at most {longest} characters.")
            if bad := next((char for char in text if not _is_allowed(char)), None):
                raise InvalidRequestError(
                    f"label {name}={value[:80]!r}: {bad!r} cannot be in the {what} of a tag; S3 takes letters, digits, "
                    f"spaces and {' '.join(_SIGNS.strip())}"
                )


def _is_allowed(char: str) -> bool:
    return char.isalpha() or char.isnumeric() or char in _SIGNS
