# SPDX-License-Identifier: Apache-2.0
"""Which request is meant: the routes of the API, and what fault rules may know about a request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .faults import Subject
from .reading import FILTER
from .state import State
from .wire import ApiError, Request

SEGMENT = r"[^/]+"
ROUTES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("models", "GET", re.compile(r"/v1/models")),
    ("pricing", "GET", re.compile(rf"/v1/models/({SEGMENT})/pricing")),
    ("model", "GET", re.compile(rf"/v1/models/({SEGMENT}(?:/{SEGMENT})+)(?<!/runs)")),
    ("create", "POST", re.compile(rf"/v1/models/({SEGMENT}(?:/{SEGMENT})+)/runs")),
    ("list", "GET", re.compile(r"/v1/runs")),
    ("statuses", "GET", re.compile(r"/v1/runs/statuses")),
    ("get", "GET", re.compile(rf"/v1/runs/({SEGMENT})")),
    ("logs", "GET", re.compile(rf"/v1/runs/({SEGMENT})/logs")),
    ("log", "GET", re.compile(rf"/v1/runs/({SEGMENT})/logs/({SEGMENT})")),
    ("callback", "GET", re.compile(rf"/v1/runs/({SEGMENT})/callback")),
    ("cancel", "POST", re.compile(rf"/v1/admin/runs/({SEGMENT})/cancellation")),
    ("callback_secret", "POST", re.compile(r"/v1/callback-secrets")),
    ("asset_upload", "POST", re.compile(r"/v1/asset-uploads")),
    ("asset_confirm", "POST", re.compile(rf"/v1/asset-uploads/({SEGMENT})/confirmations")),
    ("asset_types", "GET", re.compile(r"/v1/assets/types")),
    ("asset", "GET", re.compile(rf"/v1/assets/({SEGMENT})")),
    ("me", "GET", re.compile(r"/v1/auth/me")),
    ("balance", "GET", re.compile(r"/v1/billing/balance")),
    ("health", "GET", re.compile(r"/v1/health")),
)
# with any method: the signature says which one is right
OUTPUT = re.compile(rf"/outputs/({SEGMENT})/({SEGMENT})")
ASSET = re.compile(rf"/assets/({SEGMENT})")


@dataclass(frozen=True)
class Match:
    """A route with the variable parts of its path."""

    name: str
    parts: tuple[str, ...] = ()


def match(method: str, path: str) -> Match:
    """Find the route; `missing` and `wrong_method` are routes too, which `check` refuses."""
    output = OUTPUT.fullmatch(path)
    if output is not None:
        return Match("output", output.groups())
    asset = ASSET.fullmatch(path)
    if asset is not None:
        return Match("asset_put" if method == "PUT" else "asset_file", asset.groups())
    known = False
    for name, verb, pattern in ROUTES:
        found = pattern.fullmatch(path)
        if found is not None and verb == method:
            return Match(name, found.groups())
        known = known or found is not None
    return Match("wrong_method" if known else "missing")


def check(route: Match) -> None:
    """Refuse what is no route of the API."""
    # choice: the reference has no codes for these
    if route.name == "missing":
        raise ApiError(404, "NOT_FOUND", "Not found.")
    if route.name == "wrong_method":
        raise ApiError(405, "METHOD_NOT_ALLOWED", "Method not allowed.")


def subject(state: State, route: Match, request: Request) -> Subject:
    """Say what a request is about, for fault rules that look at the prompt or the client_ref."""
    if route.name == "create":
        return _created(request)
    if route.name in ("get", "output", "cancel"):
        run = state.runs.get(route.parts[0])
        return Subject(route.name) if run is None else Subject(route.name, run.prompt, run.client_ref)
    if route.name == "list":
        found = FILTER.fullmatch(request.param("q") or "")
        if found is not None and found.group(1) == "client_ref":
            return Subject("list", None, found.group(2))
    return Subject(route.name)


def _created(request: Request) -> Subject:
    try:
        body = json.loads(request.body)
    except ValueError:
        return Subject("create")
    if not isinstance(body, dict):
        return Subject("create")
    given = body.get("input")
    prompt = given.get("prompt") if isinstance(given, dict) else None
    client_ref = body.get("client_ref")
    return Subject(
        "create",
        prompt if isinstance(prompt, str) else None,
        client_ref if isinstance(client_ref, str) else None,
    )
