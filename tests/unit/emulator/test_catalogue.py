# SPDX-License-Identifier: Apache-2.0
"""Each model by its own rules, and all of it data: another model needs an entry, not code."""

from __future__ import annotations

from decimal import Decimal
from io import BytesIO
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.emulator.catalogue import CATALOGUE, Model
from airflow_provider_runflow.emulator.inputs import Choice, Text
from tests.unit.emulator.api import BASE, Api, refused_fields, urls

EDIT_2, GPT_15, EDIT_15 = "openai/gpt-image-2/edit", "openai/gpt-image-1.5", "openai/gpt-image-1.5/edit"
PRO, ULTRA = "black-forest-labs/flux-1-1-pro", "black-forest-labs/flux-1-1-pro-ultra"
CUP = {"image_urls": ["https://shop.example/cup.jpg"]}

SKETCH = Model(
    slug="acme/sketch/2.0/fast",
    inputs={"prompt": Text(1, 100, required=True), "size": Choice(("small", "large"), default="small")},
    price_by=("size",),
    prices={("small",): Decimal("0.01"), ("large",): Decimal("0.02")},
    seconds_by_quality={"high": 3.0},
    seconds_range=(1.0, 5.0),
)


def test_another_model_is_validated_timed_and_billed_by_its_own_entry() -> None:
    emulator, clock = Emulator(models={**CATALOGUE, SKETCH.slug: SKETCH}, picture_size=(8, 8)), VirtualClock()
    headers = {"Authorization": "Bearer rf_live_test"}
    transport = emulator_transport(emulator, clock)
    with httpx.Client(transport=transport, base_url=BASE, headers=headers) as client:
        path = f"/v1/models/{SKETCH.slug}/runs"
        assert client.post(path, json={"input": {"prompt": "A fox", "quality": "low"}}).status_code == 422
        run = client.post(path, json={"input": {"prompt": "A fox", "size": "large"}}).json()
        clock.advance(5)
        run = client.get(f"/v1/runs/{run['id']}").json()
    assert (run["status_code"], run["cost"]) == ("succeeded", "0.020000")
    assert run["model_id"] == SKETCH.id != CATALOGUE["openai/gpt-image-2"].id
    assert emulator.ledger(clock.now())["billed"][0]["model"] == SKETCH.slug


@pytest.mark.parametrize(
    ("model", "given", "where", "kind"),
    [
        (EDIT_2, {}, "image_urls", "missing"),
        (EDIT_2, {"image_urls": []}, "image_urls", "too_short"),
        (EDIT_2, {"image_urls": "https://shop.example/cup.jpg"}, "image_urls", "list_type"),
        (EDIT_2, {"image_urls": ["https://a.example/1.png", "s3://b/2.png"]}, "image_urls.1", "media_url"),
        (EDIT_2, {"image_urls": [7]}, "image_urls.0", "string_type"),
        (EDIT_2, {**CUP, "mask_url": "mask.png"}, "mask_url", "media_url"),
        (EDIT_2, {**CUP, "sync_mode": True}, "sync_mode", "not_emulated"),
        (GPT_15, {"image_size": "square_hd"}, "image_size", "literal_error"),
        (GPT_15, {"image_size": {"width": 1024, "height": 1024}}, "image_size", "literal_error"),
        (GPT_15, {"background": "blue"}, "background", "literal_error"),
        (GPT_15, {"num_images": 5}, "num_images", "less_than_equal"),
        (GPT_15, CUP, "image_urls", "extra_forbidden"),
        (EDIT_15, {}, "image_urls", "missing"),
        (PRO, {"width": 1441}, "width", "less_than_equal"),
        (PRO, {"height": 0}, "height", "greater_than_equal"),
        (PRO, {"seed": "7"}, "seed", "int_type"),
        (PRO, {"num_images": 2}, "num_images", "extra_forbidden"),
        (PRO, {"sync_mode": True}, "sync_mode", "extra_forbidden"),
        (ULTRA, {"aspect_ratio": "1000:1"}, "aspect_ratio", "literal_error"),
        (ULTRA, {"raw": 1}, "raw", "bool_type"),
        (ULTRA, {"output_format": "webp"}, "output_format", "literal_error"),
    ],
)
def test_each_model_refuses_what_it_does_not_take(model: str, given: dict[str, Any], where: str, kind: str) -> None:
    assert refused_fields(Api().create(model=model, **given)) == {f"body.input.{where}": kind}


@pytest.mark.parametrize(
    ("model", "given", "cost", "size", "file_format"),
    [
        (EDIT_2, {**CUP, "quality": "low", "num_images": 2}, "0.018000", (1024, 1024), "PNG"),
        (EDIT_2, {**CUP, "image_size": {"width": 1088, "height": 1360}}, "0.133000", (1088, 1360), "PNG"),
        (GPT_15, {"quality": "medium", "image_size": "1024x1536"}, "0.051000", (1024, 1536), "PNG"),
        (GPT_15, {"quality": "medium", "image_size": "1536x1024"}, "0.050000", (1536, 1024), "PNG"),
        (GPT_15, {"image_size": "auto", "output_format": "webp"}, "0.133000", (1024, 1024), "WEBP"),
        (EDIT_15, {**CUP, "quality": "low", "image_size": "1536x1024"}, "0.013000", (1536, 1024), "PNG"),
        (PRO, {}, "0.040000", (1024, 1024), "JPEG"),
        (PRO, {"width": 1440, "height": 720, "seed": 7}, "0.040000", (1440, 720), "JPEG"),
        (ULTRA, {}, "0.060000", (2752, 1536), "JPEG"),
        (ULTRA, {"aspect_ratio": "1:1", "num_images": 2, "output_format": "png"}, "0.120000", (2048, 2048), "PNG"),
    ],
)
def test_each_model_draws_and_bills_in_its_own_way(
    model: str, given: dict[str, Any], cost: str, size: tuple[int, int], file_format: str
) -> None:
    from PIL import Image

    api = Api(picture_size=None)
    run_id = api.created(model=model, **given)
    api.clock.advance(CATALOGUE[model].seconds_range[1])
    run = api.run(run_id)
    with Image.open(BytesIO(api.download(urls(run)[0]).content)) as picture:
        assert (run["cost"], picture.size, picture.format) == (cost, size, file_format)


@pytest.mark.parametrize("slug", CATALOGUE)
def test_each_model_takes_its_own_time(slug: str) -> None:
    api, (low, high) = Api(), CATALOGUE[slug].seconds_range
    needed = CUP if slug.endswith("/edit") else {}
    run_id = api.created(model=slug, **needed)
    api.clock.advance(low * 0.99)
    assert api.run(run_id)["status_code"] == "running"
    api.clock.advance(high - low * 0.99)
    assert api.run(run_id)["status_code"] == "succeeded"
