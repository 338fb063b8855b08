# SPDX-License-Identifier: Apache-2.0
"""Reading answers whose shape is not known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx

from tests.contract.world import World, small_png


def said(response: httpx.Response) -> str:
    """`404 RUN_NOT_FOUND`."""
    return f"{response.status_code} {code_of(response) or ''}".strip()


def body_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def code_of(response: httpx.Response) -> str | None:
    body = body_of(response)
    return body.get("code") if isinstance(body, dict) else None


def errors_of(response: httpx.Response) -> list[dict[str, Any]]:
    body = body_of(response)
    listed = (body.get("errors") or body.get("detail")) if isinstance(body, dict) else None
    return [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []


def names(response: httpx.Response) -> set[str]:
    return {name.lower() for name in response.headers}


def first_of(query: dict[str, list[str]], name: str) -> str | None:
    return next(iter(query.get(name, [])), None)


def items_of(response: httpx.Response) -> list[dict[str, Any]]:
    body = body_of(response)
    items = body.get("items") if isinstance(body, dict) else body
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def rows(world: World, q: str, **more: str) -> list[dict[str, Any]]:
    return items_of(world.get("/v1/runs", q=q, **more))


def mine(world: World, found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return next((row for row in found if row.get("id") == world.bought.run_id), {})


def filtered(world: World, right: str, wrong: str) -> str:
    """A filter works when it finds the run by the right value and nothing of it by a wrong one."""
    response = world.get("/v1/runs", q=right, fields="id,status_code", limit=500)
    if not response.is_success:
        return f"refused with {said(response)}"
    if not mine(world, items_of(response)):
        return "does not find it"
    other = world.get("/v1/runs", q=wrong, fields="id,status_code", limit=500)
    return "is ignored" if other.is_success and mine(world, items_of(other)) else "works"


def shape(response: httpx.Response) -> Any:
    """The names of the keys, one level deep; of a list, those of its first item."""
    body = body_of(response)
    if not response.is_success:
        return said(response)
    if isinstance(body, list):
        return [sorted(keys(body[0])) if body and isinstance(body[0], dict) else type(body[0]).__name__] if body else []
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        first = body["items"][0] if body["items"] else None
        return {"items": [sorted(keys(first)) if isinstance(first, dict) else type(first).__name__]}
    return sorted(keys(body))


def ticket(world: World) -> httpx.Response:
    body = {"filename": "contract.png", "mime_type": "image/png", "size_bytes": len(small_png())}
    return world.http.post("/v1/asset-uploads", json=body)
