# SPDX-License-Identifier: Apache-2.0
"""stores/__init__.py: which texts are destinations, and which store each one gets."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_runflow.stores import check_destination, open_store, parse_destination


class TestLegalForms:
    @pytest.mark.parametrize(
        ("destination", "uri", "conn_id"),
        [
            ("s3://brand/campaign", "s3://brand/campaign/", None),
            ("s3://brand/campaign/", "s3://brand/campaign/", None),
            ("s3://brand", "s3://brand/", None),
            ("S3://brand/A/b", "s3://brand/A/b/", None),
            ("s3://my_aws@brand/x", "s3://brand/x/", "my_aws"),
            ("gs://brand/x y/z", "gs://brand/x y/z/", None),
            ("abfs://container/x", "abfs://container/x/", None),
            ("file:///data/out", "file:///data/out/", None),
            ("/data/out/", "file:///data/out/", None),
        ],
    )
    def test_are_always_a_prefix(self, destination: str, uri: str, conn_id: str | None) -> None:
        check_destination(destination)
        where = parse_destination(destination)
        assert (where.uri, where.conn_id) == (uri, conn_id)


class TestIllegalForms:
    @pytest.mark.parametrize(
        ("destination", "rule"),
        [
            ("campaign/spring", "has no scheme and is not an absolute path"),
            ("./out", "has no scheme and is not an absolute path"),
            ("", "is no text"),
            ("  ", "is no text"),
            (None, "is no text"),
            (" s3://b/x", "has white space around it"),
            ("s3://b/x\n", "has white space around it"),
            ("s3://b/a\x00b", "a control character"),
            ("s3://b\\x", "a backslash"),
            ("s3://b/x?versionId=1", "has a query or a fragment"),
            ("s3://b/x#y", "has a query or a fragment"),
            ("s3://b/a/../c", "has an empty, '.' or '..' folder in it"),
            ("s3://b/a//c", "has an empty, '.' or '..' folder in it"),
            ("/data/./x", "has an empty, '.' or '..' folder in it"),
            ("s3:///x", "names no bucket"),
            ("gs://", "names no bucket"),
            ("file://data/out", "a file URL has three slashes"),
            ("file:///", "names no folder"),
            ("/", "names no folder"),
            ("https://b.s3.amazonaws.com/x", "is not in an object store"),
            ("runflow://assets/1", "is not in an object store"),
            ("://b/x", "is not in an object store"),
            ("s3://[b/x", "cannot be read"),
            ("s3://key:secret@b/x", "credentials belong into an Airflow connection"),
        ],
    )
    def test_name_the_rule_and_the_legal_forms(self, destination: Any, rule: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            check_destination(destination)
        assert rule in str(caught.value)
        assert "Legal forms: s3://bucket/prefix, gs://bucket/prefix," in str(caught.value)

    @pytest.mark.parametrize("destination", ["s3://key:5ecret@b/x", "https://b/x?sig=5ecret", "s3://b/x?t=5ecret"])
    def test_show_the_value_but_no_secret_in_it(self, destination: str) -> None:
        with pytest.raises(InvalidRequestError, match=r"destination '.*b/x'") as caught:
            check_destination(destination)
        assert "5ecret" not in str(caught.value)


class TestOpening:
    def test_s3_goes_through_the_hook_without_asking_anything_yet(self) -> None:
        from airflow_provider_runflow.stores.s3 import S3Store

        store = open_store("s3://brand/x", aws_conn_id="my_aws", encrypt=True)
        assert isinstance(store, S3Store)
        assert (store.bucket, store.prefix, store.aws_conn_id) == ("brand", "x/", "my_aws")
        assert store.uri("a.png") == "s3://brand/x/a.png"

    def test_the_connection_in_the_destination_wins(self) -> None:
        from airflow_provider_runflow.stores.s3 import S3Store

        store = open_store("s3://other@brand/x")
        assert isinstance(store, S3Store)
        assert store.aws_conn_id == "other"
        assert store.uri("") == "s3://brand/x/"

    def test_everything_else_goes_through_object_storage_path(self) -> None:
        from airflow_provider_runflow.stores.object_storage import ObjectStorageStore

        assert isinstance(open_store("/data/out"), ObjectStorageStore)
        assert open_store("file:///data/out").uri("a/b.png") == "file:///data/out/a/b.png"

    def test_arguments_of_s3_for_another_store_are_named(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            open_store("/data/out", aws_conn_id="my_aws", acl_policy="private", extra_args={"Tagging": "a=b"})
        assert str(caught.value) == (
            "aws_conn_id, acl_policy, extra_args: for S3 only, but the destination is '/data/out'"
        )

    def test_the_defaults_of_s3_arguments_are_no_arguments(self) -> None:
        open_store("/data/out", aws_conn_id="aws_default", extra_args={}, encrypt=False)
        open_store("/data/out", aws_conn_id=None)

    def test_conn_id_for_s3_is_told_its_right_name(self) -> None:
        with pytest.raises(InvalidRequestError, match="'s3://b/x' is on S3; use aws_conn_id"):
            open_store("s3://b/x", conn_id="my_aws")

    def test_a_missing_amazon_provider_gives_the_pip_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without_amazon(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.startswith("airflow.providers.amazon"):
                raise ModuleNotFoundError(f"No module named {name!r}")
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", without_amazon)
        with pytest.raises(ConfigurationError, match="pip install apache-airflow-providers-amazon"):
            open_store("s3://b/x")

    @pytest.mark.parametrize(
        ("destination", "hint"),
        [
            ("gs://b/x", "pip install apache-airflow-providers-google gcsfs"),
            ("sftp://host/x", "install the Airflow provider that brings this scheme"),
            ("nonsense://b/x", "install the Airflow provider that brings this scheme"),
        ],
    )
    def test_a_scheme_that_nothing_installed_knows_says_what_to_install(self, destination: str, hint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            open_store(destination).check()
        assert hint in str(caught.value)


class TestS3Arguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"acl_policy": "private", "extra_args": {"ACL": "private"}}, r"acl_policy and extra_args\['ACL'\] say"),
            ({"encrypt": True, "extra_args": {"ServerSideEncryption": "aws:kms"}}, "encrypt and extra_args"),
            ({"cache_control": "no-store", "extra_args": {"CacheControl": "x"}}, "cache_control and extra_args"),
            (
                {"extra_args": {"Key": "x", "Body": "y"}},
                "extra_args: Key, Body cannot be given; each object has its own",
            ),
            ({"extra_args": {"ChecksumSHA256": "x"}}, "ChecksumSHA256 cannot be given"),
        ],
    )
    def test_that_contradict_each_other_are_refused(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            open_store("s3://b/x", **arguments)
