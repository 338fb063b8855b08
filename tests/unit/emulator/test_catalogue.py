# SPDX-License-Identifier: Apache-2.0
"""A model is data: another one needs an entry, not code."""

from __future__ import annotations

from decimal import Decimal

import httpx

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.emulator.catalogue import CATALOGUE, Model
from airflow_provider_runflow.emulator.inputs import Choice, Text
from tests.unit.emulator.api import BASE

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
