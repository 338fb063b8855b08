# SPDX-License-Identifier: Apache-2.0
"""
Each model's wrong inputs and the sentence each gives: the parameter as the operator calls it, the value, the rule.

The same table at two moments: a literal when the DAG is parsed, a template before anything is submitted.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.flux import Flux11ProOperator, Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator, GptImage15Operator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator, GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.harness import in_dag
from tests.unit.operators.conftest import World

CUP = "https://shop.example/cup.jpg"
RIGHT: dict[type[RunflowRunOperator], dict[str, Any]] = {
    GptImage2Operator: {"prompt": "a cat"},
    GptImage2EditOperator: {"prompt": "a cat", "references": [CUP]},
    GptImage15Operator: {"prompt": "a cat"},
    GptImage15EditOperator: {"prompt": "a cat", "references": [CUP]},
    Flux11ProOperator: {"prompt": "a cat"},
    Flux11ProUltraOperator: {"prompt": "a cat"},
}
BLANK = "prompt=' ': must not be empty: the prompt says what the picture shows."
QUALITY = "quality='ultra': must be 'low', 'medium' or 'high'."
FORMAT = "output_format='jpg': must be 'png', 'jpeg' or 'webp' (did you mean 'jpeg'?)."
SIZE = (
    "image_size='1080x1350': both edges must be multiples of 16; the nearest legal size is 1088x1360 (the same aspect "
    "ratio)."
)
LISTED = "must be 1024x1024, 1536x1024, 1024x1536 or auto"
LINK = "must be an https:// address, a runflow:// id or, for an Edit operator, a file such as s3://bucket/cup.jpg"

TABLE: list[tuple[type[RunflowRunOperator], dict[str, Any], str]] = [
    (GptImage2Operator, {"prompt": " "}, BLANK),
    (GptImage2Operator, {"quality": "ultra"}, QUALITY),
    (GptImage2Operator, {"num_images": 11}, "num_images=11: must be at most 10."),
    (GptImage2Operator, {"image_size": "1080x1350"}, SIZE),
    (GptImage2Operator, {"output_format": "jpg"}, FORMAT),
    (GptImage2EditOperator, {"prompt": " "}, BLANK),
    (GptImage2EditOperator, {"references": []}, "references=[]: must be a list of at least one picture."),
    (
        GptImage2EditOperator,
        {"references": [CUP, "/srv/cup.jpg"]},
        f"references=['{CUP}', '/srv/cup.jpg']: item 1, '/srv/cup.jpg', {LINK}.",
    ),
    (GptImage2EditOperator, {"references": "http://x.example/c"}, f"references='http://x.example/c': {LINK}."),
    (GptImage2EditOperator, {"mask": "m.png"}, f"mask='m.png': {LINK}."),
    (
        GptImage2EditOperator,
        {"mask": "https://me:pw@x.example/m"},
        f"mask='https://x.example/m': {LINK} without user and password.",
    ),
    (GptImage2EditOperator, {"quality": "ultra"}, QUALITY),
    (GptImage2EditOperator, {"num_images": 0}, "num_images=0: must be at least 1."),
    (GptImage2EditOperator, {"image_size": "1080x1350"}, SIZE),
    (GptImage2EditOperator, {"output_format": "jpg"}, FORMAT),
    (GptImage15Operator, {"prompt": "a"}, "prompt='a': must have at least 2 characters."),
    (GptImage15Operator, {"prompt": "  "}, BLANK.replace("' '", "'  '")),
    (
        GptImage15Operator,
        {"prompt": "a" * 32_001},
        f"prompt='{'a' * 76}...: must have at most 32,000 characters.",
    ),
    (GptImage15Operator, {"quality": "ultra"}, QUALITY),
    (GptImage15Operator, {"num_images": 5}, "num_images=5: must be at most 4."),
    (
        GptImage15Operator,
        {"image_size": "1080x1350"},
        f"image_size='1080x1350': {LISTED}; the nearest in aspect ratio is 1024x1536.",
    ),
    (GptImage15Operator, {"image_size": "square_hd"}, f"image_size='square_hd': {LISTED}."),
    (GptImage15Operator, {"image_size": "0 x 5"}, f"image_size='0 x 5': {LISTED}."),
    (
        GptImage15Operator,
        {"background": "transparant"},
        "background='transparant': must be 'auto', 'transparent' or 'opaque' (did you mean 'transparent'?).",
    ),
    (GptImage15Operator, {"output_format": "jpg"}, FORMAT),
    (GptImage15EditOperator, {"prompt": " "}, BLANK),
    (GptImage15EditOperator, {"references": []}, "references=[]: must be a list of at least one picture."),
    (GptImage15EditOperator, {"mask": "m.png"}, f"mask='m.png': {LINK}."),
    (GptImage15EditOperator, {"quality": "ultra"}, QUALITY),
    (GptImage15EditOperator, {"num_images": 0}, "num_images=0: must be at least 1."),
    (GptImage15EditOperator, {"image_size": 7}, "image_size=7: input should be a valid string."),
    (GptImage15EditOperator, {"output_format": "jpg"}, FORMAT),
    (Flux11ProOperator, {"prompt": " "}, BLANK),
    (Flux11ProOperator, {"width": 1441}, "width=1441: must be at most 1440."),
    (Flux11ProOperator, {"height": 0}, "height=0: must be at least 1."),
    (
        Flux11ProOperator,
        {"seed": "lucky"},
        "seed='lucky': input should be a valid integer, unable to parse string as an integer.",
    ),
    (Flux11ProUltraOperator, {"prompt": " "}, BLANK),
    (Flux11ProUltraOperator, {"aspect_ratio": 1.5}, "aspect_ratio=1.5: input should be a valid string."),
    (
        Flux11ProUltraOperator,
        {"raw": "perhaps"},
        "raw='perhaps': input should be a valid boolean, unable to interpret input.",
    ),
    (Flux11ProUltraOperator, {"num_images": 0}, "num_images=0: must be at least 1."),
]


def names(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)[:50]


@pytest.mark.parametrize(("kind", "wrong", "message"), TABLE, ids=names)
def test_a_wrong_literal_is_an_error_when_the_dag_is_parsed(
    kind: type[RunflowRunOperator], wrong: dict[str, Any], message: str
) -> None:
    with in_dag(), pytest.raises(InvalidRequestError) as caught:
        kind(task_id="hero", **{**RIGHT[kind], **wrong})
    assert str(caught.value) == f"{kind.model}: {message}"


@pytest.mark.parametrize(("kind", "wrong", "message"), TABLE, ids=names)
def test_a_template_that_renders_to_something_wrong_is_an_error_before_anything_is_submitted(
    world: World, kind: type[RunflowRunOperator], wrong: dict[str, Any], message: str
) -> None:
    ((name, value),) = wrong.items()
    templates = {name: "{{ params.wrong }}", "params": {"wrong": value}, "native": True}
    outcome = world.run(world.operator_of(kind, **{**RIGHT[kind], **templates}))
    assert (outcome.state, world.posts) == ("failed", 0)
    assert str(outcome.error) == (
        f"{kind.model}: {message[:-1]}. Nothing was submitted by this attempt, so it costs nothing. It is not retried: "
        "correct the DAG or the connection, then clear the task."
    )


def test_the_table_has_every_parameter_of_every_model() -> None:
    there = {(kind, name) for kind, wrong, _ in TABLE for name in wrong}
    open_to_the_server = {
        (GptImage15EditOperator, "background"),
        (Flux11ProUltraOperator, "output_format"),
    }
    assert there == {(kind, name) for kind in RIGHT for name in kind.input_fields} - open_to_the_server


@pytest.mark.parametrize("kind", RIGHT, ids=names)
def test_a_parameter_that_must_be_given_is_missed_by_name(kind: type[RunflowRunOperator]) -> None:
    for name in RIGHT[kind]:
        with in_dag(), pytest.raises(InvalidRequestError, match=f"^{kind.model}: {name} is required"):
            kind(task_id="hero", **{**RIGHT[kind], name: None})


SYNC_MODE = "Runflow keeps its result nowhere, so a picture whose answer gets lost would be paid and gone"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "gpt-image-2"}, "model='gpt-image-2': must be owner/name"),
        ({"model": "openai/../admin"}, "must be owner/name"),
        ({"input": "a cat"}, "input='a cat': must be a JSON object"),
        ({"input": None}, "must be a JSON object"),
        ({"input": ["a cat"]}, "must be a JSON object"),
        ({"input": {"prompt": "a cat", "sync_mode": True}}, f"input: sync_mode: .*{SYNC_MODE}"),
        ({"input": {"prompt": "a cat", "sync_mode": False}}, SYNC_MODE),
        ({"input": {"weight": float("nan")}}, "must be a JSON object .*not JSON compliant"),
        ({"input": {"prompt": "half an emoji \ud83d"}}, "must be a JSON object .*surrogates not allowed"),
    ],
    ids=names,
)
def test_of_any_other_model_only_what_holds_for_all_is_checked(wrong: dict[str, Any], message: str) -> None:
    with in_dag(), pytest.raises(InvalidRequestError, match=message):
        RunflowModelOperator(task_id="hero", **{"model": "acme/sketch", "input": {"prompt": "a cat"}, **wrong})
