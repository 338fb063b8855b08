# SPDX-License-Identifier: Apache-2.0
"""YAML as people mean it, and YAML that somebody means ill."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.brief.reading import MAX_BYTES, read_brief
from airflow_provider_runflow.exceptions import InvalidRequestError


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def write_and_read(text: str) -> dict[str, Any]:
        path = tmp_path / "brief.yaml"
        path.write_text(text, encoding="utf-8")
        return read_brief(path)

    return write_and_read


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("4:5", "4:5"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("2026-01-01", "2026-01-01"),
        ("12", 12),
        ("-1", -1),
        ("1.5", 1.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("Grüße 🙂", "Grüße 🙂"),
    ],
)
def test_a_plain_value_is_what_it_looks_like(read: Any, written: str, value: object) -> None:
    assert read(f"a: {written}\n") == {"a": value}


def test_an_alias_stands_for_what_it_names(read: Any) -> None:
    assert read("a: &x {t: 1}\nb: *x\n") == {"a": {"t": 1}, "b": {"t": 1}}


def _bomb() -> str:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *levels])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"brief='brief.yaml': line 3: 'a' is there twice"),
        ("a:\n  x: 1\n  'x': 2\n", "line 3: 'x' is there twice"),
        (_bomb(), "holds more than 500,000 values, aliases written out"),
        ("a: &a {b: *a}\n", "holds more than 20 levels"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("a: &b {x: 1}\nc:\n  <<: *b\n", r"line 3: merge keys \(<<\) are not possible"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: could not determine a constructor"),
        ("prompt: {product.shot}, on grey\n", "line 1: .*A text that begins with a placeholder stands in quotes"),
        ("- a\n", "must hold a mapping, not a list"),
        ("", "must hold a mapping, not nothing"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("1: x\n", "the name 1 must be a text; put it in quotes"),
        ("{a: 1}: x\n", "a name must be a text"),
        ("a: b: c\n", "line 1: mapping values are not allowed here"),
        ("a: \x00\n", "special characters are not allowed"),
        ("a: '" + "x" * MAX_BYTES + "'", "is larger than 1,048,576 bytes"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_meant_is_refused_with_its_line(read: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("brief", "message"),
    [
        (7, "brief=7: must be a mapping or the path of a YAML file"),
        ("not/there.yaml", r"cannot be read \(No such file or directory\)\. A file beside the DAG is Path"),
        ("x\0y", "cannot be read"),
        ({"a": date(2026, 1, 1)}, "brief: a: 2026-01-01 is a date; if it is meant as text, put it in quotes"),
        ({"a": {1: "x"}}, "brief: a: the name 1 must be a text"),
        ({"a": float("nan")}, "brief: a: nan is a float"),
        ({"a": {"b"}}, "is a set"),
    ],
    ids=str,
)
def test_what_is_no_brief_is_refused(brief: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        read_brief(brief)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "brief.yaml"
    path.write_bytes(b"a: \xff\xfe\xfa")
    with pytest.raises(InvalidRequestError, match=r"brief='brief.yaml'"):
        read_brief(path)
