# SPDX-License-Identifier: Apache-2.0
"""An S3 bucket (or a server that speaks S3) as a destination, through the amazon provider's S3Hook."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow_provider_runflow.exceptions import ConfigurationError, DestinationError, InvalidRequestError
from airflow_provider_runflow.landing.store import (
    MAX_JSON_BYTES,
    NO_TAGS,
    NameTaken,
    Stat,
    copy_stream,
    dump_json,
    hash_stream,
    is_sha256,
    load_json,
)
from airflow_provider_runflow.stores import DEFAULT_AWS_CONN_ID, parse_destination

# What this store decides itself for each object.
_OURS = frozenset({"Bucket", "Key", "Body", "ContentType", "ContentLength", "ContentMD5", "IfMatch", "IfNoneMatch"})
# Arguments that reading an object needs as well as writing it.
_ALSO_TO_READ = frozenset(
    {"ExpectedBucketOwner", "RequestPayer", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"}
)
# Arguments that are about serving a picture to the public, which its JSON must not be: it tells the prompt.
_PICTURES_ONLY = frozenset(
    {
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "Expires",
        "WebsiteRedirectLocation",
    }
)
_PUBLIC_ACLS = frozenset({"public-read", "public-read-write", "authenticated-read"})
# boto3 keeps 10 connections: any thread above that would make a new one, with its TLS handshake, for each request.
_CONNECTIONS = 64
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")


class S3Error(DestinationError):
    """
    S3 answered with an error, or did not answer.

    :param status: HTTP status, 0 without an answer.
    :param code: S3's error code, for example ``NoSuchBucket``.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class S3Store:
    """
    A prefix in a bucket. Pictures carry their sha256 as object metadata; S3 checks it on arrival.

    :param destination: ``s3://bucket/prefix``, or ``s3://CONN_ID@bucket/prefix``.
    :param aws_conn_id: the AWS connection; None for boto3's own search for credentials.
    :param encrypt: encrypt with S3's own keys (SSE-S3).
    :param acl_policy: a canned ACL. A public one is not given to JSON, which tells the prompt.
    :param cache_control: the ``Cache-Control`` that pictures are served with.
    :param extra_args: further arguments of ``put_object``.
    :param tagged: pictures will be stored with tags, which needs a permission of its own.
    :raises InvalidRequestError: arguments that contradict each other.
    :raises ConfigurationError: the amazon provider is missing.
    """

    def __init__(
        self,
        destination: str,
        *,
        aws_conn_id: str | None = DEFAULT_AWS_CONN_ID,
        encrypt: bool = False,
        acl_policy: str | None = None,
        cache_control: str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        tagged: bool = False,
    ) -> None:
        where = parse_destination(destination)
        self.bucket = where.bucket
        self.prefix = where.prefix
        self.aws_conn_id = where.conn_id or aws_conn_id
        self._arguments = _arguments(encrypt, acl_policy, cache_control, extra_args or {})
        self._tagged = tagged
        self._client: Any = None
        self._lock = threading.Lock()
        self._checked = False
        # Whether If-None-Match keeps this server from overwriting; None until that is known.
        self._guards: bool | None = None
        self._looked = 0
        try:
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        except ImportError as error:
            raise ConfigurationError(
                f"s3:// destinations need the amazon provider ({error}): pip install apache-airflow-providers-amazon"
            ) from error
        self._hook = S3Hook(aws_conn_id=self.aws_conn_id)

    @property
    def client(self) -> Any:
        """The boto3 client: made at first use, once, because making one is not safe from several threads."""
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._connect()
                except Exception as error:  # the hook raises whatever the secrets backend or boto3 raise
                    raise S3Error(f"{self._credentials()} cannot be used: {type(error).__name__}: {error}") from error
            return self._client

    @property
    def guards(self) -> bool:
        """Whether the server is known to refuse to overwrite when it is asked to, so that there is no need to look."""
        return self.client is not None and bool(self._guards)

    def _connect(self) -> Any:
        from botocore.config import Config

        given = self._hook.config
        config = given.merge(Config(max_pool_connections=max(given.max_pool_connections, _CONNECTIONS)))
        client = self._hook.get_client_type(region_name=self._hook.region_name, config=config)
        if str(urlsplit(client.meta.endpoint_url).hostname).endswith(_AWS_HOSTS):
            self._guards = True
        return client

    def check(self) -> None:
        """
        Find out whether pictures can be stored here: list the prefix, then begin an upload and drop it again.

        A multipart upload that is begun needs the very permissions of a put (bucket, ACL, tags, encryption
        key) and leaves nothing behind when it is dropped: no object, no version, no event.

        :raises DestinationError: they cannot be stored.
        :raises InvalidRequestError: ``extra_args`` has what ``put_object`` does not take.
        """
        if self._checked:
            return
        members = self._members("put_object")
        unknown = sorted(set(self._arguments) - members)
        if unknown:
            raise InvalidRequestError(
                f"extra_args: put_object takes no {', '.join(unknown)}; it takes {', '.join(sorted(members - _OURS))}"
            )
        self._call("list_objects_v2", None, Prefix=self.prefix, MaxKeys=1)
        shared = self._arguments.keys() & self._members("create_multipart_upload")
        begin = {key: self._arguments[key] for key in shared}
        if self._tagged:
            begin["Tagging"] = "runflow=check"
        try:
            begun = self._call("create_multipart_upload", ".runflow-check", **begin)
        except S3Error as error:
            if error.status not in (405, 501):  # a server without multipart uploads takes plain puts
                raise
        else:
            # What cannot be dropped holds no bytes, and S3 counts it as nothing.
            with contextlib.suppress(S3Error):
                self._call("abort_multipart_upload", ".runflow-check", UploadId=begun["UploadId"])
        self._checked = True

    def uri(self, name: str) -> str:
        """Return ``s3://bucket/prefix/name``."""
        return f"s3://{self.bucket}/{self.prefix}{name}"

    def stat(self, name: str) -> Stat | None:
        """Return size and recorded sha256 of an object, None when there is none."""
        try:
            head = self._call("head_object", name)
        except S3Error as error:
            if error.status == 404:
                return None
            raise
        recorded = head.get("Metadata", {}).get("sha256")
        return Stat(int(head["ContentLength"]), recorded if is_sha256(recorded) else None, _etag(head))

    def sha256(self, name: str) -> str:
        """Return an object's sha256, from its metadata or else by reading it in pieces: one request."""
        answer = self._call("get_object", name)
        recorded = answer.get("Metadata", {}).get("sha256")
        with self._reading(name, answer["Body"]) as body:
            return str(recorded) if is_sha256(recorded) else hash_stream(body)

    def get_file(self, name: str, path: Path) -> str:
        """Copy an object into a file, and return its sha256."""
        with self._read(name) as body:
            return copy_stream(body, path)

    def names(self, limit: int) -> dict[str, str | None] | None:
        """Return every name below the prefix with its ETag, 1,000 a call; None when there are more than ``limit``."""
        found: dict[str, str | None] = {}
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", None, Prefix=self.prefix, MaxKeys=1000, **more)
            found |= {each["Key"][len(self.prefix) :]: _etag(each) for each in page.get("Contents", ())}
            if len(found) > limit:
                return None
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def put_file(
        self,
        name: str,
        path: Path,
        *,
        content_type: str,
        sha256: str,
        replace: bool,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> str | None:
        """
        Store a file with one ``put_object``, which S3 does whole or not at all.

        :raises NameTaken: ``replace`` is False and there is an object.
        :raises DestinationError: S3 refuses.
        """
        arguments = dict(self._arguments)
        arguments["ContentType"] = content_type
        arguments["Metadata"] = {**arguments.get("Metadata", {}), "sha256": sha256}
        if tags:
            arguments["Tagging"] = urlencode(tags)
        if "ChecksumAlgorithm" not in arguments:
            # S3 refuses bytes that are not what was hashed while downloading.
            arguments["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        if replace:
            return self._put(name, path, arguments)
        if not self.guards:
            # Looked up first, because some servers ignore If-None-Match and overwrite.
            self._looked += 1
            self._check_free(name)
        try:
            return self._put(name, path, {**arguments, "IfNoneMatch": "*"})
        except S3Error as error:
            if error.status in (409, 412, 501):
                self._check_free(name)
            if error.status != 501:
                raise
            self._guards = False
            return self._put(name, path, arguments)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object of at most 1 MiB, None when there is none."""
        raw = self.read_document(name, MAX_JSON_BYTES)
        return None if raw is None else load_json(raw)

    def put_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Store a JSON object: encrypted and tagged as pictures are, but never with a public ACL."""
        self.put_document(name, dump_json(data), content_type="application/json")

    def read_document(self, name: str, max_bytes: int) -> bytes | None:
        """Return the bytes of an object; None when it is missing or larger."""
        try:
            with self._read(name) as body:
                raw: bytes = body.read(max_bytes + 1)
        except S3Error as error:
            if error.status == 404 and error.code != "NoSuchBucket":
                return None
            raise
        return raw if len(raw) <= max_bytes else None

    def put_document(self, name: str, raw: bytes, *, content_type: str) -> None:
        """Store bytes that are no picture, as :meth:`put_json` does."""
        arguments = {key: value for key, value in self._arguments.items() if not _shows(key, value)}
        arguments["ContentType"] = content_type
        self._call("put_object", name, Body=raw, **arguments)
        if self._guards is None and self._looked > 1:
            self._guards = self._is_guarded(name, raw, arguments)

    def _is_guarded(self, name: str, raw: bytes, arguments: Mapping[str, Any]) -> bool:
        """
        Find out whether the server refuses to overwrite when asked to, once there is more than one picture to store.

        What it is asked to store is what is there: if it does overwrite, nothing has changed.
        """
        self._guards = False  # one thread is enough to find out
        try:
            self._call("put_object", name, Body=raw, **arguments, IfNoneMatch="*")
        except S3Error as error:
            return error.status == 412
        return False

    def _check_free(self, name: str) -> None:
        existing = self.stat(name)
        if existing is not None:
            raise NameTaken(name, existing)

    def _put(self, name: str, path: Path, arguments: Mapping[str, Any]) -> str | None:
        with path.open("rb") as body:
            return _etag(self._call("put_object", name, Body=body, **arguments))

    def _read(self, name: str) -> contextlib.AbstractContextManager[Any]:
        return self._reading(name, self._call("get_object", name)["Body"])

    @contextlib.contextmanager
    def _reading(self, name: str, body: Any) -> Iterator[Any]:
        from botocore.exceptions import BotoCoreError

        with contextlib.closing(body):
            try:
                yield body
            except BotoCoreError as error:
                raise S3Error(f"get_object of {self.uri(name)}: {error}") from error

    def _members(self, method: str) -> set[str]:
        """Return the arguments that a method takes, from boto3's own description of S3."""
        meta = self.client.meta
        shape = meta.service_model.operation_model(meta.method_to_api_mapping[method]).input_shape
        return set(shape.members) if shape is not None else set()

    def _call(self, method: str, name: str | None, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

        arguments["Bucket"] = self.bucket
        if name is not None:
            arguments["Key"] = self.prefix + name
        if more := _ALSO_TO_READ & self._arguments.keys():
            for key in more & self._members(method):
                arguments.setdefault(key, self._arguments[key])
        what = f"{method} of {self.uri(name or '')}"
        try:
            return getattr(self.client, method)(**arguments)
        except ParamValidationError as error:
            # botocore shows the values that it refuses; a customer's encryption key is one to hide.
            said = str(error).replace(str(self._arguments.get("SSECustomerKey") or "\0"), "***")
            raise InvalidRequestError(f"{what}: {said}") from None
        except ClientError as error:
            raise self._refused(what, error.response) from error
        except BotoCoreError as error:
            raise S3Error(f"{what} with {self._credentials()}: {error}") from error

    def _refused(self, what: str, answer: Mapping[str, Any]) -> S3Error:
        said = answer.get("Error", {})
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(said.get("Code", ""))
        if code == "NoSuchBucket":
            who = f"Bucket {self.bucket!r} does not exist for {self._credentials()}"
            return S3Error(f"{who} ({what}: S3 answered {code} (HTTP {status}))", status, code)
        message = f"{what}: S3 answered {code} (HTTP {status}): {str(said.get('Message', ''))[:300]}"
        if status == 403:
            # A 403 is also how wrong, expired and mis-signed credentials are refused; HEAD has no code at all.
            denied = code in ("AccessDenied", "Forbidden", "403", "")
            hint = self._needs() if denied else f"Those are the credentials of {self._credentials()}."
            message = f"{message.rstrip('. ')}. {hint}"
        return S3Error(message, status, code)

    def _needs(self) -> str:
        writes = ["s3:GetObject", "s3:PutObject"]
        if any(key == "ACL" or key.startswith("Grant") for key in self._arguments):
            writes.append("s3:PutObjectAcl")
        if "Tagging" in self._arguments or self._tagged:
            writes.append("s3:PutObjectTagging")
        keys = ", and kms:GenerateDataKey and kms:Decrypt on the key" if "SSEKMSKeyId" in self._arguments else ""
        # Without ListBucket S3 answers 403, not 404, for an object that does not exist.
        return (
            f"{self._credentials()} needs s3:ListBucket on {self.bucket}, "
            f"{', '.join(writes)} on {self.bucket}/{self.prefix}*{keys}."
        )

    def _credentials(self) -> str:
        return f"AWS connection {self.aws_conn_id!r}" if self.aws_conn_id else "boto3's default credentials"


def _arguments(
    encrypt: bool, acl_policy: str | None, cache_control: str | None, extra_args: Mapping[str, Any]
) -> dict[str, Any]:
    named = {
        "ServerSideEncryption": ("encrypt", "AES256" if encrypt else None),
        "ACL": ("acl_policy", acl_policy),
        "CacheControl": ("cache_control", cache_control),
    }
    arguments = dict(extra_args)
    ours = [key for key in arguments if key in _OURS or (key.startswith("Checksum") and key != "ChecksumAlgorithm")]
    if ours:
        raise InvalidRequestError(f"extra_args: {', '.join(ours)} cannot be given; each object has its own")
    for key, (parameter, value) in named.items():
        if value is not None and key in arguments:
            raise InvalidRequestError(f"{parameter} and extra_args[{key!r}] say the same thing twice; give one")
        if value is not None:
            arguments[key] = value
    return arguments


def _etag(answer: Mapping[str, Any]) -> str | None:
    """Read the ETag, which S3 changes whenever an object's bytes do."""
    return str(answer.get("ETag", "")).strip('"') or None


def _shows(key: str, value: Any) -> bool:
    """Whether an argument is about showing a picture to the public."""
    if key == "ACL":
        return value in _PUBLIC_ACLS
    if key.startswith("Grant"):
        return "AllUsers" in str(value) or "AuthenticatedUsers" in str(value)
    return key in _PICTURES_ONLY
