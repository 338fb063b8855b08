# SPDX-License-Identifier: Apache-2.0
"""landing/tags.py: what S3 would refuse as a tag is known before a picture is paid."""

from __future__ import annotations

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing.tags import check_tags


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"product": "Becher No. 7 + Löffel", "locale": "日本語", "mail": "a@b.example:/x_y-z=1"},
        {f"label{number}": "" for number in range(10)},
        {"x" * 128: "y" * 256},
    ],
)
def test_what_s3_takes_is_fine(tags: dict[str, str]) -> None:
    check_tags(tags)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({f"label{number}": "x" for number in range(11)}, "11 labels: S3 takes at most 10 tags an object"),
        ({"x" * 129: "y"}, "the name of a tag has at most 128 characters"),
        ({"sku": "y" * 257}, "label 'sku': the value of a tag has at most 256 characters"),
        ({"sku": "\U00020bb7" * 129}, "label 'sku': the value of a tag has at most 256 characters"),
        ({"sku": "a\nb"}, r"label sku='a\\nb': '\\n' cannot be in the value of a tag"),
        ({"sku": "50%"}, "label sku='50%': '%' cannot be in the value of a tag"),
        ({"sku": "🐱"}, "cannot be in the value of a tag"),
    ],
)
def test_what_s3_refuses_names_label_value_and_rule(tags: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        check_tags(tags)
