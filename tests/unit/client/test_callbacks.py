# SPDX-License-Identifier: Apache-2.0
"""Believing a callback: who signed it, over which bytes, and when."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_runflow.client import callbacks
from airflow_provider_runflow.client.callbacks import Callback, verify_signature
from airflow_provider_runflow.exceptions import (
    CallbackExpiredError,
    CallbackMalformedError,
    CallbackRejectedError,
    ConfigurationError,
    SignatureMismatchError,
    SignatureMissingError,
)
from tests.unit.client.fakes import RUN_ID, texts_of

SECRET = "whsec_never_show_this_secret"
OLD = "whsec_the_one_before"
URL = "https://bucket.test/outputs/a.png?X-Amz-Signature=secret"
ENDED = datetime(2026, 5, 6, 10, 1, 42, tzinfo=timezone.utc)
#: The example of the reference, 12.1.
PAYLOAD: dict[str, Any] = {
    "event": "run.completed",
    "run_id": RUN_ID,
    "status": "succeeded",
    "output": {"image_urls": [URL]},
    "duration_ms": 102345,
    "created_at": "2026-05-06T10:00:00.000+00:00",
    "completed_at": "2026-05-06T10:01:42.000+00:00",
    "metadata": None,
}
BODY = json.dumps(PAYLOAD).encode()


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verified(body: bytes = BODY, **how: Any) -> Callback:
    return verify_signature(body, how.pop("signature", sign(body)), how.pop("secret", SECRET), **how)


class TestARightlySignedCallback:
    def test_is_read_whole(self) -> None:
        callback = verified()
        assert (callback.event, callback.run_id, callback.status) == ("run.completed", RUN_ID, "succeeded")
        assert callback.completed_at == ENDED
        assert callback.duration_ms == 102345
        assert callback.output_urls == [URL]

    def test_the_signature_is_over_the_raw_bytes_with_the_whole_secret(self) -> None:
        # openssl dgst -sha256 -hmac whsec_x: made elsewhere, so that both sides cannot be wrong together.
        body = b'{"event":"run.completed","run_id":"r1"}'
        known = "2254add23d8380c2772aa4cebd11bbf8ae1ea7accc143b730bc906cc423f9b40"
        assert verify_signature(body, known, "whsec_x").run_id == "r1"

    @pytest.mark.parametrize("status", ["canceled", "cancelled"])
    def test_both_spellings_of_cancelled_are_one(self, status: str) -> None:
        body = json.dumps(PAYLOAD | {"event": "run.cancelled", "status": status, "output": None}).encode()
        callback = verified(body)
        assert (callback.status, callback.output_urls) == ("cancelled", [])

    def test_the_error_envelope_of_a_failed_run_is_no_picture(self) -> None:
        output = {"error": {"message": "see", "url": "https://docs.test/errors"}}
        body = json.dumps(PAYLOAD | {"event": "run.failed", "status": "failed", "output": output}).encode()
        assert verified(body).output_urls == []

    def test_a_batch_is_told_by_its_batch_id(self) -> None:
        body = json.dumps({"event": "batch.succeeded", "batch_id": "b1", "status": "succeeded"}).encode()
        assert (verified(body).batch_id, verified(body).run_id) == ("b1", None)

    def test_fields_of_next_year_are_ignored_and_nulls_are_borne(self) -> None:
        body = json.dumps(dict.fromkeys(PAYLOAD) | {"event": "run.completed", "new": 1}).encode()
        assert verified(body).status is None

    def test_while_a_secret_is_rotated_either_fits(self) -> None:
        for secrets in ([SECRET, OLD], (OLD, SECRET)):
            assert verified(secret=secrets).run_id == RUN_ID
            assert verified(secret=secrets, signature=sign(BODY, OLD)).run_id == RUN_ID

    def test_it_does_not_show_its_urls(self) -> None:
        assert "X-Amz-Signature" not in f"{verified()!r}"


class TestWhatIsNotBelieved:
    @pytest.mark.parametrize("signature", [None, ""])
    def test_a_request_without_a_signature(self, signature: str | None) -> None:
        with pytest.raises(
            SignatureMissingError, match="no Runflow-Signature header: it does not come from Runflow, or"
        ):
            verified(signature=signature)

    @pytest.mark.parametrize(
        "signature",
        ["nonsense", "0" * 63, "0" * 65, sign(BODY).upper(), f"sha256={sign(BODY)}", f" {sign(BODY)}", "é" * 64],
    )
    def test_a_signature_that_is_not_64_lower_case_hex_digits(self, signature: str) -> None:
        with pytest.raises(SignatureMismatchError, match="is not 64 lower-case hex digits"):
            verified(signature=signature)

    @pytest.mark.parametrize(
        ("body", "signature"),
        [
            (BODY, sign(BODY, OLD)),
            (BODY, sign(BODY, f"{SECRET} ")),
            (BODY + b" ", sign(BODY)),
            (json.dumps(PAYLOAD, separators=(",", ":")).encode(), sign(BODY)),
            (BODY, "0" * 64),
        ],
        ids=["another secret", "almost the secret", "one byte more", "written again", "made up"],
    )
    def test_a_signature_over_other_bytes_or_with_another_secret(self, body: bytes, signature: str) -> None:
        with pytest.raises(
            SignatureMismatchError, match=r"another secret \(was it rotated\?\), or the body is not the raw"
        ):
            verified(body, signature=signature)

    @pytest.mark.parametrize("secret", ["", [], [""], [SECRET, ""]])
    def test_an_empty_secret_would_believe_anybody(self, secret: Any) -> None:
        with pytest.raises(ConfigurationError, match="There is no callback secret to verify with"):
            verified(secret=secret, signature=sign(BODY, ""))

    def test_text_instead_of_the_raw_bytes_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(TypeError, match="body must be the raw bytes that were received, not str"):
            verify_signature(BODY.decode(), sign(BODY), SECRET)  # type: ignore[arg-type]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"event": null}', b"[" * 100_000, b"\xff"])
    def test_rightly_signed_nonsense(self, body: bytes) -> None:
        with pytest.raises(CallbackMalformedError, match=r"rightly signed, but it .* Read the run itself instead"):
            verified(body)

    def test_every_refusal_is_one_kind_that_no_retry_mends(self) -> None:
        kinds = (SignatureMissingError, SignatureMismatchError, CallbackExpiredError, CallbackMalformedError)
        assert all(issubclass(kind, CallbackRejectedError) and kind.retry == "never" for kind in kinds)

    def test_no_error_shows_the_secret_or_the_signature_that_would_have_fitted(self) -> None:
        with pytest.raises(SignatureMismatchError) as caught:
            verified(signature="0" * 64)
        assert SECRET not in texts_of(caught.value)
        assert sign(BODY) not in texts_of(caught.value)

    def test_the_comparison_takes_the_same_time_wherever_it_differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[tuple[str, str]] = []
        real = hmac.compare_digest

        def compare(one: str, other: str) -> bool:
            compared.append((one, other))
            return real(one, other)

        monkeypatch.setattr(callbacks.hmac, "compare_digest", compare)
        verified(secret=[SECRET, OLD])
        # Both secrets are tried although the first fits.
        assert len(compared) == 2


class TestTolerance:
    def test_any_age_is_believed_unless_a_tolerance_is_asked_for(self) -> None:
        assert verified(now=ENDED + timedelta(days=400)).run_id == RUN_ID

    @pytest.mark.parametrize("seconds", [0, 300, -300])
    def test_within_it_either_way(self, seconds: int) -> None:
        assert verified(tolerance=timedelta(minutes=5), now=ENDED + timedelta(seconds=seconds)).run_id == RUN_ID

    @pytest.mark.parametrize("seconds", [301, -301])
    def test_beyond_it_either_way(self, seconds: int) -> None:
        with pytest.raises(CallbackExpiredError) as caught:
            verified(tolerance=timedelta(minutes=5), now=ENDED + timedelta(seconds=seconds))
        assert str(caught.value) == (
            "The callback is about a run that ended at 2026-05-06T10:01:42+00:00, more than 0:05:00 from now: an "
            "old one sent again, or a clock that is wrong. Read the run itself instead."
        )

    def test_without_a_time_in_the_body_it_cannot_hold(self) -> None:
        body = json.dumps(PAYLOAD | {"completed_at": None}).encode()
        with pytest.raises(CallbackExpiredError, match="no completed_at"):
            verified(body, tolerance=timedelta(minutes=5))

    def test_the_signature_is_looked_at_first(self) -> None:
        with pytest.raises(SignatureMismatchError):
            verified(signature="0" * 64, tolerance=timedelta(minutes=5))

    def test_now_is_the_machines_by_default(self) -> None:
        with pytest.raises(CallbackExpiredError):
            verified(tolerance=timedelta(days=1), body=BODY.replace(b"2026-05-06T10:01", b"2016-05-06T10:01"))


def test_it_needs_neither_airflow_nor_an_http_client() -> None:
    code = (
        "import sys; import airflow_provider_runflow.client.callbacks; "
        "print([name for name in ('airflow', 'httpx', 'flask', 'starlette', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
