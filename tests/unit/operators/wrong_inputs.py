# SPDX-License-Identifier: Apache-2.0
"""
Each model's wrong inputs and the sentence each gives: the parameter as the operator calls it, the value, the rule.

`docs/wrong-inputs.md` is made of it: `python -m tests.unit.operators.wrong_inputs > docs/wrong-inputs.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.flux import Flux11ProOperator, Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator, GptImage15Operator
from airflow_provider_runflow.operators.gpt_image_2 import (
    GptImage2BatchOperator,
    GptImage2EditOperator,
    GptImage2Operator,
)
from airflow_provider_runflow.operators.runflow import RunflowModelOperator

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
    (GptImage2Operator, {"prompt": None}, "prompt is required."),
    (GptImage2Operator, {"prompt": " "}, BLANK),
    (GptImage2Operator, {"quality": "ultra"}, QUALITY),
    (GptImage2Operator, {"num_images": 11}, "num_images=11: must be at most 10."),
    (GptImage2Operator, {"image_size": "1080x1350"}, SIZE),
    (GptImage2Operator, {"output_format": "jpg"}, FORMAT),
    (GptImage2EditOperator, {"prompt": None}, "prompt is required."),
    (GptImage2EditOperator, {"references": None}, "references is required."),
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
    (GptImage15Operator, {"prompt": None}, "prompt is required."),
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
    (GptImage15EditOperator, {"prompt": None}, "prompt is required."),
    (GptImage15EditOperator, {"references": None}, "references is required."),
    (GptImage15EditOperator, {"prompt": " "}, BLANK),
    (GptImage15EditOperator, {"references": []}, "references=[]: must be a list of at least one picture."),
    (GptImage15EditOperator, {"mask": "m.png"}, f"mask='m.png': {LINK}."),
    (GptImage15EditOperator, {"quality": "ultra"}, QUALITY),
    (GptImage15EditOperator, {"num_images": 0}, "num_images=0: must be at least 1."),
    (GptImage15EditOperator, {"image_size": 7}, "image_size=7: input should be a valid string."),
    (GptImage15EditOperator, {"output_format": "jpg"}, FORMAT),
    (Flux11ProOperator, {"prompt": None}, "prompt is required."),
    (Flux11ProOperator, {"prompt": " "}, BLANK),
    (Flux11ProOperator, {"width": 1441}, "width=1441: must be at most 1440."),
    (Flux11ProOperator, {"height": 0}, "height=0: must be at least 1."),
    (
        Flux11ProOperator,
        {"seed": "lucky"},
        "seed='lucky': input should be a valid integer, unable to parse string as an integer.",
    ),
    (Flux11ProUltraOperator, {"prompt": None}, "prompt is required."),
    (Flux11ProUltraOperator, {"prompt": " "}, BLANK),
    (Flux11ProUltraOperator, {"aspect_ratio": 1.5}, "aspect_ratio=1.5: input should be a valid string."),
    (
        Flux11ProUltraOperator,
        {"raw": "perhaps"},
        "raw='perhaps': input should be a valid boolean, unable to interpret input.",
    ),
    (Flux11ProUltraOperator, {"num_images": 0}, "num_images=0: must be at least 1."),
]

OWNER = "must be owner/name, such as 'openai/gpt-image-2'."
OBJECT = "must be a JSON object"
SYNC_MODE = (
    "input: sync_mode: is not possible here. Runflow keeps its result nowhere, so a picture whose answer gets lost "
    "would be paid and gone; leave it out."
)
# Of any other model only what holds for all is checked.
RIGHT_OF_ANY_MODEL: dict[str, Any] = {"model": "acme/sketch", "input": {"prompt": "a cat"}}
ANY_MODEL: list[tuple[dict[str, Any], str]] = [
    ({"model": "gpt-image-2"}, f"model='gpt-image-2': {OWNER}"),
    ({"model": "openai/../admin"}, f"model='openai/../admin': {OWNER}"),
    ({"input": "a cat"}, f"input='a cat': {OBJECT} with the model's parameters."),
    ({"input": None}, f"input=None: {OBJECT} with the model's parameters."),
    ({"input": ["a cat"]}, f"input=['a cat']: {OBJECT} with the model's parameters."),
    ({"input": {"prompt": "a cat", "sync_mode": True}}, SYNC_MODE),
    ({"input": {"prompt": "a cat", "sync_mode": False}}, SYNC_MODE),
    ({"input": {"weight": float("nan")}}, f"input: {OBJECT} (Out of range float values are not JSON compliant)."),
    (
        {"input": {"prompt": "half an emoji \ud83d"}},
        f"input: {OBJECT} ('utf-8' codec can't encode character '\\ud83d' in position 26: surrogates not allowed).",
    ),
]


def _named(key: str) -> dict[str, Any]:
    return {"key": key, "prompt": f"a picture of {key}"}


# Lists of items, with what else the task is given.
WRONG_BATCHES: list[tuple[Any, dict[str, Any], str]] = [
    ([], {}, "requests: must not be empty; it has no items."),
    ({"key": "a"}, {}, "requests=\"{'key': 'a'}\": must be a list of items, each a mapping."),
    ([7], {}, "requests[0]: '7' must be a mapping."),
    ([{"prompt": "a cat"}], {}, "requests[0]: needs a key, or labels to make one of."),
    ([{"key": " ", "prompt": "a cat"}], {}, "requests[0] (' '): key=' ': must be 1-200 printable characters."),
    ([{"key": "x" * 201}], {}, f"requests[0] ('{'x' * 80}'): key='{'x' * 201}': must be 1-200 printable characters."),
    ([{"key": True}], {}, "requests[0] ('True'): key='True': must be a text or a number."),
    ([_named("a"), _named("b"), _named("a")], {}, "requests[2]: key 'a' is that of requests[0], too."),
    (
        [{"labels": {"sku": 1}, "prompt": "one"}, {"labels": {"sku": "1"}, "prompt": "two"}],
        {},
        "requests[1]: key '1' is that of requests[0], too.",
    ),
    ([{"key": "a", "promt": "a cat"}], {}, "requests[0] ('a'): promt: no such field (did you mean prompt?)."),
    ([{"key": "a", "lables": {}}], {}, "requests[0] ('a'): lables: no such field (did you mean labels?)."),
    (
        [{"key": "a", "zzz": 1}],
        {},
        "requests[0] ('a'): zzz: no such field (an item takes key, labels, alt_text, variation, prompt, quality, "
        "num_images, image_size, output_format).",
    ),
    (
        [{"key": "a", "labels": {"my label": 1}}],
        {},
        "requests[0] ('a'): labels: 'my label' is no name; use letters, digits and _, so that a name pattern can hold "
        "it.",
    ),
    ([{"key": "a", "labels": ["x"]}], {}, "requests[0] ('a'): labels=['x']: must be a mapping of names to texts."),
    ([{"key": "a", "labels": {"x": []}}], {}, "requests[0] ('a'): labels.x='[]': must be a text or a number."),
    ([{"key": "a", "alt_text": float("nan")}], {}, "requests[0] ('a'): alt_text=nan: must be a text or a number."),
    (
        [{**_named("a"), "quality": "ultra"}, _named("b"), {**_named("c"), "num_images": 11}],
        {},
        "Item 'a': openai/gpt-image-2: quality='ultra': must be 'low', 'medium' or 'high'. "
        "Item 'c': openai/gpt-image-2: num_images=11: must be at most 10.",
    ),
    ([{"key": "a"}], {}, "Item 'a': openai/gpt-image-2: prompt is required."),
    (
        [_named("a"), _named("b")],
        {"filename_pattern": "hero.{ext}"},
        "filename_pattern 'hero.{ext}' gives items 'a' and 'b' the same name 'hero.png'; put {key}, {request} or a "
        "label that differs in it.",
    ),
    (
        [{**_named("a"), "labels": {"sku": "1"}}, _named("b")],
        {"filename_pattern": "{sku}.{ext}"},
        "Item 'b': filename_pattern '{sku}.{ext}': unknown placeholder {sku}; It knows task_id, map_index, key, index, "
        "take, ext, runflow_run_id, request.",
    ),
    (
        [{**_named("a"), "num_images": 2}],
        {"filename_pattern": "{key}.{ext}"},
        "Item 'a': filename_pattern '{key}.{ext}' gives all 2 pictures of a run the same name; put {index} in it.",
    ),
]

HEAD = """\
# Wrong inputs

What an operator says of a parameter that breaks a rule; the six of the catalogue begin with their model's id. A
literal is an error when the DAG is parsed. A template or another task's output is checked on the worker before
anything is submitted; the task fails without retries then, and the message goes on: "Nothing was submitted by this
attempt, so it costs nothing. It is not retried: correct the DAG or the connection, then clear the task."

What the API reference leaves open is not checked here: Runflow decides, and its own words are in the error. This page
is made of `tests/unit/operators/wrong_inputs.py`, whose rows are tested at both moments.
"""


def page() -> str:
    """The table as people read it."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield HEAD
    for kind in RIGHT:
        yield from _section(f"`{kind.__name__}`: `{kind.model}`", [row[1:] for row in TABLE if row[0] is kind])
    yield from _section(f"`{RunflowModelOperator.__name__}`: any other model", ANY_MODEL)
    batches = [({"requests": requests, **changes}, message) for requests, changes, message in WRONG_BATCHES]
    yield from _section(f"`{GptImage2BatchOperator.__name__}`, as any batch", batches)


def _section(title: str, rows: list[tuple[dict[str, Any], str]]) -> Iterator[str]:
    yield f"\n## {title}\n\n| given | message |\n|---|---|\n"
    for given, message in rows:
        told = ", ".join(f"{name}={value!r}" for name, value in given.items())
        yield f"| `{_short(told)}` | {_short(message)} |\n"


def _short(text: str) -> str:
    for many in ("a" * 32_001, "a" * 76, "x" * 201, "x" * 80):
        text = text.replace(many, f"{many[:3]}…")
    return text


if __name__ == "__main__":
    print(page(), end="")
