# SPDX-License-Identifier: Apache-2.0
"""
What people would write, or get, instead. Each is done as well as its kind is usually done, and no worse.

All of them talk to Runflow through the transport and the clock that the trial hands out, as this package does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
from airflow.sdk import BaseHook, BaseOperator, ResumableJobMixin
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runflow.hooks.runflow import RunflowHook

MODEL = "openai/gpt-image-2"
ACTIVE = ("queued", "dispatching", "running")
POLL_SECONDS = 20


def _http(kind: type[Any]) -> Any:
    connection = BaseHook.get_connection("runflow_default")
    headers = {"Authorization": f"Bearer {connection.password}"}
    return kind(base_url=str(connection.host), headers=headers, transport=RunflowHook.transport, timeout=30)


class Rival(BaseOperator):
    """Submit, poll, save: the steps that all of them share."""

    def __init__(self, *, prompt: str, folder: str, num_images: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.folder = folder
        self.num_images = num_images

    def submit(self) -> str:
        """POST once; whatever is wrong fails the task."""
        model_input = {"prompt": self.prompt, "quality": "low", "num_images": self.num_images}
        with _http(httpx.Client) as http:
            answer = http.post(f"/v1/models/{MODEL}/runs", json={"input": model_input})
        return str(answer.raise_for_status().json()["id"])

    def read(self, run_id: str) -> dict[str, Any]:
        """GET the run."""
        with _http(httpx.Client) as http:
            run: dict[str, Any] = http.get(f"/v1/runs/{run_id}").raise_for_status().json()
        return run

    def wait(self, run_id: str) -> dict[str, Any]:
        """Poll until the run ends."""
        while (run := self.read(run_id))["status_code"] in ACTIVE:
            RunflowHook.clock.sleep(POLL_SECONDS)
        return run

    def save(self, run: dict[str, Any]) -> dict[str, Any]:
        """Download what the run made."""
        if run["status_code"] not in ("succeeded", "partial_succeeded"):
            raise RuntimeError(f"run {run['id']} is {run['status_code']}")
        urls = [output["url"] if isinstance(output, dict) else output for output in run["output"]["outputs"]]
        with httpx.Client(transport=RunflowHook.transport, timeout=30) as http:
            for index, url in enumerate(urls):
                content = http.get(url).raise_for_status().content
                Path(self.folder, f"{run['id']}-{index}.png").write_bytes(content)
        return {"run_id": run["id"], "images": urls_without_queries(urls)}


def urls_without_queries(urls: list[str]) -> list[str]:
    """A presigned URL is no result."""
    return [url.partition("?")[0] for url in urls]


class SubmitAndPoll(Rival):
    """(a) As with HttpOperator and HttpSensor: a POST, then polls. A retry begins again."""

    def execute(self, context: Any) -> Any:
        return self.save(self.wait(self.submit()))


class SampleClient(Rival):
    """(b) With the retry loop of Runflow's sample clients: two more tries, 0.8 s times n, for POST as for GET."""

    NOT_RETRIED: ClassVar[tuple[int, ...]] = (400, 401, 403, 422)

    def execute(self, context: Any) -> Any:
        run_id = self._again_and_again(self.submit)
        while (run := self._again_and_again(lambda: self.read(run_id)))["status_code"] in ACTIVE:
            RunflowHook.clock.sleep(POLL_SECONDS)
        return self._again_and_again(lambda: self.save(run))

    def _again_and_again(self, call: Callable[[], Any]) -> Any:
        for retry in (1, 2):
            try:
                return call()
            except httpx.HTTPStatusError as error:
                if error.response.status_code in self.NOT_RETRIED:
                    raise
            except httpx.TransportError:
                pass
            RunflowHook.clock.sleep(0.8 * retry)
        return call()


class Resumable(ResumableJobMixin, Rival):
    """(c) On Airflow's own mixin, sync: the run id is kept once the POST has been answered."""

    external_id_key = "runflow_run_id"

    def execute(self, context: Any) -> Any:
        return self.execute_resumable(context)

    def submit_job(self, context: Any) -> Any:
        return self.submit()

    def get_job_status(self, external_id: Any, context: Any) -> str:
        return str(self.read(external_id)["status_code"])

    def is_job_active(self, status: str) -> bool:
        return status in ACTIVE

    def is_job_succeeded(self, status: str) -> bool:
        return status in ("succeeded", "partial_succeeded")

    def poll_until_complete(self, external_id: Any, context: Any) -> Any:
        # The mixin returns this on a reconnect, and get_job_result otherwise.
        return self.save(self.wait(external_id))

    def get_job_result(self, external_id: Any, context: Any) -> Any:
        return self.save(self.read(external_id))


class Deferring(Rival):
    """(c) ... and deferrable, where the mixin does not reach: as the providers that adopted it do."""

    def execute(self, context: Any) -> Any:
        run_id = self.submit()
        self.defer(trigger=RivalTrigger(run_id), method_name="execute_complete")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        return self.save(self.read(event["run_id"]))


class TwoPhase(Rival):
    """(d) A record before and after the POST, in object storage, as common-ai keeps; no look-up at the server."""

    def execute(self, context: Any) -> Any:
        ti = context["ti"]
        identity = json.dumps([ti.dag_id, ti.task_id, ti.run_id, ti.map_index])
        record = Path(self.folder, f".state-{hashlib.sha256(identity.encode()).hexdigest()}.json")
        kept = json.loads(record.read_text()) if record.exists() else {}
        run = self.read(kept["run_id"]) if kept.get("run_id") else None
        if run is None or run["status_code"] == "failed":
            record.write_text(json.dumps({"state": "submitting"}))
            run_id = self.submit()
            record.write_text(json.dumps({"state": "submitted", "run_id": run_id}))
            run = {"id": run_id}
        return self.save(self.wait(run["id"]))


class RivalTrigger(BaseTrigger):
    """Polls one run."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return ("benchmarks.rivals.operators.RivalTrigger", {"run_id": self.run_id})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        connection = await BaseHook.aget_connection("runflow_default")
        headers = {"Authorization": f"Bearer {connection.password}"}
        async with httpx.AsyncClient(
            base_url=str(connection.host), headers=headers, transport=RunflowHook.transport
        ) as http:
            while True:
                run = (await http.get(f"/v1/runs/{self.run_id}")).raise_for_status().json()
                if run["status_code"] not in ACTIVE:
                    break
                await RunflowHook.clock.asleep(POLL_SECONDS)
        yield TriggerEvent({"run_id": self.run_id, "status": run["status_code"]})
