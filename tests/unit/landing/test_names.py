# SPDX-License-Identifier: Apache-2.0
"""landing/names.py: what a picture is called, and that no name leaves its destination."""

from __future__ import annotations

import string
import subprocess
import sys

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing.names import (
    DEFAULT_PATTERN,
    MAX_VALUE,
    check_pattern,
    filename,
    predictable,
    slug,
    suffixed,
    uses_ext,
)
from tests.unit.landing.fakes import RUN

VALUES = {
    "task_id": "hero",
    "map_index": "",
    "key": "",
    "index": 0,
    "take": "1",
    "ext": "png",
    "runflow_run_id": RUN,
    "request": "3f2a9c0d1e4b",
}


def name(pattern: str, labels: dict[str, object] | None = None, **values: object) -> str:
    return filename(pattern, {**VALUES, **values}, labels or {})


class TestTheDefault:
    def test_of_an_unmapped_task_has_no_key_and_no_double_dash(self) -> None:
        assert name(DEFAULT_PATTERN) == "hero-3f2a9c0d1e4b-0.png"

    def test_of_a_mapped_task_has_the_key(self) -> None:
        assert name(DEFAULT_PATTERN, key="sku 42") == "hero-sku-42-3f2a9c0d1e4b-0.png"

    def test_is_legal_for_many_images_and_known_before_the_run(self) -> None:
        check_pattern(DEFAULT_PATTERN, num_images=10)
        assert predictable(DEFAULT_PATTERN)
        assert uses_ext(DEFAULT_PATTERN)


class TestPlaceholders:
    def test_all_of_them(self) -> None:
        pattern = "{task_id}/{map_index}/{key}/{index}_{take}-{runflow_run_id}-{request}.{ext}"
        assert name(pattern, map_index=7, key="k") == f"hero/7/k/0_1-{RUN}-3f2a9c0d1e4b.png"
        check_pattern(pattern, num_images=4)
        assert not predictable(pattern)

    def test_labels_by_name(self) -> None:
        pattern = "{brand}/{color name}-{index}.{ext}"
        check_pattern(pattern, num_images=2, labels=["brand", "color name"])
        assert name(pattern, {"brand": "Ácme & Söhne", "color name": "red"}) == "Acme-Sohne/red-0.png"

    def test_a_built_in_name_wins_over_a_label(self) -> None:
        assert name("{index}-{request}.{ext}", {"index": "first"}) == "0-3f2a9c0d1e4b.png"

    def test_labels_that_are_not_known_yet_are_taken_on_trust_until_they_are(self) -> None:
        check_pattern("{product}-{index}.{ext}", num_images=1, labels=None)
        with pytest.raises(InvalidRequestError, match=r"unknown placeholder \{product\}"):
            name("{product}-{index}.{ext}", {"products": "x"})

    @pytest.mark.parametrize(
        ("pattern", "result"),
        [
            ("{key}-{index}.{ext}", "0.png"),
            ("{task_id}_{key}.{ext}", "hero.png"),
            ("{task_id}-{key}{index}.{ext}", "hero-0.png"),
            ("a/{map_index}_{index}.{ext}", "a/0.png"),
            ("{task_id}-{key}-{map_index}-{index}.{ext}", "hero-0.png"),
            ("{index}.{ext}-{key}", "0.png"),
        ],
    )
    def test_an_empty_value_goes_with_one_separator_beside_it(self, pattern: str, result: str) -> None:
        assert name(pattern) == result


class TestTheSlug:
    @pytest.mark.parametrize(
        ("value", "result"),
        [
            ("Crème Brûlée", "Creme-Brulee"),
            ("SKU_42.v2", "SKU_42.v2"),
            ("a  /\\ b", "a-b"),
            ("../../etc/passwd", "etc-passwd"),
            ("...hidden", "hidden"),
            ("--x--", "x"),
            ("½", "1-2"),
            (7, "7"),
            (None, ""),
            ("", ""),
        ],
    )
    def test_keeps_plain_characters_and_case(self, value: object, result: str) -> None:
        assert slug(value) == result

    @pytest.mark.parametrize("value", ["東京", "東京-1", "Straße", "🙂", "..", "///", "\ud800"])
    def test_a_value_that_loses_what_tells_it_apart_gets_a_hash(self, value: str) -> None:
        made = slug(value)
        assert len(made.rpartition("-")[2]) == 8
        assert set(made) <= set(string.ascii_letters + string.digits + "._-")
        assert made != slug(value + value)

    def test_two_keys_in_another_script_do_not_become_one_name(self) -> None:
        assert slug("東京-1") != slug("大阪-1")

    def test_is_at_most_80_characters_and_cut_values_stay_apart(self) -> None:
        one, other = slug("x" * 100 + "1"), slug("x" * 100 + "2")
        assert len(one) == MAX_VALUE
        assert one != other
        assert slug("x" * 80) == "x" * 80


class TestWhatIsRefusedWhenTheDagIsParsed:
    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("{tak}-{index}.{ext}", r"unknown placeholder \{tak\}; did you mean \{take\}\? It knows task_id, "),
            ("{key.__class__}.{ext}", r"\{key\.__class__\} is no placeholder; positions, attributes and items"),
            ("{key[0]}.{ext}", r"\{key\[0\]\} is no placeholder"),
            ("{0}.{ext}", r"\{0\} is no placeholder"),
            ("{}.{ext}", r"\{\} is no placeholder"),
            ("{index:03d}.{ext}", r"\{index\} takes no format or conversion; write just \{index\}"),
            ("{key!r}.{ext}", r"\{key\} takes no format or conversion"),
            ("{key:{ext}}", r"\{key\} takes no format"),
            ("{key", r"cannot be read: expected '\}' before end of string\. Braces stand around placeholders only"),
            ("{{ ds }}-{index}.{ext}", r"'\{ ds \}-x\.x' has '\{'"),
            ("/abs/{index}.{ext}", r"'/' in front makes it absolute"),
            ("../{index}.{ext}", r"'\.\.' would leave the destination"),
            ("a/./{index}.{ext}", r"'\.' would leave the destination"),
            ("a//{index}.{ext}", "'' is an empty folder or file name"),
            ("{index}.{ext}/", "'' is an empty folder or file name"),
            (".hidden/{index}.{ext}", r"'\.hidden' begins with a dot"),
            ("a\\{index}.{ext}", "has a backslash; sub-folders are made with /"),
            ("a\n{index}.{ext}", "has a control character"),
            ("a?{index}.{ext}", r"has '\?', which URIs or stores read as something else"),
            ("x" * 201 + "{index}", "is longer than 200 bytes"),
            ("é" * 101 + "{index}", "is longer than 200 bytes"),
            ("/".join(["x" * 150] * 5), "is longer than 700 bytes"),
            ("", "must be a text such as"),
            (None, "must be a text such as .*, not None"),
        ],
    )
    def test_with_pattern_and_rule(self, pattern: str, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message) as caught:
            check_pattern(pattern, num_images=1)
        assert "filename_pattern" in str(caught.value)

    def test_a_pattern_that_cannot_be_unique(self) -> None:
        check_pattern("{key}.{ext}", num_images=1)
        with pytest.raises(InvalidRequestError) as caught:
            check_pattern("{key}.{ext}", num_images=4)
        assert str(caught.value) == (
            "filename_pattern '{key}.{ext}' gives all 4 pictures of a run the same name; put {index} in it"
        )

    def test_a_label_that_is_not_there(self) -> None:
        with pytest.raises(InvalidRequestError, match=r"did you mean \{brand\}"):
            check_pattern("{brnd}.{ext}", num_images=1, labels=["brand"])

    def test_an_error_is_a_value_error_too(self) -> None:
        with pytest.raises(ValueError, match="unknown placeholder"):
            check_pattern("{nope}", num_images=1)


class TestWhatOnlyShowsWithItsValues:
    def test_a_name_of_nothing_but_an_empty_key(self) -> None:
        check_pattern("{key}.{ext}", num_images=1)
        with pytest.raises(InvalidRequestError, match=r"'\.png' begins with a dot \(is a placeholder empty\?\)"):
            name("{key}.{ext}")

    def test_a_folder_of_an_empty_key(self) -> None:
        with pytest.raises(InvalidRequestError, match="'' is an empty folder"):
            name("a/{key}/{index}.{ext}")

    @pytest.mark.parametrize("value", ["..", "../..", "/etc", "a/../../b", "\\..\\", "\x00", "C:\\x", "~"])
    def test_no_value_ever_adds_or_leaves_a_folder(self, value: str) -> None:
        made = name("in/{key}-{index}.{ext}", key=value)
        assert made.startswith("in/")
        assert made.count("/") == 1

    def test_an_object_as_value_is_never_reached_into(self) -> None:
        class Trap:
            def __str__(self) -> str:
                return "plain"

            def __format__(self, spec: str) -> str:
                raise AssertionError("formatted")

        assert name("{key}.{ext}", key=Trap()) == "plain.png"


def test_a_suffix_goes_before_the_extension() -> None:
    assert suffixed("a.b/hero.png", "1a2b3c4d" + "0" * 56) == "a.b/hero-1a2b3c4d.png"
    assert suffixed("a.b/hero", "1a2b3c4d" + "0" * 56) == "a.b/hero-1a2b3c4d"


def test_what_the_dag_parser_needs_imports_neither_airflow_nor_httpx() -> None:
    code = (
        "import sys, airflow_provider_runflow.landing.names, airflow_provider_runflow.stores;"
        "print([m for m in ('airflow', 'httpx', 'boto3', 'fsspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
