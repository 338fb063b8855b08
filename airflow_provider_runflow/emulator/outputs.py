# SPDX-License-Identifier: Apache-2.0
"""The pictures of runs: their presigned URLs, and serving what those point at as S3 would."""

from __future__ import annotations

from .pictures import PictureCache, PictureSpec
from .presign import refusal, signed_url
from .runs import Run
from .state import Call, State
from .wire import Response, storage_error

CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def output_path(run: Run, index: int) -> str:
    """Give the path of one picture."""
    return f"/outputs/{run.id}/{index}.{EXTENSIONS[run.format]}"


def signed_urls(state: State, run: Run, call: Call) -> list[str]:
    """Sign the URL of every picture that is there."""
    return [signed_url(state, call, output_path(run, index)) for index in range(run.delivered(call.now))]


def serve_output(state: State, cache: PictureCache, call: Call, run_id: str, name: str) -> Response:
    """Answer a request for one picture."""
    refused = refusal(state, call)
    if refused is not None:
        return refused
    spec = _find(state, call, run_id, name)
    if spec is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.", Key=call.request.path[1:])
    headers = {"content-type": CONTENT_TYPES[spec.format], "etag": f'"{spec.digest}"', "server": "AmazonS3"}
    return Response(200, headers, render=lambda: cache.get(spec))


def _find(state: State, call: Call, run_id: str, name: str) -> PictureSpec | None:
    run = state.runs.get(run_id)
    if run is None:
        return None
    for index in range(run.delivered(call.now)):
        if output_path(run, index).endswith(f"/{name}"):
            return run.picture(index)
    return None
