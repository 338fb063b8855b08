# SPDX-License-Identifier: Apache-2.0
"""Uploading references: three steps, each tried again as the one policy says, and nothing given away on the way."""

from __future__ import annotations

import io
import json
import logging
import pickle
import traceback
import tracemalloc
from collections.abc import Callable
from typing import Any, BinaryIO

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.assets import MAX_BYTES, Asset
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.exceptions import (
    BeforeMoneyError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    RunflowError,
    ServiceUnavailableError,
    TransportError,
)
from tests.unit.client.fakes import ACCOUNT, KEY, Sync, ok, says, texts_of

ASSET_ID = "019e1f00-0000-7000-8000-0000000000a5"
SECRET = "X-Amz-Signature=never-show-this"
UPLOAD_URL = f"https://uploads.storage.test/assets/one.png?X-Amz-Expires=600&{SECRET}"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 20

TICKET = ok({"asset_id": ASSET_ID, "upload_url": UPLOAD_URL}, 201)
STORED = httpx.Response(200)
#: The record of the reference, section 13.
RECORD: dict[str, Any] = {
    "id": ASSET_ID,
    "org_id": "5b9a2d0e-0000-4000-8000-000000000002",
    "folder_id": None,
    "name": "one.png",
    "r2_key": "assets/one.png",
    "url": f"https://read.storage.test/assets/one.png?{SECRET}",
    "thumbnail_url": None,
    "mime_type": "image/png",
    "size_bytes": 128,
    "asset_type": "image",
    "source_type": "upload",
    "created_at": "2026-05-06T10:00:00Z",
    "deleted_at": None,
    "created_by_user": {"id": "u1"},
}
CONFIRMED = ok(RECORD, 201)


def s3_error(status: int, code: str) -> httpx.Response:
    """An error body as S3 writes it: it quotes the signed request."""
    page = f"<Error><Code>{code}</Code><StringToSign>{SECRET}</StringToSign></Error>"
    return httpx.Response(status, content=page, headers={"Content-Type": "application/xml"})


def upload(client: Sync, content: bytes = PNG, filename: str = "one.png", **more: Any) -> Asset:
    return client.client.assets.upload(io.BytesIO(content), filename, **more)


def steps(client: Sync) -> list[tuple[str, str, str]]:
    return [(request.method, request.url.host, request.url.path) for request in client.script.requests]


CREATE = ("POST", "api.runflow.test", "/v1/asset-uploads")
PUT = ("PUT", "uploads.storage.test", "/assets/one.png")
CONFIRM = ("POST", "api.runflow.test", f"/v1/asset-uploads/{ASSET_ID}/confirmations")


class TestTheThreeSteps:
    def test_they_are_taken_in_order_and_give_a_reference_for_a_models_input(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        asset = upload(client)
        assert steps(client) == [CREATE, PUT, CONFIRM]
        assert asset.ref == f"runflow://assets/{ASSET_ID}"
        assert (asset.name, asset.mime_type, asset.size_bytes, asset.asset_type) == (
            "one.png", "image/png", 128, "image",
        )  # fmt: skip

    def test_the_first_tells_name_type_and_size_and_the_last_has_an_empty_body(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client)
        first, _, last = client.script.requests
        assert json.loads(first.content) == {"filename": "one.png", "mime_type": "image/png", "size_bytes": len(PNG)}
        assert json.loads(last.content) == {}

    def test_the_bytes_go_out_untouched_with_their_type_and_their_length(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client)
        put = client.script.requests[1]
        assert put.content == PNG
        assert put.headers["Content-Type"] == "image/png"
        assert put.headers["Content-Length"] == str(len(PNG))
        assert "Transfer-Encoding" not in put.headers
        assert str(put.url) == UPLOAD_URL

    def test_the_storage_host_gets_neither_key_nor_organisation(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED, account=Account("https://api.runflow.test", KEY, "org-1"))
        upload(client)
        first, put, last = client.script.requests
        assert first.headers["Authorization"] == last.headers["Authorization"] == f"Bearer {KEY}"
        assert not {"authorization", "x-organization-id", "cookie"} & set(put.headers)

    def test_a_file_is_read_from_where_it_stands(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        file = io.BytesIO(b"skip this" + PNG)
        file.seek(9)
        client.client.assets.upload(file, "one.png")
        assert client.script.requests[1].content == PNG

    @pytest.mark.parametrize("name", ["folder/one.png", "C:\\brand\\one.png", "s3://bucket/one.png"])
    def test_folders_stay_at_home(self, name: str) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client, filename=name)
        assert client.script.bodies_of("POST")[0]["filename"] == "one.png"

    def test_a_record_full_of_nulls_is_still_an_asset(self) -> None:
        nulls = ok(dict.fromkeys(RECORD) | {"id": ASSET_ID}, 201)
        assert upload(Sync(TICKET, STORED, nulls)).ref == f"runflow://assets/{ASSET_ID}"


class TestTheType:
    @pytest.mark.parametrize(
        ("head", "content_type"),
        [
            (b"\x89PNG\r\n\x1a\n1234", "image/png"),
            (b"\xff\xd8\xff\xe0 JFIF  ..", "image/jpeg"),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
            (b"GIF89a......", "image/gif"),
        ],
    )
    def test_is_what_the_bytes_say_whatever_the_name(self, head: bytes, content_type: str) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client, head, "wrong.tiff")
        assert client.script.bodies_of("POST")[0]["mime_type"] == content_type
        assert client.script.requests[1].headers["Content-Type"] == content_type

    def test_is_the_names_where_the_bytes_say_nothing(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client, b"%PDF-1.7", "brand.pdf")
        assert client.script.bodies_of("POST")[0]["mime_type"] == "application/pdf"

    def test_is_the_callers_where_the_caller_knows_better(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        upload(client, mime_type="image/apng")
        assert client.script.requests[1].headers["Content-Type"] == "image/apng"


class TestWhatIsRefusedBeforeAnythingIsSent:
    @pytest.mark.parametrize(
        ("content", "filename", "more", "message"),
        [
            (b"", "one.png", {}, r"one\.png: 0 bytes; Runflow takes uploads of 1 to 52,428,800 bytes \(50 MiB\)"),
            (PNG, "", {}, "filename: 0 characters; it must have 1-500"),
            (PNG, "folder/", {}, "filename: 0 characters"),
            (PNG, "a" * 501, {}, "filename: 501 characters"),
            (b"what is this", "mystery", {}, "mystery: neither its bytes nor its name tell what it is; give mime_type"),
            (PNG, "one.png", {"mime_type": "png"}, "mime_type='png': must be a type such as 'image/png'"),
            (PNG, "one.png", {"mime_type": "image/png\r\nX: y"}, "mime_type="),
        ],
    )
    def test_the_message_names_the_parameter_and_the_rule(
        self, content: bytes, filename: str, more: dict[str, Any], message: str
    ) -> None:
        client = Sync(TICKET)
        with pytest.raises(InvalidRequestError, match=message):
            upload(client, content, filename, **more)
        assert client.script.requests == []

    def test_50_mib_may_be_uploaded_and_one_byte_more_may_not(self) -> None:
        client = Sync(TICKET, STORED, CONFIRMED)
        client.client.assets.upload(Endless(MAX_BYTES), "big.png")
        with pytest.raises(InvalidRequestError) as caught:
            client.client.assets.upload(Endless(MAX_BYTES + 1), "big.png")
        assert str(caught.value) == (
            "big.png: 52,428,801 bytes; Runflow takes uploads of 1 to 52,428,800 bytes (50 MiB). Make it smaller, or "
            "host it yourself and pass its https URL. Nothing was uploaded."
        )

    def test_a_stream_that_cannot_be_read_twice(self) -> None:
        class Pipe(io.BytesIO):
            def seekable(self) -> bool:
                return False

        with pytest.raises(InvalidRequestError, match="cannot be read twice, which another try needs; spool it first"):
            Sync(TICKET).client.assets.upload(Pipe(PNG), "one.png")

    def test_plain_http_storage_unless_the_connection_itself_is_http(self) -> None:
        ticket = ok({"asset_id": ASSET_ID, "upload_url": UPLOAD_URL.replace("https", "http")}, 201)
        client = Sync(ticket, STORED, CONFIRMED)
        with pytest.raises(TransportError, match="is plain http") as caught:
            upload(client)
        assert SECRET not in texts_of(caught.value)
        assert (len(client.script.requests), client.slept) == (1, [])
        assert upload(Sync(ticket, STORED, CONFIRMED, account=Account("http://127.0.0.1:8600", KEY))).id == ASSET_ID


class TestTryingAgain:
    @pytest.mark.parametrize(
        "trouble", [says(503), says(429), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")]
    )
    @pytest.mark.parametrize("step", [0, 1, 2])
    def test_every_step_bears_what_passes(self, step: int, trouble: Any) -> None:
        answers: list[Any] = [TICKET, STORED, CONFIRMED]
        answers[step:step] = [trouble, trouble]
        client = Sync(*answers)
        assert upload(client).id == ASSET_ID
        assert client.slept == [1, 2]

    def test_each_try_sends_the_whole_file_from_its_start(self) -> None:
        client = Sync(TICKET, httpx.WriteError("reset"), says(500), STORED, CONFIRMED)
        upload(client)
        assert [request.content for request in client.script.requests if request.method == "PUT"] == [PNG] * 3

    @pytest.mark.parametrize(
        ("trouble", "kind"),
        [
            (s3_error(503, "SlowDown"), ServiceUnavailableError),
            (s3_error(400, "RequestTimeout"), ServiceUnavailableError),
            (says(429), RateLimitedError),
            (httpx.ConnectError("refused"), TransportError),
        ],
        ids=["SlowDown", "RequestTimeout", "429", "refused"],
    )
    def test_a_storage_host_that_stays_in_trouble_is_asked_five_times(
        self, trouble: Any, kind: type[RunflowError]
    ) -> None:
        client = Sync(TICKET, trouble)
        with pytest.raises(kind) as caught:
            upload(client)
        assert isinstance(caught.value, BeforeMoneyError)
        assert (len(client.script.requests), client.slept) == (1 + 5, [1, 2, 4, 8])

    def test_an_expired_url_means_starting_again(self) -> None:
        client = Sync(TICKET, s3_error(403, "AccessDenied"), TICKET, STORED, CONFIRMED)
        assert upload(client).id == ASSET_ID
        assert steps(client) == [CREATE, PUT, CREATE, PUT, CONFIRM]

    def test_a_second_403_is_a_refusal(self) -> None:
        client = Sync(TICKET, s3_error(403, "AccessDenied"), TICKET, s3_error(403, "SignatureDoesNotMatch"))
        with pytest.raises(RequestRejectedError) as caught:
            upload(client)
        assert str(caught.value) == (
            "HTTP 403 SignatureDoesNotMatch: the storage host uploads.storage.test:443 refused the upload "
            "(PUT https://uploads.storage.test/assets/one.png)"
        )
        assert steps(client) == [CREATE, PUT, CREATE, PUT]

    def test_any_other_4xx_of_the_storage_host_is_raised_at_once(self) -> None:
        client = Sync(TICKET, s3_error(411, "MissingContentLength"))
        with pytest.raises(RequestRejectedError, match="HTTP 411 MissingContentLength"):
            upload(client)
        assert len(client.script.requests) == 2

    def test_a_redirect_of_the_storage_host_is_not_followed(self) -> None:
        client = Sync(TICKET, httpx.Response(307, headers={"Location": "https://elsewhere.test/"}))
        with pytest.raises(RequestRejectedError, match="HTTP 307"):
            upload(client)
        assert "elsewhere.test" not in [host for _, host, _ in steps(client)]

    def test_a_confirmation_that_was_taken_but_not_answered_is_read_back(self) -> None:
        client = Sync(TICKET, STORED, httpx.ReadTimeout("slow"), says(409), ok(RECORD))
        assert upload(client).id == ASSET_ID
        assert steps(client)[-1] == ("GET", "api.runflow.test", f"/v1/assets/{ASSET_ID}")

    @pytest.mark.parametrize(
        ("answer", "kind"), [(says(403), PermissionDeniedError), (says(422), RequestRejectedError)], ids=["403", "422"]
    )
    def test_what_runflow_refuses_is_raised_at_once_and_no_byte_is_sent(
        self, answer: httpx.Response, kind: type[RunflowError]
    ) -> None:
        client = Sync(answer)
        with pytest.raises(kind):
            upload(client)
        assert steps(client) == [CREATE]

    @pytest.mark.parametrize(
        "ticket", [{}, {"asset_id": ASSET_ID, "upload_url": None}, {"asset_id": "", "upload_url": "x"}]
    )
    def test_a_ticket_without_an_address_is_malformed(self, ticket: dict[str, Any]) -> None:
        with pytest.raises(MalformedResponseError):
            upload(Sync(ok(ticket, 201)))


class Endless(io.RawIOBase, BinaryIO):  # type: ignore[misc]
    """A picture of any size that takes no memory; notes the largest piece that was asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.largest = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset if whence == 0 else self.size + offset
        return self.at

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "the whole file at once"
        self.largest = max(self.largest, size)
        piece = PNG[:12] if self.at == 0 else b"x"
        size = max(0, min(size, self.size - self.at))
        self.at += size
        return (piece * (size // len(piece) + 1))[:size]


class Storage(httpx.BaseTransport):
    """Takes a body as a socket does: piece by piece, keeping none."""

    def __init__(self) -> None:
        self.received = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            stream: Any = request.stream
            self.received = sum(len(piece) for piece in stream)
            return httpx.Response(200)
        request.read()
        answer = TICKET if request.url.path == "/v1/asset-uploads" else CONFIRMED
        return httpx.Response(answer.status_code, content=answer.content)


class TestMemory:
    def test_50_mib_go_out_in_pieces_of_64_kib(self) -> None:
        file, storage = Endless(MAX_BYTES), Storage()
        client = RunflowClient(ACCOUNT, transport=storage)
        client.assets.upload(Endless(1000), "warm-up.png")
        tracemalloc.start()
        client.assets.upload(file, "big.png")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert storage.received == MAX_BYTES
        assert file.largest == 64 * 1024
        assert peak < 2 * 1024 * 1024

    @pytest.mark.parametrize("change", [-1, +1])
    def test_a_file_that_changes_meanwhile_is_an_error_that_says_so(self, change: int) -> None:
        file = Endless(200_000)

        def shrink(request: httpx.Request) -> httpx.Response:
            file.size += change
            return httpx.Response(201, content=TICKET.content)

        client = RunflowClient(ACCOUNT, transport=Changing(shrink))
        with pytest.raises(InvalidRequestError) as caught:
            client.assets.upload(file, "one.png")
        assert str(caught.value) == (
            "one.png: it had 200,000 bytes at first and has another size now. Do not write to it while it is uploaded. "
            "Nothing was uploaded."
        )


class Changing(Storage):
    def __init__(self, first: Callable[[httpx.Request], httpx.Response]) -> None:
        super().__init__()
        self._first = first

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._first(request) if request.method == "POST" else super().handle_request(request)


class TestReadingAnAsset:
    def test_it_is_read_by_its_id_and_its_url_is_fresh(self) -> None:
        client = Sync(ok(RECORD))
        asset = client.client.assets.get(ASSET_ID)
        assert steps(client) == [("GET", "api.runflow.test", f"/v1/assets/{ASSET_ID}")]
        assert asset.url == RECORD["url"]

    def test_one_of_somebody_else_is_not_found(self) -> None:
        with pytest.raises(NotFoundError):
            Sync(says(404)).client.assets.get(ASSET_ID)

    def test_an_id_cannot_lead_to_another_path(self) -> None:
        client = Sync(ok(RECORD))
        client.client.assets.get("../runs/x?y")
        assert client.script.requests[0].url.raw_path == b"/v1/assets/..%2Fruns%2Fx%3Fy"
        with pytest.raises(InvalidRequestError, match="asset_id='': must be the id that the upload returned"):
            client.client.assets.get("")


class TestSecrets:
    FAILURES = (
        s3_error(403, "AccessDenied"),
        s3_error(503, "SlowDown"),
        httpx.ReadError(f"while writing to {UPLOAD_URL}"),
        httpx.Response(400, content=f"<html>{UPLOAD_URL}</html>"),
    )

    @pytest.mark.parametrize("answer", FAILURES, ids=lambda answer: type(answer).__name__)
    def test_no_error_shows_the_query_of_the_upload_url_or_the_key(self, answer: Any) -> None:
        def storage_fails(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                return httpx.Response(201, content=TICKET.content)
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer.status_code, content=answer.content)

        with pytest.raises(RunflowError) as caught:
            upload(Sync(storage_fails))
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
        assert "uploads.storage.test" in shown
        assert SECRET not in shown
        assert KEY not in shown
        assert SECRET.encode() not in pickle.dumps(caught.value)

    def test_no_log_shows_it_at_any_level(self, caplog: pytest.LogCaptureFixture) -> None:
        for name in (None, "httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, logger=name)
        upload(Sync(TICKET, says(503), STORED, CONFIRMED))
        assert "PUT https://uploads.storage.test/assets/one.png" in caplog.text
        assert SECRET not in caplog.text
        assert KEY not in caplog.text

    def test_an_asset_does_not_show_its_url(self) -> None:
        asset = upload(Sync(TICKET, STORED, CONFIRMED))
        assert SECRET in (asset.url or "")
        assert SECRET not in f"{asset!r} {asset!s}"
