# SPDX-License-Identifier: Apache-2.0
"""landing/store.py: the small helpers that all stores share."""

from __future__ import annotations

import io
from datetime import date

import pytest

from airflow_provider_runflow.landing.store import (
    MAX_JSON_BYTES,
    dump_json,
    hash_stream,
    is_sha256,
    load_json,
    same,
)
from tests.unit.landing.fakes import MemoryStore, sha


class TestJson:
    def test_comes_back_as_it_went(self) -> None:
        data = {"prompt": "ein Schuh für 東京", "n": 1, "none": None}
        assert load_json(dump_json(data)) == data
        assert "東京" in dump_json(data).decode()

    def test_writing_never_fails_because_the_picture_is_paid(self) -> None:
        assert load_json(dump_json({"day": date(2026, 1, 2)})) == {"day": "2026-01-02"}
        assert load_json(dump_json({"half": "\ud83d"})) == {"half": "\ud83d"}

    @pytest.mark.parametrize("raw", [b"", b"nonsense", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
    def test_what_is_no_json_object_is_none(self, raw: bytes) -> None:
        assert load_json(raw) is None

    def test_more_than_a_mebibyte_is_none(self) -> None:
        assert load_json(b'{"a": "' + b"x" * MAX_JSON_BYTES + b'"}') is None


class TestHashes:
    def test_are_lower_case_hex_of_64(self) -> None:
        assert is_sha256("0a" * 32)
        assert not any(is_sha256(value) for value in ("0A" * 32, "0a" * 31, "zz" * 32, None, 7))

    def test_a_stream_is_hashed_in_pieces(self) -> None:
        data = b"x" * 3_000_000
        assert hash_stream(io.BytesIO(data)) == sha(data)


class TestSame:
    def test_a_store_that_knows_the_hash_is_not_read(self) -> None:
        store = MemoryStore()
        store.objects["a"] = b"bytes"
        assert same(store, "a", 5, sha(b"bytes"))
        assert store.calls == [("stat", "a")]

    def test_another_size_is_told_without_reading(self) -> None:
        store = MemoryStore(knows_hashes=False)
        store.objects["a"] = b"bytes"
        assert not same(store, "a", 6, sha(b"bytes"))
        assert store.calls == [("stat", "a")]

    def test_a_store_that_does_not_know_is_read(self) -> None:
        store = MemoryStore(knows_hashes=False)
        store.objects["a"] = b"bytes"
        assert same(store, "a", 5, sha(b"bytes"))
        assert not same(store, "a", 5, sha(b"other"))

    def test_nothing_is_not_the_same(self) -> None:
        assert not same(MemoryStore(), "a", 0, sha(b""))
