# SPDX-License-Identifier: Apache-2.0
"""Paths, queries, headers and error envelopes, without sending anything."""

from __future__ import annotations

import email.utils
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_runflow import __version__
from airflow_provider_runflow.client import protocol
from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.asynchronous import AsyncRunflowClient
from airflow_provider_runflow.client.protocol import Call
from airflow_provider_runflow.client.retry import Effect, Failure
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import ApiError, InvalidRequestError, RequestRejectedError
from tests.unit.client.fakes import ACCOUNT, KEY, says

GET = Call("GET", "/v1/runs/1", Run)


def error_of(response: httpx.Response) -> ApiError:
    failure = protocol.read_answer(GET, ACCOUNT, response)
    assert isinstance(failure, Failure)
    return failure.error


class TestModelPath:
    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("openai/gpt-image-2", "/v1/models/openai/gpt-image-2/runs"),
            ("openai/gpt-image-2/edit", "/v1/models/openai/gpt-image-2/edit/runs"),
            ("openai/gpt-image-1.5", "/v1/models/openai/gpt-image-1.5/runs"),
            (
                "bytedance/seedance/2.0/fast/text-to-video",
                "/v1/models/bytedance/seedance/2.0/fast/text-to-video/runs",
            ),
            ("my org/modèle", "/v1/models/my%20org/mod%C3%A8le/runs"),
            ("org/a?b#c", "/v1/models/org/a%3Fb%23c/runs"),
            ("org/a%2Fb", "/v1/models/org/a%252Fb/runs"),
            ("org/...", "/v1/models/org/.../runs"),
        ],
    )
    def test_each_segment_is_escaped_on_its_own(self, model: str, path: str) -> None:
        assert protocol.runs_path(model) == path

    @pytest.mark.parametrize(
        "wrong", ["", "gpt-image-2", "/", "openai/", "/gpt-image-2", "openai//edit", "openai/../x", "./x", "openai/ "]
    )
    def test_a_model_id_that_would_lead_elsewhere_is_refused(self, wrong: str) -> None:
        with pytest.raises(InvalidRequestError, match="must be owner/name, such as 'openai/gpt-image-2'"):
            protocol.runs_path(wrong)


class TestRunPath:
    @pytest.mark.parametrize(
        ("run_id", "path"),
        [
            ("019e1f00-0000-7000-8000-000000000001", "/v1/runs/019e1f00-0000-7000-8000-000000000001"),
            ("a/b", "/v1/runs/a%2Fb"),
            ("../../admin", "/v1/runs/..%2F..%2Fadmin"),
            ("a?x=1", "/v1/runs/a%3Fx%3D1"),
        ],
    )
    def test_an_id_is_one_segment_whatever_it_holds(self, run_id: str, path: str) -> None:
        assert protocol.run_path(run_id) == path

    @pytest.mark.parametrize("wrong", ["", " ", ".", "..", None])
    def test_no_id_is_refused_instead_of_reading_the_list(self, wrong: Any) -> None:
        with pytest.raises(InvalidRequestError, match="must be the id that creating the run returned"):
            protocol.run_path(wrong)


class TestClientRef:
    @pytest.mark.parametrize("ref", ["a", "a" * 255, "af.campaign.hero.manual__2026-03-02.0123", "größe"])
    def test_up_to_255_printable_characters_make_an_exact_match_filter(self, ref: str) -> None:
        assert protocol.client_ref_filter(ref) == f"client_ref.EQ:'{ref}'"

    @pytest.mark.parametrize("wrong", ["", "a" * 256, "it's", "a\nb", "a\x00"])
    def test_one_that_could_not_be_found_again_is_refused(self, wrong: str) -> None:
        with pytest.raises(InvalidRequestError, match="must be 1-255 printable characters without a single quote"):
            protocol.client_ref_filter(wrong)


class TestIdempotencyKey:
    @pytest.mark.parametrize("wrong", ["", " ", "a\nb", "schlüssel", " a", "a "])
    def test_one_that_no_header_carries_is_refused_rather_than_left_out(self, wrong: str) -> None:
        with pytest.raises(InvalidRequestError, match="must be printable ASCII, without spaces around it"):
            protocol.check_idempotency_key(wrong)


class TestListQuery:
    def test_only_what_is_given_is_sent(self) -> None:
        assert protocol.list_params() == {}

    def test_names_are_the_references(self) -> None:
        query = protocol.list_params(
            q="status_code.EQ:'failed'", fields=["id", "status_code"], sort_by="created_at:asc", limit=500, cursor="c2"
        )
        assert query == {
            "q": "status_code.EQ:'failed'",
            "fields": "id,status_code",
            "sort_by": "created_at:asc",
            "limit": "500",
            "pq": "c2",
        }

    @pytest.mark.parametrize("wrong", [0, -1, 501])
    def test_a_page_has_1_to_500_rows(self, wrong: int) -> None:
        with pytest.raises(InvalidRequestError, match=f"limit={wrong}: must be between 1 and 500"):
            protocol.list_params(limit=wrong)


class TestClientOptions:
    def test_every_request_carries_key_and_user_agent(self) -> None:
        headers = protocol.client_options(ACCOUNT)["headers"]
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert headers["User-Agent"] == f"airflow-provider-runflow/{__version__}"
        assert headers["Accept"] == "application/json"

    def test_the_organisation_is_named_only_if_the_connection_names_one(self) -> None:
        assert "X-Organization-Id" not in protocol.client_options(ACCOUNT)["headers"]
        named = Account("https://api.runflow.test", KEY, organization_id="org-1")
        assert protocol.client_options(named)["headers"]["X-Organization-Id"] == "org-1"

    def test_redirects_are_not_followed_since_they_would_carry_the_key_elsewhere(self) -> None:
        assert protocol.client_options(ACCOUNT)["follow_redirects"] is False

    @pytest.mark.parametrize(("seconds", "connect"), [(30.0, 10.0), (4.0, 4.0)])
    def test_connecting_takes_no_longer_than_ten_seconds(self, seconds: float, connect: float) -> None:
        timeout = protocol.client_options(Account(api_key=KEY, request_timeout=seconds))["timeout"]
        assert (timeout.connect, timeout.read, timeout.write) == (connect, seconds, seconds)

    async def test_all_clients_of_a_process_share_one_tls_context(self) -> None:
        other = Account("https://other.test", "rf_another_key")
        assert protocol.client_options(ACCOUNT)["verify"] is protocol.client_options(other)["verify"]
        before = protocol.ssl_context.cache_info().misses
        with RunflowClient(ACCOUNT), RunflowClient(other):
            async with AsyncRunflowClient(ACCOUNT), AsyncRunflowClient(other):
                assert protocol.ssl_context.cache_info().misses == before <= 1


class TestErrorEnvelopes:
    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            ({"code": "RATE_LIMITED", "message": "slow down", "errors": None}, "RATE_LIMITED", "slow down"),
            ({"error": {"code": "RATE_LIMITED", "message": "slow down"}}, "RATE_LIMITED", "slow down"),
            ({"error": "slow down", "code": "RATE_LIMITED"}, "RATE_LIMITED", "slow down"),
            ({"detail": "slow down"}, None, "slow down"),
            ({"detail": {"code": "RATE_LIMITED", "message": "slow down"}}, "RATE_LIMITED", "slow down"),
            ({"code": 17, "message": ["slow", "down"]}, "17", "['slow', 'down']"),
        ],
        ids=str,
    )
    def test_code_and_message_are_read_from_every_known_shape(self, body: Any, code: str | None, message: str) -> None:
        error = error_of(says(429, body))
        assert (error.code, error.message) == (code, message)

    @pytest.mark.parametrize(
        "body",
        [
            {"code": "X", "message": "m", "errors": [{"loc": ["body", "input", "quality"], "msg": "bad"}]},
            {"error": {"message": "m", "errors": [{"loc": ["body", "input", "quality"], "msg": "bad"}]}},
            {"message": "m", "detail": [{"loc": ["body", "input", "quality"], "msg": "bad"}]},
            {"message": "m", "detail": {"errors": [{"loc": ["body", "input", "quality"], "msg": "bad"}]}},
        ],
        ids=str,
    )
    def test_field_errors_are_read_from_every_known_shape(self, body: Any) -> None:
        assert "m [input.quality: bad]" in str(error_of(says(422, body)))

    def test_field_errors_that_are_plain_texts_are_kept(self) -> None:
        assert "m [no such size; no such quality]" in str(
            error_of(says(422, {"message": "m", "errors": ["no such size", 7, None, "no such quality"]}))
        )

    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>Bad Gateway</html>", b"[]", b'"text"', b"null", b"{}", b"\xff\xfe", b"[" * 100_000],
        ids=lambda content: repr(content[:12]),
    )
    def test_without_an_envelope_the_reason_phrase_is_the_message(self, content: bytes) -> None:
        assert str(error_of(httpx.Response(502, content=content))) == "HTTP 502: Bad Gateway (GET /v1/runs/1)"

    def test_a_status_without_a_reason_phrase_has_a_message_too(self) -> None:
        assert error_of(httpx.Response(599)).message == "no message"

    @pytest.mark.parametrize("errors", ["text", {"loc": "x"}, 5, [None], [[1]]], ids=str)
    def test_odd_field_errors_do_not_hide_the_message(self, errors: Any) -> None:
        assert error_of(says(422, {"message": "m", "errors": errors})).message == "m"

    def test_a_page_of_text_is_cut(self) -> None:
        assert len(error_of(says(400, {"message": "m" * 100_000})).message) == 2000

    @pytest.mark.parametrize("header", ["X-Request-Id", "Runflow-Request-Id"])
    def test_a_request_id_is_taken_from_the_headers(self, header: str) -> None:
        error = error_of(httpx.Response(500, json={}, headers={header: "req-1"}))
        assert error.request_id == "req-1"
        assert str(error).endswith("(GET /v1/runs/1, request id req-1)")

    def test_or_from_the_body(self) -> None:
        assert error_of(says(500, {"request_id": "req-2"})).request_id == "req-2"


class TestRetryAfter:
    @pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("1.5", 1.5), ("0", 0), ("-3", 0)])
    def test_seconds_are_read(self, value: str, seconds: float) -> None:
        assert error_of(says(429, **{"Retry-After": value})).retry_after == seconds

    def test_an_http_date_is_read_as_seconds_from_now(self) -> None:
        then = datetime.now(timezone.utc) + timedelta(seconds=40)
        value = email.utils.format_datetime(then, usegmt=True)
        assert error_of(says(429, **{"Retry-After": value})).retry_after == pytest.approx(39.5, abs=2)

    @pytest.mark.parametrize(
        "past", ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000", "21 Oct 2015 07:28:00"]
    )
    def test_a_date_that_is_over_means_now(self, past: str) -> None:
        assert error_of(says(429, **{"Retry-After": past})).retry_after == 0

    @pytest.mark.parametrize(
        "odd", ["soon", "inf", "nan", "1e999", "Wed, 99 Oct 2015", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", ""]
    )
    def test_anything_else_counts_as_not_said(self, odd: str) -> None:
        assert error_of(says(429, **{"Retry-After": odd})).retry_after is None

    def test_it_is_read_on_a_5xx_too(self) -> None:
        assert error_of(says(503, **{"Retry-After": "9"})).retry_after == 9


def test_a_redirect_names_where_it_leads_without_its_query_and_asks_about_the_host() -> None:
    failure = protocol.read_answer(GET, ACCOUNT, says(307, Location="https://elsewhere.test/v1?token=secret"))
    assert isinstance(failure.error, RequestRejectedError)
    assert "redirected to https://elsewhere.test/v1, which is not followed" in str(failure.error)
    assert "secret" not in str(failure.error)


class TestEffect:
    @pytest.mark.parametrize("status", [301, 307, 400, 401, 402, 403, 404, 409, 422, 429])
    def test_a_4xx_or_a_redirect_took_no_effect(self, status: int) -> None:
        assert protocol.read_answer(GET, ACCOUNT, says(status)).effect is Effect.NONE

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
    def test_behind_a_5xx_there_may_be_a_server_that_took_the_request(self, status: int) -> None:
        assert protocol.read_answer(GET, ACCOUNT, says(status)).effect is Effect.UNKNOWN

    @pytest.mark.parametrize(
        "error",
        [
            httpx.ConnectError("refused"),
            httpx.ConnectTimeout("no route"),
            httpx.PoolTimeout("busy"),
            httpx.ProxyError("407 Proxy Authentication Required"),
            httpx.LocalProtocolError("Illegal header value"),
            httpx.UnsupportedProtocol("gopher"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_failed_before_a_byte_reached_runflow_took_no_effect(self, error: httpx.HTTPError) -> None:
        assert protocol.read_failure(GET, ACCOUNT, error).effect is Effect.NONE

    @pytest.mark.parametrize(
        "error",
        [
            httpx.ReadTimeout("slow"),
            httpx.WriteTimeout("slow"),
            httpx.ReadError("reset"),
            httpx.WriteError("reset"),
            httpx.CloseError("reset"),
            httpx.RemoteProtocolError("no answer"),
            httpx.DecodingError("bad gzip"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_failed_later_may_have(self, error: httpx.HTTPError) -> None:
        assert protocol.read_failure(GET, ACCOUNT, error).effect is Effect.UNKNOWN

    def test_the_message_names_the_host_that_a_firewall_must_allow(self) -> None:
        failure = protocol.read_failure(GET, ACCOUNT, httpx.ConnectError("no route"))
        assert str(failure.error) == (
            "api.runflow.test could not be reached (ConnectError: no route). A firewall must allow api.runflow.test "
            "(GET /v1/runs/1)"
        )

    def test_the_connection_is_named_where_it_is_what_to_correct(self) -> None:
        account = replace(ACCOUNT, name="Connection 'brand'")
        unreached = protocol.read_failure(GET, account, httpx.ConnectTimeout("slow")).error
        answers = [protocol.read_answer(GET, account, says(status)).error for status in (401, 402, 403, 404)]
        assert all(str(error).startswith("Connection 'brand': ") for error in (unreached, *answers))
        assert "brand" not in str(protocol.read_answer(GET, account, says(503)).error)

    def test_a_refused_connection_is_not_blamed_on_a_firewall_alone(self) -> None:
        failure = protocol.read_failure(GET, ACCOUNT, httpx.ConnectError("Connection refused"))
        assert "Nothing listens there, or a firewall refuses: check the connection's host" in str(failure.error)

    def test_a_time_out_is_named_as_one_even_when_httpx_has_no_words_for_it(self) -> None:
        failure = protocol.read_failure(GET, ACCOUNT, httpx.ReadTimeout(""))
        assert "did not answer in time (ReadTimeout: ReadTimeout)" in str(failure.error)


def test_certificates_of_ones_own_are_trusted_instead_of_the_bundled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = {each["serialNumber"] for each in protocol.ssl_context.__wrapped__().get_ca_certs()}
    own = x509.random_serial_number()
    (tmp_path / "ca.pem").write_bytes(certificate_authority(own))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    trusted = {each["serialNumber"] for each in protocol.ssl_context.__wrapped__().get_ca_certs()}
    assert {int(number, 16) for number in trusted} == {own}
    assert len(bundled) > 50


def certificate_authority(serial: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The shop's own authority")])
    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), serial, began, began + timedelta(days=3650))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
