# SPDX-License-Identifier: Apache-2.0
"""Pictures to work from: addresses that Runflow itself can read, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.models.references import check_reference, check_references

CUP, ASSET = "https://shop.example/cup.jpg", "runflow://assets/0190a1b2"


@pytest.mark.parametrize(
    "address", [CUP, ASSET, "https://b.s3.amazonaws.com/a%20b.png?X-Amz-Signature=abc", "https://x/ü"]
)
def test_an_https_address_and_a_runflow_id_are_sent_as_they_are(address: str) -> None:
    assert check_reference(address) == address


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([CUP, ASSET], [CUP, ASSET]),
        ((CUP, CUP), [CUP, CUP]),
        (CUP, [CUP]),
        (f"['{CUP}', '{ASSET}']", [CUP, ASSET]),
        (f'["{CUP}"]', [CUP]),
    ],
    ids=["list", "tuple", "one", "rendered list", "JSON"],
)
def test_a_list_a_single_one_and_a_rendered_list_are_read(value: Any, expected: list[str]) -> None:
    assert check_references(value) == expected


@pytest.mark.parametrize("many", [1, 16, 200])
def test_how_many_there_may_be_is_the_servers_affair(many: int) -> None:
    assert len(check_references([CUP] * many)) == many


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("s3://bucket/cup.jpg", "for an Edit operator, a file"),
        ("gs://bucket/cup.jpg", "for an Edit operator, a file"),
        ("file:///etc/passwd", "for an Edit operator, a file"),
        ("/etc/passwd", "for an Edit operator, a file"),
        ("cup.jpg", "for an Edit operator, a file"),
        ("http://shop.example/cup.jpg", "must be an https:// address"),
        ("https:///cup.jpg", "must be an https:// address"),
        ("https://[shop/cup.jpg", "must be an https:// address"),
        ("https://shop.example/a cup.jpg", "must be an https:// address"),
        (" https://shop.example/cup.jpg", "must be an https:// address"),
        ("https://shop.example/cup.jpg\n", "must be an https:// address"),
        ("https://me:secret@shop.example/cup.jpg", "without user and password"),
        ("", "must be an https:// address"),
        (None, "must be an https:// address"),
        (b"https://shop.example/cup.jpg", "must be an https:// address"),
    ],
    ids=repr,
)
def test_what_runflow_cannot_read_is_an_error(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_reference(wrong)


@pytest.mark.parametrize("wrong", [[], (), {}, 7, None, "[", "[]"], ids=repr)
def test_something_else_than_a_list_of_pictures_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        check_references(wrong)


def test_the_wrong_one_of_many_is_named_without_its_signature() -> None:
    with pytest.raises(ValueError, match=r"item 1, 'http://b\.example/2\.png'") as caught:
        check_references([CUP, "http://b.example/2.png?X-Amz-Signature=secret"])
    assert "secret" not in str(caught.value)
