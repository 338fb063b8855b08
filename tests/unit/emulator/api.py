# SPDX-License-Identifier: Apache-2.0
"""A caller of the emulator for tests: an httpx client on its transport, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from airflow_provider_runflow.emulator import Emulator, VirtualClock, emulator_transport
from airflow_provider_runflow.emulator.ledger import Ledger

MODEL = "openai/gpt-image-2"
BASE = "http://runflow.test"


class Api:
    """Speaks HTTP to its own emulator. Pictures are tiny unless a test asks for more."""

    def __init__(self, *faults: Mapping[str, Any], key: str = "rf_live_test", **switches: Any) -> None:
        switches.setdefault("picture_size", (24, 16))
        self.emulator = Emulator(faults=faults, **switches)
        self.clock = VirtualClock()
        self.transport = emulator_transport(self.emulator, self.clock)
        self.http = self.client(key)

    def client(self, key: str | None = "rf_live_test", **headers: str) -> httpx.Client:
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return httpx.Client(transport=self.transport, base_url=BASE, headers=headers)

    def create(
        self,
        prompt: str = "A red fox",
        *,
        model: str = MODEL,
        key: str | None = None,
        body: dict[str, Any] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """POST a run; `body` adds fields beside the input."""
        headers = {} if key is None else {"Idempotency-Key": key}
        json = {"input": {"prompt": prompt, **given}, **(body or {})}
        return self.http.post(f"/v1/models/{model}/runs", json=json, headers=headers)

    def created(self, prompt: str = "A red fox", **how: Any) -> str:
        """Create a run; give its id."""
        response = self.create(prompt, **how)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def finished(self, prompt: str = "A red fox", **how: Any) -> dict[str, Any]:
        """Create a run, wait for its end, and read it."""
        run_id = self.created(prompt, **how)
        self.clock.advance(31)
        return self.run(run_id)

    def run(self, run_id: str) -> dict[str, Any]:
        response = self.http.get(f"/v1/runs/{run_id}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def list(self, **query: Any) -> dict[str, Any]:
        response = self.http.get("/v1/runs", params=query)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def download(self, url: str) -> httpx.Response:
        """Fetch a presigned URL as one has to: without a key."""
        return self.client(None).get(url)

    def ledger(self) -> Ledger:
        return self.emulator.ledger(self.clock.now())

    def balance(self) -> str:
        return str(self.http.get("/v1/billing/balance").json()["balance"])


def urls(run: Mapping[str, Any]) -> list[str]:
    """The output URLs of a run object."""
    return [item["url"] for item in (run["output"] or {"outputs": []})["outputs"]]


def error(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of an error, after a look at its envelope."""
    body = response.json()
    assert body.keys() == {"code", "message", "errors"}
    assert body["message"]
    return response.status_code, body["code"]


def refused_fields(response: httpx.Response) -> dict[str, str]:
    """Where a 422 found what wrong."""
    assert error(response) == (422, "VALIDATION_ERROR")
    return {".".join(map(str, item["loc"])): item["type"] for item in response.json()["errors"]}
