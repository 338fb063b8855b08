# SPDX-License-Identifier: Apache-2.0
"""What is wrong in a DAG file is an error when the file is parsed, with the parameter, the value and the rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2Operator
from tests.harness import MOMENT, in_dag


def build(**changes: Any) -> GptImage2Operator:
    with in_dag():
        return GptImage2Operator(**{"task_id": "hero", "prompt": "a cat", "destination": "s3://b/p", **changes})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": "  "}, "prompt='  ': must not be empty"),
        ({"quality": "ultra"}, "quality='ultra': must be 'low', 'medium' or 'high'"),
        ({"quality": "hihg"}, r"did you mean 'high'\?"),
        ({"num_images": 0}, "num_images=0: must be at least 1"),
        ({"num_images": 11}, "num_images=11: must be at most 10"),
        ({"output_format": "gif"}, "output_format='gif': must be 'png', 'jpeg' or 'webp'"),
        ({"image_size": "1080x1350"}, r"nearest legal size is 1088x1360 \(the same aspect ratio\)"),
        ({"image_size": "huge"}, "must be a preset .* or WIDTHxHEIGHT"),
        ({"poll_interval": 0}, "poll_interval=0: must be a number of seconds or a timedelta"),
        ({"timeout": timedelta(0)}, "timeout=datetime.timedelta.0.: must be a number of seconds"),
        ({"timeout": "soon"}, "timeout='soon': must be a number of seconds"),
        ({"timeout": float("inf")}, "timeout=inf: .* at most 30 days"),
        ({"timeout": timedelta.max}, "at most 30 days"),
        ({"poll_interval": "5"}, "poll_interval='5': must be a number of seconds"),
        ({"callback_url": "ftp:nothing"}, r"callback_url='ftp:nothing': must be an http\(s\) address"),
        ({"callback_url": "https://x.example/" + "a" * 3000}, "at most 2048 characters"),
        ({"item_key": ""}, "item_key='': must be a name or a number"),
        ({"item_key": ["a"]}, "must be a name or a number"),
        ({"reuse_within": "week"}, "reuse_within='week': must be 'retries', 'dag_run' or 'destination'"),
        ({"on_unknown": "pay"}, "on_unknown='pay': must be 'fail' or 'resubmit'"),
        ({"metadata": {"airflow": 1}}, "the key 'airflow' is taken"),
        ({"metadata": ["a"]}, "must be a JSON object"),
        ({"destination": "brand-assets/heroes"}, "destination 'brand-assets/heroes'"),
        ({"destination": "s3://b/../secrets"}, "'..' folder"),
        ({"destination": "https://example.org/x"}, "is not in an object store"),
        ({"sidecars": "next-to-it"}, "destination 'next-to-it'"),
        ({"filename_pattern": "../{index}.{ext}"}, r"\.\."),
        ({"filename_pattern": "{indx}.{ext}"}, "index"),
        ({"filename_pattern": "hero.{ext}", "num_images": 2}, "index"),
        ({"wait_for_completion": False}, "nothing would land there"),
    ],
    ids=lambda value: next(iter(value.items())).__repr__() if isinstance(value, dict) else "",
)
def test_a_wrong_literal_names_parameter_value_and_rule(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        build(**wrong)


def test_several_wrong_parameters_are_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as error:
        build(quality="ultra", output_format="gif")
    assert "quality='ultra'" in str(error.value)
    assert "output_format='gif'" in str(error.value)


@pytest.mark.parametrize(
    "template",
    [
        {"prompt": "{{ params.prompt }}"},
        {"prompt": "hero.prompt.j2"},
        {"quality": "{{ params.quality }}"},
        {"image_size": "{{ params.size }}"},
        {"image_size": {"width": "{{ params.w }}", "height": 1024}},
        {"image_size": "{{ {'width': 1088, 'height': 1360} }}"},
        {"image_size": "{{ ['a'] }}"},
        {"num_images": "{{ params.n }}"},
        {"destination": "{{ var.value.bucket }}"},
        {"metadata": {"airflow_of": "{{ ds }}"}},
    ],
    ids=str,
)
def test_a_template_is_left_for_later(template: dict[str, Any]) -> None:
    build(**template)


def test_a_wrong_literal_beside_a_template_is_still_found() -> None:
    with pytest.raises(InvalidRequestError, match="quality='ultra'"):
        build(prompt="{{ params.prompt }}", quality="ultra")


def test_another_tasks_output_is_left_for_later() -> None:
    with in_dag():
        first = GptImage2Operator(task_id="first", prompt="a cat")
        GptImage2Operator(task_id="second", prompt=first.output["client_ref"])


def test_default_args_and_partial_reach_every_parameter() -> None:
    defaults = {"deferrable": True, "poll_interval": 9, "runflow_conn_id": "brand", "reuse_within": "retries"}
    with DAG("d", schedule=None, start_date=MOMENT, default_args=defaults):
        single = GptImage2Operator(task_id="one", prompt="a cat")
        mapped = GptImage2Operator.partial(task_id="many", quality="low").expand(prompt=["a", "b"])
    assert (single.deferrable, single.poll_interval, single.runflow_conn_id) == (True, 9, "brand")
    one_of_many = mapped.unmap({"prompt": "a cat"})
    assert (one_of_many.deferrable, one_of_many.reuse_within, one_of_many.quality) == (True, "retries", "low")


def test_a_later_deferral_obeys_execution_timeout_which_airflow_itself_does_not_apply() -> None:
    assert build(deferrable=True, timeout=600, execution_timeout=timedelta(seconds=60)).wait_seconds == 60
    assert build(deferrable=False, timeout=600, execution_timeout=timedelta(seconds=60)).wait_seconds == 600


def test_a_mapped_instance_is_checked_when_it_executes_so_that_no_retry_is_wasted() -> None:
    with in_dag():
        mapped = GptImage2Operator.partial(task_id="many", quality="hihg").expand(prompt=["a cat"])
    assert mapped.unmap({"prompt": "a cat"}).quality == "hihg"


def test_building_an_operator_needs_no_connection_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", raising=False)
    assert build().hook.runflow_conn_id == "runflow_default"
