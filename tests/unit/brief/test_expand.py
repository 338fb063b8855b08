# SPDX-License-Identifier: Apache-2.0
"""A brief becomes items: which ones, in which order, under which keys, and what is refused."""

from __future__ import annotations

import inspect
import json
import random
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow import brief as package
from airflow_provider_runflow.brief import MAX_ITEMS, PARAMETERS, expand_brief
from airflow_provider_runflow.brief.expand import TASK_PARAMETERS
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.landing import names

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "briefs.md").read_text(encoding="utf-8")
GOLDEN = json.loads(Path(__file__).with_name("golden_items.json").read_text(encoding="utf-8"))


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    path = tmp_path / "spring.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    return path


class TestTheDocumentedBrief:
    def test_gives_the_golden_items(self, documented: Path) -> None:
        assert expand_brief(documented) == GOLDEN
        assert expand_brief(str(documented)) == GOLDEN

    def test_gives_the_item_that_the_page_shows(self, documented: Path) -> None:
        assert expand_brief(documented)[0] == json.loads(block("json"))

    def test_is_the_one_of_the_docstring(self) -> None:
        found = re.search(r"::\n\n((?:    .*\n|\n)+)", package.__doc__ or "")
        assert found is not None
        assert textwrap.dedent(found[1]).strip() == block("yaml").strip()

    def test_can_be_narrowed_by_the_call_and_keeps_the_fields_of_its_values(self, documented: Path) -> None:
        few = expand_brief(documented, {"locale": ["de-DE"], "product": ["kettle"]}, exclude=[{"channel": "stories"}])
        assert few == [item for item in GOLDEN if item["key"] == "kettle_de-DE_meta_feed"]

    def test_keeps_every_key_when_a_locale_is_added(self, documented: Path) -> None:
        more = expand_brief(documented, {"locale": ["ja-JP", "en-GB", "de-DE"]})
        kept = [item for item in more if item["labels"]["locale"] != "ja-JP"]
        assert sorted(kept, key=lambda item: item["key"]) == sorted(GOLDEN, key=lambda item: item["key"])


class TestItems:
    def test_come_in_the_order_of_the_axes_the_last_one_fastest(self) -> None:
        items = expand_brief({"prompt": "{a}{b}"}, {"a": ["x", "y"], "b": [2, 1]})
        assert [item["prompt"] for item in items] == ["x2", "x1", "y2", "y1"]

    def test_have_text_labels_whatever_the_values_are(self) -> None:
        items = expand_brief({"prompt": "p"}, {"n": [1, 2.5, {"id": 3}]})
        assert [item["labels"]["n"] for item in items] == ["1", "2.5", "3"]

    def test_have_a_key_that_no_prompt_changes(self) -> None:
        one, other = (expand_brief({"prompt": text}, {"a": ["x"]})[0] for text in ("p", "q"))
        assert one["key"] == other["key"]
        assert one["prompt"] != other["prompt"]

    def test_have_keys_that_may_stand_in_file_names(self) -> None:
        items = expand_brief({"prompt": "p"}, {"city": ["東京", "大阪", "São Paulo", "../etc"], "long": ["x" * 200]})
        keys = [item["key"] for item in items]
        assert len(set(keys)) == 4
        assert [names.slug(key) for key in keys] == keys

    def test_take_every_parameter_of_the_top_level(self) -> None:
        parameters = {"quality": "low", "num_images": 2, "references": ["s3://b/a.png"], "variation": "2"}
        item = expand_brief({"prompt": "p", **parameters}, {"a": ["x"]})[0]
        assert {name: item[name] for name in parameters} == parameters

    def test_take_a_parameter_from_an_axis_of_its_name(self) -> None:
        items = expand_brief({"prompt": "p"}, {"quality": ["low", "medium"]})
        assert [item["quality"] for item in items] == ["low", "medium"]

    def test_take_the_very_value_where_a_text_is_one_placeholder(self) -> None:
        size = {"width": 1024, "height": 1024}
        given = {"prompt": "p", "image_size": "{c.size}", "num_images": "{c.n}", "references": ["{c}"]}
        item = expand_brief(given, {"c": [{"id": "one", "size": size, "n": 3}]})[0]
        assert (item["image_size"], item["num_images"], item["references"]) == (size, 3, ["one"])

    def test_of_any_model_have_an_input_instead_of_a_prompt(self) -> None:
        item = expand_brief({"model": "acme/sketch", "input": {"text": "A {a}", "steps": 4}}, {"a": ["cat"]})[0]
        assert item["input"] == {"text": "A cat", "steps": 4}
        assert "prompt" not in item

    def test_do_not_share_what_one_of_them_could_change(self) -> None:
        size = {"width": 1024, "height": 1024}
        given = {"prompt": "p", "image_size": size, "input": "{size}", "size": size}
        one, other = expand_brief(given, {"a": ["x", "y"]})
        one["image_size"]["width"] = one["input"]["width"] = 1
        assert other["image_size"] == other["input"] == size == {"width": 1024, "height": 1024}

    def test_leave_the_brief_as_it_was(self) -> None:
        given = {"prompt": "{a.t}", "axes": {"a": [{"id": "x", "t": "1"}]}}
        before = json.dumps(given)
        expand_brief(given, overrides=[{"match": {"a": "x"}, "set": {"a.t": "2"}}])
        assert json.dumps(given) == before


class TestOverrides:
    def test_set_parameters_and_fields_and_the_later_one_wins(self) -> None:
        given = {
            "prompt": "{copy.cta}",
            "copy": {"cta": "Buy"},
            "overrides": [{"match": {"l": ["de", "fr"]}, "set": {"copy.cta": "Kaufen", "quality": "low"}}],
        }
        items = expand_brief(
            given, {"l": ["en", "de", "fr"]}, overrides=[{"match": {"l": "fr"}, "set": {"copy.cta": "Acheter"}}]
        )
        assert [(item["prompt"], item.get("quality")) for item in items] == [
            ("Buy", None),
            ("Kaufen", "low"),
            ("Acheter", "low"),
        ]

    def test_can_bring_a_field_that_only_some_items_have(self) -> None:
        with pytest.raises(InvalidRequestError, match=r"prompt of item 'b': \{headline\}: headline is missing"):
            expand_brief(
                {"prompt": "{headline}"}, {"a": ["a", "b"]}, overrides=[{"match": {"a": "a"}, "set": {"headline": "x"}}]
            )

    def test_take_a_parameter_away_with_null(self) -> None:
        items = expand_brief(
            {"prompt": "p", "quality": "low"}, {"a": [1]}, overrides=[{"match": {"a": 1}, "set": {"quality": None}}]
        )
        assert "quality" not in items[0]

    def test_reach_into_a_parameter(self) -> None:
        rule = {"match": {"a": 1}, "set": {"input.seed": 7}}
        items = expand_brief({"input": {"seed": 1, "x": 2}}, {"a": [1, 2]}, overrides=[rule])
        assert [item["input"] for item in items] == [{"seed": 7, "x": 2}, {"seed": 1, "x": 2}]

    def test_may_replace_the_prompt_with_placeholders_of_its_own(self) -> None:
        rule = {"match": {"a": "y"}, "set": {"prompt": "other {style}"}}
        items = expand_brief({"prompt": "p", "style": "s"}, {"a": ["x", "y"]}, overrides=[rule])
        assert [item["prompt"] for item in items] == ["p", "other s"]


AXES = {"product": ["kettle", "cup"], "locale": ["en", "de"]}


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"prompt": "p", "axes": {}}, "axes: a brief needs at least one"),
            ({"prompt": "p", "axes": {"a": []}}, "axes: a: is empty"),
            ({"prompt": "p", "axes": {"a": "x"}}, "axes: a='x': must be a list"),
            ({"prompt": "p", "axes": ["a"]}, r"axes=\['a'\]: must map names to lists"),
            ({"prompt": "p", "axes": {"a": ["x", "x"]}}, "axes: a: 'x' is there twice"),
            ({"prompt": "p", "axes": {"a": [1, "1"]}}, "axes: a: '1' is there twice"),
            ({"prompt": "p", "axes": {"a": [False]}}, "axes: a: false must be a text.*'no' stands in quotes"),
            ({"prompt": "p", "axes": {"a": [None]}}, "axes: a: null must be a text"),
            ({"prompt": "p", "axes": {"a": [["x"]]}}, r'axes: a: \["x"\] must be a text'),
            ({"prompt": "p", "axes": {"a": [{"name": "x"}]}}, r"axes: a: \{'name': 'x'\} has no id"),
            ({"prompt": "p", "axes": {"a": [{"id": {"x": 1}}]}}, "axes: a: .* must be a text"),
            ({"prompt": "p", "axes": {"a": [" "]}}, "an id must not be empty"),
            ({"prompt": "p", "axes": {"a-b": ["x"]}}, "axes: 'a-b': the name of an axis has letters"),
            ({"prompt": "p", "axes": {"index": ["x"]}}, "axes: index: the name is taken"),
            ({"prompt": "p", "axes": {"style": ["x"]}, "style": "s"}, "brief: style: is an axis, too"),
            ({"prompt": "p", "axes": {"quality": ["low"]}, "quality": "low"}, "brief: quality: is an axis, too"),
            ({"prompt": "p", "axes": {"a": ["x y", "x-y"]}}, "a='x y' and a='x-y' have the same key 'x-y'"),
            ({"axes": {"a": ["x"]}}, "prompt of item 'x': is missing"),
            (
                {"prompt": "p", "qualty": "low", "axes": AXES},
                "brief: qualty: no placeholder uses it.*did you mean quality?",
            ),
            ({"prompt": "p", "exlude": [], "axes": AXES}, "did you mean exclude?"),
            ({"prompt": "p", "destination": "s3://b", "axes": AXES}, "destination: is a parameter of the operator"),
            (
                {"prompt": "p", "axes": {"c": [{"id": "x", "image_size": "1024x1024"}]}},
                r"axes: c: x has image_size, which nothing uses; write image_size: '\{c.image_size\}'",
            ),
            ({"prompt": "{prodct}", "axes": AXES}, r"\{prodct\}: prodct is missing; did you mean product\?"),
            ({"prompt": "{product.nme}", "axes": AXES}, "nme is missing in product; there is id"),
            ({"prompt": "{product.id.x}", "axes": AXES}, "product.id is 'kettle', which has no fields"),
            ({"prompt": "{product.__class__}", "axes": AXES}, "is no placeholder"),
            ({"prompt": "{product[id]}", "axes": AXES}, "is no placeholder"),
            ({"prompt": "{0}", "axes": AXES}, "is no placeholder"),
            ({"prompt": "{}", "axes": AXES}, "is no placeholder"),
            ({"prompt": "{product!r}", "axes": AXES}, "takes no format or conversion"),
            ({"prompt": "{product:>9}", "axes": AXES}, "takes no format or conversion"),
            ({"prompt": "{product", "axes": AXES}, "brief: prompt: '{product': .*A brace that is not a placeholder's"),
            ({"prompt": "{copy}", "copy": {"cta": "x"}, "axes": AXES}, "it is a mapping with cta, not a text"),
            ({"prompt": "{copy}", "copy": [1], "axes": AXES}, "it is a list, not a text"),
            ({"prompt": "{copy}", "copy": True, "axes": AXES}, "it is true or false, not a text"),
            ({"prompt": "{copy}", "copy": None, "axes": AXES}, r"it is empty \(null\)"),
            ({"prompt": {"product": None}, "axes": AXES}, "must be a text, not .*stands in quotes"),
        ],
    )
    def test_with_place_and_rule(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            expand_brief(given)

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"locle": "de"}, r"exclude\[0\]: locle: no such axis; did you mean locale\?"),
            ({"locale": "dee"}, r"exclude\[0\]: locale='dee': no such value; did you mean de\?"),
            ({"locale": ["de", "fr"]}, r"locale='fr': no such value"),
            ({"locale": []}, "the list is empty"),
            ({}, "must name at least one axis"),
            ("de", r"exclude\[0\]: must be a mapping"),
            ({"locale": ["en", "de"]}, "exclude: leaves no item at all"),
        ],
    )
    def test_an_exclusion(self, rule: Any, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            expand_brief({"prompt": "p"}, AXES, exclude=[rule])

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"match": {"locale": "de"}}, r"overrides\[0\]: must be \{match: ..., set: ...\}, but has match"),
            ({"match": {"locale": "de"}, "set": {}}, "must map names to values"),
            ({"match": {}, "set": {"quality": "low"}}, "must name at least one axis"),
            ({"match": {"local": "de"}, "set": {"quality": "low"}}, "local: no such axis; did you mean locale?"),
            ({"match": {"locale": "fr"}, "set": {"quality": "low"}}, "locale='fr': no such value"),
            ({"match": {"locale": "de"}, "set": {"qualty": "low"}}, "qualty: is no parameter.*did you mean quality?"),
            (
                {"match": {"locale": "de"}, "set": {"copy.ctaa": "x"}},
                "copy.ctaa: is no parameter.*did you mean copy.cta?",
            ),
            ({"match": {"locale": "de"}, "set": {"copy..cta": "x"}}, "a name is parts with dots between them"),
            ({"match": {"locale": "de"}, "set": {"locale": "x"}}, "locale: labels cannot be set"),
            ({"match": {"locale": "de"}, "set": {"locale.id": "x"}}, "locale.id: labels cannot be set"),
            ({"match": {"locale": "de"}, "set": {"copy.cta.x": "x"}}, "cta is 'Buy', which has no fields"),
            ({"match": {"locale": "de"}, "set": {"destination": "x"}}, "is a parameter of the operator"),
        ],
    )
    def test_an_override(self, rule: Any, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message):
            expand_brief({"prompt": "{copy.cta}", "copy": {"cta": "Buy"}}, AXES, overrides=[rule])

    def test_rules_that_are_no_list(self) -> None:
        with pytest.raises(InvalidRequestError, match=r"brief: exclude=.*must be a list"):
            expand_brief({"prompt": "p", "exclude": {"locale": "de"}}, AXES)

    def test_more_items_than_anybody_wants_to_pay(self) -> None:
        assert len(expand_brief({"prompt": "p"}, {"a": list(range(200)), "b": list(range(100))})) == MAX_ITEMS
        with pytest.raises(InvalidRequestError, match="axes: a 201 x b 100 make 20,100 items, and 20,000 is the limit"):
            expand_brief({"prompt": "p"}, {"a": list(range(201)), "b": list(range(100))})


class TestDataIsNoTemplate:
    def test_what_is_put_in_is_not_looked_at_again(self) -> None:
        copy = "{product} {{ var.value.secret }} {% raw %}"
        item = expand_brief({"prompt": "{copy}", "copy": copy}, AXES)[0]
        assert item["prompt"] == copy

    def test_braces_that_stand_twice_stand_for_themselves(self) -> None:
        assert expand_brief({"prompt": "{{{product}}} {{x}}"}, AXES)[0]["prompt"] == "{kettle} {x}"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_axes_keys_are_unique_and_stay_when_another_value_comes(seed: int) -> None:
    dice = random.Random(seed)
    letters = "abcÄß東🙂-_. /"
    axes = {}
    for number in range(dice.randint(1, 3)):
        ids = ["v" + "".join(dice.choices(letters, k=5)) for _ in range(dice.randint(1, 5))]
        # "a b" and "a-b" have the same slug, and that is an error of its own.
        axes[f"axis_{number}"] = list({names.slug(text): text for text in ids}.values())
    items = expand_brief({"prompt": "{axis_0}"}, axes)
    by_key = {item["key"]: item for item in items}
    assert len(by_key) == len(items)
    assert items == expand_brief({"prompt": "{axis_0}"}, axes)
    grown = {**axes, "axis_0": ["first", *axes["axis_0"]]}
    more = {item["key"]: item for item in expand_brief({"prompt": "{axis_0}"}, grown)}
    assert {key: more[key] for key in by_key} == by_key
    left_out = expand_brief({"prompt": "{axis_0}"}, grown, exclude=[{"axis_0": "first"}])
    assert left_out == items


def test_the_parameters_are_those_of_the_operators() -> None:
    from airflow_provider_runflow.operators import base, common, flux, gpt_image_1_5, gpt_image_2, runflow

    found = {"alt_text", "variation"}
    for module in (flux, gpt_image_1_5, gpt_image_2, runflow):
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, base.RunflowRunOperator):
                found |= set(value.input_fields)
    assert set(PARAMETERS) == found
    bases = (base.RunflowRunOperator, common.RunflowBaseOperator)
    of_the_task = {name for each in bases for name in inspect.signature(each.__init__).parameters}
    assert set(TASK_PARAMETERS) <= of_the_task
    assert not set(TASK_PARAMETERS) & found
