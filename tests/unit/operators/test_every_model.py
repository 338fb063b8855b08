# SPDX-License-Identifier: Apache-2.0
"""Every operator lands real pictures, on a worker and through the triggerer, and pays each once."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runflow.emulator.catalogue import CATALOGUE
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.flux import Flux11ProOperator, Flux11ProUltraOperator
from airflow_provider_runflow.operators.gpt_image_1_5 import GptImage15EditOperator, GptImage15Operator
from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator, GptImage2Operator
from airflow_provider_runflow.operators.runflow import RunflowModelOperator
from tests.unit.operators.conftest import World

CUP, SHADOW = "https://shop.example/cup.jpg", "https://shop.example/shadow.png"

# Operator, its parameters, what goes over the wire, content type, pixels, price.
CASES: dict[str, tuple[type[RunflowRunOperator], dict[str, Any], dict[str, Any], str, tuple[int, int], str]] = {
    "GPT Image 2": (
        GptImage2Operator,
        {"prompt": "a cat", "image_size": "1088x1360", "num_images": 2, "quality": "low"},
        {
            "prompt": "a cat",
            "quality": "low",
            "num_images": 2,
            "image_size": {"width": 1088, "height": 1360},
            "output_format": "png",
        },
        "image/png",
        (1088, 1360),
        "0.018000",
    ),
    "GPT Image 2 Edit": (
        GptImage2EditOperator,
        {"prompt": "on marble", "references": [CUP, SHADOW], "mask": CUP, "quality": "medium", "output_format": "webp"},
        {
            "prompt": "on marble",
            "image_urls": [CUP, SHADOW],
            "mask_url": CUP,
            "quality": "medium",
            "num_images": 1,
            "output_format": "webp",
        },
        "image/webp",
        (1024, 1024),
        "0.034000",
    ),
    "GPT Image 1.5": (
        GptImage15Operator,
        {"prompt": "a cat", "quality": "low", "image_size": {"width": 1024, "height": 1536}, "background": "opaque"},
        {
            "prompt": "a cat",
            "quality": "low",
            "num_images": 1,
            "image_size": "1024x1536",
            "background": "opaque",
            "output_format": "png",
        },
        "image/png",
        (1024, 1536),
        "0.013000",
    ),
    "GPT Image 1.5 Edit": (
        GptImage15EditOperator,
        {"prompt": "on marble", "references": CUP},
        {"prompt": "on marble", "image_urls": [CUP]},
        "image/png",
        (1024, 1024),
        "0.133000",
    ),
    "FLUX 1.1 [pro]": (
        Flux11ProOperator,
        {"prompt": "a cat", "width": 640, "height": 480, "seed": 7},
        {"prompt": "a cat", "width": 640, "height": 480, "seed": 7},
        "image/jpeg",
        (640, 480),
        "0.040000",
    ),
    "FLUX 1.1 [pro] Ultra": (
        Flux11ProUltraOperator,
        {"prompt": "a cat", "aspect_ratio": "1:1", "output_format": "png", "num_images": 2},
        {"prompt": "a cat", "aspect_ratio": "1:1", "output_format": "png", "num_images": 2},
        "image/png",
        (2048, 2048),
        "0.120000",
    ),
    "any model": (
        RunflowModelOperator,
        {"model": "black-forest-labs/flux-1-1-pro", "input": {"prompt": "a cat", "width": 320}},
        {"prompt": "a cat", "width": 320},
        "image/jpeg",
        (320, 1024),
        "0.040000",
    ),
}


@pytest.mark.parametrize("name", CASES)
class TestEveryOperator:
    def test_it_lands_real_pictures_and_says_what_they_cost(
        self, world: World, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kind, parameters, sent, content_type, pixels, cost = CASES[name]
        world.emulator.configure(picture_size=None)
        operator = world.operator_of(kind, **parameters)
        result = world.result(world.run(operator))
        (run,) = world.emulator.runs
        assert run.input == sent
        assert (run.model.slug, result["model"]) == (operator.model, operator.model)
        assert (result["status"], result["cost_usd"]) == ("succeeded", cost)
        assert len(result["images"]) == sent.get("num_images", 1) == len(world.files())
        for image in result["images"]:
            assert (image["content_type"], image["width"], image["height"]) == (content_type, *pixels)
            assert Path(image["uri"].removeprefix("file://")).stat().st_size == image["size_bytes"]
        assert "asked for" not in caplog.text + capsys.readouterr().out

    def test_a_retry_after_failed_downloads_attaches_to_the_paid_run(self, world: World, name: str) -> None:
        kind, parameters, *_ = CASES[name]
        world.emulator.configure(picture_size=None)
        world.emulator.add_fault(route="output", effect="status", status=503, times=5)
        first = world.run(world.operator_of(kind, **parameters, retries=1))
        assert first.state == "up_for_retry"
        assert world.retry(first).state == "success"
        assert (world.posts, len(world.billed)) == (1, 1)

    def test_a_sidecar_says_what_was_asked_of_which_model(self, world: World, name: str) -> None:
        kind, parameters, sent, *_ = CASES[name]
        operator = world.operator_of(kind, **parameters)
        world.run(operator)
        assert world.sidecars()
        for sidecar in world.sidecars():
            assert (sidecar["model"], sidecar["input"]) == (operator.model, sent)
            assert sidecar["prompt"] == sent["prompt"]


def test_there_is_an_operator_for_each_model_that_the_emulator_serves() -> None:
    assert {kind.model for kind, *_ in CASES.values() if kind is not RunflowModelOperator} == set(CATALOGUE)


def test_what_was_uploaded_to_runflow_is_a_reference_by_its_id(world: World) -> None:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    file.seek(0)
    ref = RunflowHook().upload_asset(file, "cup.png").ref
    world.run(world.operator_of(GptImage2EditOperator, prompt="on marble", references=[ref], mask=ref))
    assert world.emulator.runs[0].input["image_urls"] == [ref]
    assert world.sidecars()[0]["input"]["mask_url"] == ref


@pytest.mark.parametrize("name", ["FLUX 1.1 [pro]", "any model"])
def test_a_name_that_another_jpeg_has_is_found_before_anything_is_paid(world: World, name: str) -> None:
    kind, parameters, *_ = CASES[name]
    world.destination.mkdir()
    (world.destination / "banner.jpg").write_bytes(b"somebody's")
    outcome = world.run(world.operator_of(kind, **parameters, filename_pattern="banner.{ext}"))
    assert "banner.jpg is taken by another picture" in str(outcome.error)
    assert world.posts == 0


@pytest.mark.parametrize(
    ("kind", "parameters", "allowed"),
    [
        (GptImage2Operator, {"prompt": "a cat", "quality": "medium"}, False),
        (GptImage15EditOperator, {"prompt": "a cat", "references": [CUP]}, False),
        (GptImage15EditOperator, {"prompt": "a cat", "references": [CUP], "quality": "low"}, True),
        (RunflowModelOperator, {"model": "openai/gpt-image-2", "input": {"prompt": "a cat"}}, False),
        (Flux11ProOperator, {"prompt": "a cat"}, True),
    ],
)
def test_the_connections_highest_quality_counts_a_default_that_is_not_sent(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[RunflowRunOperator],
    parameters: dict[str, Any],
    allowed: bool,
) -> None:
    import json
    import os

    connection = json.loads(os.environ["AIRFLOW_CONN_RUNFLOW_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps({**connection, "extra": {"max_quality": "low"}}))
    outcome = world.run(world.operator_of(kind, **parameters))
    assert outcome.state == ("success" if allowed else "failed"), outcome.error
    assert world.posts == int(allowed)
