# SPDX-License-Identifier: Apache-2.0
"""
Believing a callback: Runflow's signature over the raw body (API reference, 12.2).

Needs no web framework and no Airflow: give it the bytes, the header and the secret.

::

    callback = verify_signature(request.body, request.headers.get(SIGNATURE_HEADER), secret)
    if callback.run_id not in handled:  # deliveries may repeat
        ...
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_provider_runflow.client.wire import Count, Mapped, Moment, Text, output_urls, same_status
from airflow_provider_runflow.exceptions import (
    CallbackExpiredError,
    CallbackMalformedError,
    ConfigurationError,
    SignatureMismatchError,
    SignatureMissingError,
)

SIGNATURE_HEADER = "Runflow-Signature"
REQUEST_ID_HEADER = "Runflow-Request-Id"

_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Callback(BaseModel):
    """
    What Runflow says when a run or a batch has ended.

    It carries no cost and no ``client_ref``: read the run for those. Its output URLs were signed when it was first
    delivered, and age. The same callback may arrive several times.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    event: str = Field(min_length=1)
    run_id: Text = None
    batch_id: Text = None
    status: Annotated[str | None, BeforeValidator(same_status)] = None
    output: Mapped = Field(default=None, repr=False)
    duration_ms: Count = None
    created_at: Moment = None
    completed_at: Moment = None
    metadata: Mapped = None

    @property
    def output_urls(self) -> list[str]:
        """Presigned URLs of the outputs in order; none when the run failed."""
        return output_urls(self.output) if self.status in ("succeeded", "partial_succeeded") else []


def verify_signature(
    body: bytes,
    signature: str | None,
    secret: str | Sequence[str],
    *,
    tolerance: timedelta | None = None,
    now: datetime | None = None,
) -> Callback:
    """
    Make sure that a callback comes from Runflow, and read it.

    Parse nothing before this: the bytes as received are what is signed, and JSON that was parsed and written again is
    other bytes.

    :param body: the raw request body.
    :param signature: value of the header ``Runflow-Signature``: 64 lower-case hex digits, the HMAC-SHA256 of the body.
        Runflow sends none as long as the organisation has no callback secret.
    :param secret: the whole ``whsec_...`` string; several while one is rotated.
    :param tolerance: refuse a callback whose run ended longer ago than this, or lies that far in the future. Runflow
        signs no time of sending (none is documented), so this looks at ``completed_at`` in the signed body, which late
        tries and redeliveries keep: set it only above the hours in which those may come. Default: any age; a repeated
        delivery is told by its ``run_id``.
    :param now: aware time to compare with; default the machine's.
    :return: the callback.
    :raises SignatureMissingError: no signature.
    :raises SignatureMismatchError: not 64 hex digits, or made with another secret or over another body.
    :raises CallbackExpiredError: outside ``tolerance``.
    :raises CallbackMalformedError: rightly signed, but not a callback.
    :raises ConfigurationError: no secret was given.
    """
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"body must be the raw bytes that were received, not {type(body).__name__}")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets or not all(secrets):
        raise ConfigurationError(
            "There is no callback secret to verify with: create one at Runflow (POST /v1/callback-secrets shows it "
            "once) and put it into the connection's extra as callback_secret."
        )
    _check_signature(body, signature, secrets)
    callback = _read(bytes(body))
    if tolerance is not None:
        _check_age(callback, tolerance, now or datetime.now(timezone.utc))
    return callback


def _check_signature(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    if not signature:
        raise SignatureMissingError(
            f"The request has no {SIGNATURE_HEADER} header: it does not come from Runflow, or the organisation has no "
            "callback secret yet. The body is not believed."
        )
    if not _SIGNATURE.fullmatch(signature):
        raise SignatureMismatchError(f"{SIGNATURE_HEADER} is not 64 lower-case hex digits. The body is not believed.")
    # Every secret is tried, whichever fits: how long this takes must not tell.
    matches = [
        hmac.compare_digest(hmac.new(key.encode(), body, hashlib.sha256).hexdigest(), signature) for key in secrets
    ]
    if not any(matches):
        raise SignatureMismatchError(
            f"{SIGNATURE_HEADER} does not fit the body: another secret (was it rotated?), or the body is not the raw "
            "bytes that were received. The body is not believed."
        )


def _read(body: bytes) -> Callback:
    try:
        return Callback.model_validate(json.loads(body))
    except ValidationError as invalid:
        where = "; ".join(".".join(map(str, e["loc"])) + ": " + e["msg"] for e in invalid.errors()[:3])
        reason = f"it lacks what a callback has ({where})"
    except (ValueError, RecursionError):
        reason = "it is not JSON"
    raise CallbackMalformedError(f"The callback is rightly signed, but {reason}. Read the run itself instead.")


def _check_age(callback: Callback, tolerance: timedelta, now: datetime) -> None:
    ended = callback.completed_at
    if ended is None:
        raise CallbackExpiredError(
            "The callback has no completed_at, so its age cannot be told and tolerance cannot hold."
        )
    if abs(now - ended) > tolerance:
        raise CallbackExpiredError(
            f"The callback is about a run that ended at {ended.isoformat()}, more than {tolerance} from now: an "
            "old one sent again, or a clock that is wrong. Read the run itself instead."
        )
