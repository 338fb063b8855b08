# SPDX-License-Identifier: Apache-2.0
"""What all contract tests share: the client, a bare HTTP client for what is not documented, and few paid runs."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.assets import Asset
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.client.wire import Run
from airflow_provider_runflow.exceptions import ApiError
from tests.contract.target import Target

MODEL = "openai/gpt-image-2"
EDIT = "openai/gpt-image-2/edit"
INPUT = {"prompt": "a small red fox", "quality": "low", "image_size": "square_hd", "output_format": "png"}
#: So many pictures at low quality are bought at most, whatever Runflow makes of an idempotency key.
MOST_PICTURES = 4
LOW_PRICE = Decimal("0.009")

Found = TypeVar("Found")


def small_png() -> bytes:
    """A picture of 64 x 64 grey pixels, made by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * 64) * 64)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@dataclass(frozen=True)
class Bought:
    """
    The paid run of the contract: what was sent, and its first answer as it came.

    :param listed_after: seconds until a list by its client_ref showed it; None: not within a minute, or not at all.
    """

    response: httpx.Response
    body: dict[str, Any]
    key: str
    listed_after: float | None

    @property
    def run_id(self) -> str:
        return str(self.response.json()["id"])


class World:
    """One Runflow, asked over real HTTP."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.ref = f"af.contract.{uuid4().hex}"
        self.metadata = {"airflow": {"ordinal": 0, "item": "größe/ß", "deep": {"list": [1, "two", None]}}}
        self.client = RunflowClient(Account(target.base_url, target.key))
        self.http = httpx.Client(
            base_url=target.base_url, headers={"Authorization": f"Bearer {target.key}"}, timeout=60
        )
        self.posts = 0
        self.accepted_without_prompt = False

    def close(self) -> None:
        self.client.close()
        self.http.close()

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params)

    def pay(self, model: str, body: Mapping[str, Any], key: str | None = None) -> httpx.Response:
        """POST a run. Every request that may cost money goes through here, and there are few of them."""
        assert self.posts < MOST_PICTURES, "the contract would cost more than what was said"
        assert body["input"]["quality"] == "low"
        self.posts += 1
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post(f"/v1/models/{model}/runs", json=body, headers=headers)

    def refused(self, given: Mapping[str, Any], model: str = MODEL) -> httpx.Response:
        """POST a run that cannot be created, since it has no prompt: free."""
        assert "prompt" not in given
        assert not self.accepted_without_prompt, "not asked: Runflow accepted a request without a prompt"
        response = self.http.post(f"/v1/models/{model}/runs", json={"input": dict(given)})
        self.accepted_without_prompt = response.is_success
        return response

    def until(self, look: Callable[[], Found | None], patience: float, every: float) -> Found | None:
        """Looks again and again; None when the patience is over."""
        deadline = time.monotonic() + patience
        while (found := look()) is None and time.monotonic() < deadline:
            time.sleep(every)
        return found

    def ended(self, run_id: str) -> Run:
        def look() -> Run | None:
            run = self.client.get_run(run_id)
            return run if run.is_terminal else None

        run = self.until(look, self.target.patience, self.target.poll)
        assert run is not None, f"the run was still going after {self.target.patience:.0f} s"
        return run

    @cached_property
    def bought(self) -> Bought:
        body = {"input": INPUT, "client_ref": self.ref, "metadata": self.metadata}
        key = f"contract-{uuid4().hex}"
        response = self.pay(MODEL, body, key)
        assert response.is_success, f"the run was refused: HTTP {response.status_code}"
        # At once, since how long a list lags can be seen only now.
        return Bought(response, body, key, self._listed_after(str(response.json()["id"]), time.monotonic()))

    def _listed_after(self, run_id: str, since: float) -> float | None:
        def look() -> float | None:
            shown = [run.id for run in self.client.find_runs(self.ref, fields=("id", "status_code"))]
            return time.monotonic() - since if run_id in shown else None

        try:
            return self.until(look, 60.0, every=0.2)
        except ApiError:
            return None

    @cached_property
    def replay(self) -> httpx.Response:
        """The same body under the same key, once more."""
        return self.pay(MODEL, self.bought.body, self.bought.key)

    @cached_property
    def run(self) -> Run:
        """The paid run when it has ended; it must have come through."""
        run = self.ended(self.bought.run_id)
        assert run.status_code == "succeeded", f"{run.failure_code}: {run.failure_message}"
        return run

    @cached_property
    def raw_run(self) -> dict[str, Any]:
        raw: dict[str, Any] = self.get(f"/v1/runs/{self.run.id}").json()
        return raw

    @cached_property
    def asset(self) -> Asset:
        return self.client.assets.upload(io.BytesIO(small_png()), "contract.png")
