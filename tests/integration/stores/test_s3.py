# SPDX-License-Identifier: Apache-2.0
"""stores/s3.py against a real S3 API: through S3Hook, over HTTP."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.client.storage import StorageClient
from airflow_provider_runflow.exceptions import DestinationError, InvalidRequestError, LandingError
from airflow_provider_runflow.landing.land import find_landed, land, still_there
from airflow_provider_runflow.landing.store import NameTaken, Stat
from airflow_provider_runflow.stores import open_store
from airflow_provider_runflow.stores.s3 import S3Error, S3Store
from tests.servers import S3Server
from tests.unit.landing.fakes import NOW, RUN, Lines, Sleeps, job, png, sha

pytestmark = pytest.mark.integration

PICTURE = png(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "0.part"
    path.write_bytes(PICTURE)
    return path


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket("brand")


_CLIENTS: dict[str | None, Any] = {}


def opened(destination: str, **arguments: Any) -> S3Store:
    """A store whose boto3 client, made by S3Hook, is shared by all tests: making one takes 0.2 s."""
    made = S3Store(destination, **arguments)
    made._client = _CLIENTS.setdefault(made.aws_conn_id, None) or made.client
    _CLIENTS[made.aws_conn_id] = made._client
    return made


def put(store: S3Store, file: Path, name: str = "a.png", *, replace: bool = False) -> None:
    store.put_file(name, file, content_type="image/png", sha256=sha(file.read_bytes()), replace=replace)


@pytest.fixture
def store(bucket: str) -> S3Store:
    return opened(f"s3://{bucket}/spring")


class TestCheck:
    def test_leaves_nothing_behind(self, store: S3Store, s3_server: S3Server) -> None:
        store.check()
        assert s3_server.keys("brand") == []
        assert "Uploads" not in s3_server.client.list_multipart_uploads(Bucket="brand")

    def test_asks_only_once(self, store: S3Store, s3_server: S3Server) -> None:
        store.check()
        s3_server.client.delete_bucket(Bucket="brand")
        store.check()

    def test_a_bucket_that_does_not_exist_is_named_with_s3s_own_code(self, s3_server: S3Server) -> None:
        with pytest.raises(DestinationError) as caught:
            opened("s3://missing/x").check()
        assert "list_objects_v2 of s3://missing/x/: S3 answered NoSuchBucket (HTTP 404)" in str(caught.value)

    def test_an_unknown_argument_is_ours_to_refuse(self, bucket: str, s3_server: S3Server) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            opened(f"s3://{bucket}/x", extra_args={"Taging": "a=b"}).check()
        assert "extra_args: put_object takes no Taging; it takes ACL, " in str(caught.value)
        assert "Tagging" in str(caught.value)

    def test_an_argument_of_the_wrong_kind_is_found_before_money_and_not_shown_if_it_is_a_key(
        self, bucket: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match="Invalid type for parameter Metadata"):
            opened(f"s3://{bucket}/x", extra_args={"Metadata": "text"}).check()
        with pytest.raises(InvalidRequestError) as caught:
            opened(f"s3://{bucket}/x", extra_args={"SSECustomerKey": "5ecret-key", "Tagging": 7}).check()
        assert "5ecret" not in str(caught.value)

    def test_a_server_that_is_not_there_is_named_with_the_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        extra = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
        connection = {"conn_type": "aws", "login": "a", "password": "b", "extra": {**extra, "region_name": "us-east-1"}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_GONE", json.dumps(connection))
        with pytest.raises(DestinationError, match="AWS connection 'aws_gone': Could not connect to the endpoint"):
            S3Store("s3://brand/x", aws_conn_id="aws_gone").check()


class TestPictures:
    def test_arrive_as_they_are_with_type_and_hash(self, store: S3Store, s3_server: S3Server, file: Path) -> None:
        put(store, file, "sub/a.png")
        assert s3_server.read("brand", "spring/sub/a.png") == PICTURE
        head = s3_server.head("brand", "spring/sub/a.png")
        assert head["ContentType"] == "image/png"
        assert head["Metadata"] == {"sha256": sha(PICTURE)}
        assert store.stat("sub/a.png") == Stat(len(PICTURE), sha(PICTURE))
        assert store.uri("sub/a.png") == "s3://brand/spring/sub/a.png"

    def test_carry_everything_that_the_user_asked_for(self, bucket: str, s3_server: S3Server, file: Path) -> None:
        store = S3Store(
            f"s3://{bucket}/x",
            encrypt=True,
            acl_policy="public-read",
            cache_control="public, max-age=31536000",
            extra_args={"Tagging": "team=brand", "Metadata": {"owner": "marketing"}, "ContentLanguage": "de"},
        )
        store.check()
        put(store, file)
        head = s3_server.head("brand", "x/a.png")
        assert head["CacheControl"] == "public, max-age=31536000"
        assert head["ServerSideEncryption"] == "AES256"
        assert head["ContentLanguage"] == "de"
        assert head["Metadata"] == {"owner": "marketing", "sha256": sha(PICTURE)}
        tags = s3_server.client.get_object_tagging(Bucket="brand", Key="x/a.png")["TagSet"]
        assert tags == [{"Key": "team", "Value": "brand"}]
        grants = s3_server.client.get_object_acl(Bucket="brand", Key="x/a.png")["Grants"]
        assert any("AllUsers" in str(grant) for grant in grants)

    def test_go_to_the_bucket_itself_when_there_is_no_prefix(
        self, bucket: str, s3_server: S3Server, file: Path
    ) -> None:
        store = opened(f"s3://{bucket}")
        store.check()
        put(store, file)
        assert s3_server.keys("brand") == ["a.png"]

    def test_a_taken_name_is_told_with_what_is_there(self, store: S3Store, s3_server: S3Server, file: Path) -> None:
        s3_server.client.put_object(Bucket="brand", Key="spring/a.png", Body=b"other")
        with pytest.raises(NameTaken) as caught:
            put(store, file)
        assert caught.value.existing == Stat(5, None)
        assert s3_server.read("brand", "spring/a.png") == b"other"
        put(store, file, replace=True)
        assert s3_server.read("brand", "spring/a.png") == PICTURE

    def test_of_two_writers_at_once_s3_itself_lets_one_through(
        self, store: S3Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, file)
        real = store.stat
        answers: list[Any] = [None]
        monkeypatch.setattr(store, "stat", lambda name: answers.pop() if answers else real(name))
        with pytest.raises(NameTaken) as caught:
            put(store, file)
        assert caught.value.existing == Stat(len(PICTURE), sha(PICTURE))

    def test_many_threads_share_one_store(self, store: S3Store, s3_server: S3Server, file: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: put(store, file, f"{number}.png"), range(16)))
        assert len(s3_server.keys("brand")) == 16


class TestEtags:
    def test_are_the_same_when_storing_looking_up_and_listing(self, store: S3Store, file: Path) -> None:
        etag = store.put_file("a.png", file, content_type="image/png", sha256=sha(file.read_bytes()), replace=False)
        found = store.stat("a.png")
        assert etag
        assert found is not None
        assert found.etag == etag
        assert store.names(10) == {"a.png": etag}

    def test_change_with_the_bytes(self, store: S3Store, s3_server: S3Server, file: Path) -> None:
        put(store, file)
        before = store.names(10)
        s3_server.client.put_object(Bucket="brand", Key="spring/a.png", Body=PICTURE[::-1])
        assert store.names(10) != before


class TestHashes:
    def test_of_what_others_stored_are_read(self, store: S3Store, s3_server: S3Server) -> None:
        s3_server.client.put_object(Bucket="brand", Key="spring/a.png", Body=PICTURE)
        assert store.stat("a.png") == Stat(len(PICTURE), None)
        assert store.sha256("a.png") == sha(PICTURE)

    def test_in_metadata_that_are_none_are_not_believed(self, store: S3Store, s3_server: S3Server) -> None:
        s3_server.client.put_object(Bucket="brand", Key="spring/a", Body=b"x", Metadata={"sha256": "trust me"})
        assert store.stat("a") == Stat(1, None)
        assert store.sha256("a") == sha(b"x")

    def test_of_nothing_are_an_error(self, store: S3Store) -> None:
        assert store.stat("a.png") is None
        with pytest.raises(DestinationError, match=r"get_object of s3://brand/spring/a\.png: S3 answered NoSuchKey"):
            store.sha256("a.png")


def test_a_picture_comes_back_with_its_hash(store: S3Store, file: Path, tmp_path: Path) -> None:
    put(store, file)
    assert store.get_file("a.png", tmp_path / "copy") == sha(PICTURE)
    assert (tmp_path / "copy").read_bytes() == PICTURE
    with pytest.raises(DestinationError, match="NoSuchKey"):
        store.get_file("b.png", tmp_path / "copy")


class TestJson:
    def test_comes_back(self, store: S3Store, s3_server: S3Server) -> None:
        store.put_json("a.json", {"prompt": "東京"})
        assert store.read_json("a.json") == {"prompt": "東京"}
        assert s3_server.head("brand", "spring/a.json")["ContentType"] == "application/json"

    @pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"a": "' + b"x" * (1 << 20) + b'"}'])
    def test_what_is_none_or_too_large_is_none(self, store: S3Store, s3_server: S3Server, body: bytes) -> None:
        s3_server.client.put_object(Bucket="brand", Key="spring/a.json", Body=body)
        assert store.read_json("a.json") is None
        assert store.read_json("b.json") is None

    def test_in_a_bucket_that_does_not_exist_is_an_error(self, s3_server: S3Server) -> None:
        with pytest.raises(DestinationError, match="NoSuchBucket"):
            opened("s3://missing/x").read_json("a.json")

    def test_is_encrypted_and_tagged_but_never_public(self, bucket: str, s3_server: S3Server) -> None:
        store = S3Store(
            f"s3://{bucket}/x",
            encrypt=True,
            acl_policy="public-read",
            cache_control="public",
            extra_args={"Tagging": "team=brand", "GrantRead": "uri=http://acs.amazonaws.com/groups/global/AllUsers"},
        )
        store.put_json("a.json", {"prompt": "secret launch"})
        head = s3_server.head("brand", "x/a.json")
        assert head["ServerSideEncryption"] == "AES256"
        assert "CacheControl" not in head
        assert s3_server.client.get_object_tagging(Bucket="brand", Key="x/a.json")["TagSet"]
        assert "AllUsers" not in str(s3_server.client.get_object_acl(Bucket="brand", Key="x/a.json")["Grants"])

    def test_keeps_an_acl_that_a_cross_account_bucket_may_demand(self, bucket: str, s3_server: S3Server) -> None:
        store = opened(f"s3://{bucket}/x", acl_policy="bucket-owner-full-control")
        store.put_json("a.json", {})
        assert s3_server.keys("brand") == ["x/a.json"]


# ------------------------------------------------------------------- servers that behave in other ways than moto


class Odd(BaseHTTPRequestHandler):
    """An S3 server that answers each method as a test tells it: (status, error code) or a body."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, list[tuple[int, str]]] = {}
    seen: list[tuple[str, str, dict[str, str]]] = []

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        assert len(body) < 10_000
        kind = f"{self.command}{'?uploads' if 'uploads' in self.path else ''}"
        Odd.seen.append((kind, self.path, {key.lower(): value for key, value in self.headers.items()}))
        waiting = Odd.answers.get(kind, [(200, "")])
        status, code = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        text = f"<Error><Code>{code}</Code><Message>as told</Message></Error>" if code else ""
        if kind == "POST?uploads" and status == 200:
            text = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def odd_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def odd(odd_server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> type[Odd]:
    extra = {
        "endpoint_url": f"http://127.0.0.1:{odd_server.server_address[1]}",
        "region_name": "us-east-1",
        "config_kwargs": {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}},
    }
    connection = {"conn_type": "aws", "login": "AKIA", "password": "s", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_ODD", json.dumps(connection))
    monkeypatch.setattr(Odd, "answers", {})
    monkeypatch.setattr(Odd, "seen", [])
    return Odd


def odd_store(**arguments: Any) -> S3Store:
    return opened("s3://brand/spring", aws_conn_id="aws_odd", **arguments)


class TestRefusedAccess:
    def test_to_list_names_every_permission_that_is_needed(self, odd: type[Odd]) -> None:
        odd.answers["GET"] = [(403, "AccessDenied")]
        with pytest.raises(DestinationError) as caught:
            odd_store(acl_policy="private", extra_args={"Tagging": "a=b", "SSEKMSKeyId": "k"}).check()
        assert str(caught.value) == (
            "list_objects_v2 of s3://brand/spring/: S3 answered AccessDenied (HTTP 403): as told. "
            "AWS connection 'aws_odd' needs s3:ListBucket on brand, "
            "s3:GetObject, s3:PutObject, s3:PutObjectAcl, s3:PutObjectTagging on brand/spring/*, "
            "and kms:GenerateDataKey and kms:Decrypt on the key."
        )

    def test_to_write_is_found_before_money_by_credentials_that_may_only_read(self, odd: type[Odd]) -> None:
        odd.answers["POST?uploads"] = [(403, "AccessDenied")]
        with pytest.raises(DestinationError, match=r"create_multipart_upload of s3://brand/spring/\.runflow-check"):
            odd_store().check()

    def test_to_a_name_is_an_error_and_not_a_free_name(self, odd: type[Odd]) -> None:
        odd.answers["HEAD"] = [(403, "")]
        with pytest.raises(DestinationError, match=r"head_object of .* \(HTTP 403\).* needs s3:ListBucket on brand"):
            odd_store().stat("a.png")

    def test_because_of_wrong_credentials_says_whose_they_are(self, odd: type[Odd]) -> None:
        odd.answers["GET"] = [(403, "InvalidAccessKeyId")]
        with pytest.raises(DestinationError) as caught:
            odd_store().check()
        assert str(caught.value) == (
            "list_objects_v2 of s3://brand/spring/: S3 answered InvalidAccessKeyId (HTTP 403): as told. "
            "Those are the credentials of AWS connection 'aws_odd'."
        )

    def test_says_default_credentials_when_there_is_no_connection(self) -> None:
        assert S3Store("s3://b/x", aws_conn_id=None)._credentials() == "boto3's default credentials"


class TestLesserServers:
    def test_one_without_multipart_uploads_passes_the_check(self, odd: type[Odd]) -> None:
        odd.answers["POST?uploads"] = [(501, "NotImplemented")]
        odd_store().check()

    def test_one_that_does_not_let_the_check_be_dropped_passes_it(self, odd: type[Odd]) -> None:
        odd.answers["DELETE"] = [(403, "AccessDenied")]
        odd_store().check()
        assert [kind for kind, _, _ in odd.seen] == ["GET", "POST?uploads", "DELETE"]

    def test_one_without_conditional_writes_gets_a_plain_put(self, odd: type[Odd], file: Path) -> None:
        odd.answers["HEAD"] = [(404, "")]
        odd.answers["PUT"] = [(501, "NotImplemented"), (200, "")]
        put(odd_store(), file)
        first, second = [headers for kind, _, headers in odd.seen if kind == "PUT"]
        assert first["if-none-match"] == "*"
        assert "if-none-match" not in second

    def test_a_conflict_that_leaves_no_object_is_an_error_that_a_retry_may_pass(
        self, odd: type[Odd], file: Path
    ) -> None:
        odd.answers["HEAD"] = [(404, "")]
        odd.answers["PUT"] = [(409, "ConditionalRequestConflict")]
        with pytest.raises(S3Error, match="ConditionalRequestConflict") as caught:
            put(odd_store(), file)
        assert caught.value.retry == "default"

    def test_s3_is_given_the_hash_to_check_the_bytes_on_arrival(self, odd: type[Odd], file: Path) -> None:
        put(odd_store(), file, replace=True)
        (headers,) = [headers for kind, _, headers in odd.seen if kind == "PUT"]
        assert headers["x-amz-checksum-sha256"]
        assert "x-amz-trailer" not in headers
        assert headers["content-length"] == str(len(PICTURE))

    def test_an_encryption_key_of_the_customers_is_sent_with_reads_too(self, odd: type[Odd]) -> None:
        odd.answers["HEAD"] = [(404, "")]
        store = odd_store(extra_args={"RequestPayer": "requester", "ExpectedBucketOwner": "123456789012"})
        store.check()
        store.stat("a.png")
        for kind, _, headers in odd.seen:
            assert headers["x-amz-expected-bucket-owner"] == "123456789012", kind


def test_a_connection_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "aws", "extra": {"profile_name": "nobody"}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_BAD", json.dumps(connection))
    with pytest.raises(DestinationError, match="AWS connection 'aws_bad' cannot be used: ProfileNotFound"):
        S3Store("s3://b/x", aws_conn_id="aws_bad").check()


# --------------------------------------------------------------------------------------------- the whole way


class TestLandingInS3:
    @pytest.fixture
    def web(self) -> Iterator[str]:
        """A storage host with two pictures, on loopback."""

        class Pictures(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index = int(self.path[1])
                self.send_response(200)
                self.end_headers()  # no Content-Length: the end of the body is the end of the connection
                self.wfile.write(png(index, padding=300_000))

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        server.server_close()
        thread.join(5)

    def run(self, web: str, destination: str) -> Any:
        store = opened(destination) if destination.startswith("s3:") else open_store(destination)
        of = job(num_images=2)
        with StorageClient(None, allow_http=True) as client:
            images = land(
                of,
                RUN,
                [f"{web}/0?sig=1", f"{web}/1?sig=1"],
                "0.266",
                store,
                store,
                client,
                reread=list,
                sleep=Sleeps(),
                log=Lines(),
                now=lambda: NOW,
            )
        return of, store, images

    def test_pictures_and_sidecars_are_there_and_found_again(self, web: str, bucket: str, s3_server: S3Server) -> None:
        of, store, images = self.run(web, f"s3://{bucket}/spring/")
        assert s3_server.keys("brand") == [
            "spring/hero-3f2a9c0d1e4b-0.png",
            "spring/hero-3f2a9c0d1e4b-0.png.json",
            "spring/hero-3f2a9c0d1e4b-1.png",
            "spring/hero-3f2a9c0d1e4b-1.png.json",
        ]
        assert s3_server.read("brand", "spring/hero-3f2a9c0d1e4b-1.png") == png(1, padding=300_000)
        found = find_landed(of, store, store)
        assert found is not None
        assert found.images == images
        assert still_there([image.as_dict() for image in images], store)

    def test_the_same_in_a_local_folder(self, web: str, tmp_path: Path) -> None:
        of, store, images = self.run(web, str(tmp_path / "out"))
        assert len(os.listdir(tmp_path / "out")) == 4
        found = find_landed(of, store, store)
        assert found is not None
        assert found.images == images

    def test_a_bucket_that_vanished_after_paying_says_so(self, web: str, s3_server: S3Server) -> None:
        with pytest.raises(LandingError) as caught:
            self.run(web, "s3://vanished/x")
        assert "S3 answered NoSuchBucket (HTTP 404)" in str(caught.value)
        assert "All are paid, and a retry of the task lands the same run for $0. Landed: none." in str(caught.value)
