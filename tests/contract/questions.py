# SPDX-License-Identifier: Apache-2.0
"""What no source tells about Runflow, as questions that can be asked of it. Each answer is short and comparable.

`seen` is what stood behind an answer: figures and names, never ids, URLs or keys. Most questions are free; those that
buy are few, at low quality, and go through `World.pay`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from airflow_provider_runflow.client.assets import REF_PREFIX
from airflow_provider_runflow.exceptions import ApiError
from tests.contract.reading import (
    code_of,
    errors_of,
    filtered,
    first_of,
    items_of,
    keys,
    mine,
    names,
    rows,
    said,
    shape,
    ticket,
)
from tests.contract.world import EDIT, MODEL, World

Seen = dict[str, Any]
Ask = Callable[[World], tuple[Any, Seen]]

NOT_ASKED = "not asked"
NO_RUN = "019e0000-0000-7000-8000-000000000000"
#: The fields of the run object in the API reference, section 4.
RUN_FIELDS = frozenset({
    "id", "flow_id", "model_id", "comfyui_workflow_id", "target_type", "target_version", "org_id", "status_code",
    "source_code", "input", "output", "context", "duration_ms", "cost", "cost_breakdown", "nodes_total",
    "nodes_completed", "resolved_template_id", "batch_id", "client_ref", "jurisdiction_code", "flow_version_id",
    "request_id", "created_by", "created_at", "started_at", "completed_at", "callback_url", "metadata", "has_logs",
    "has_node_runs", "links", "failure_code", "failure_message", "failure_stage_code", "node_runs",
})  # fmt: skip


@dataclass(frozen=True)
class Question:
    name: str
    text: str
    ask: Ask


QUESTIONS: list[Question] = []


def question(text: str) -> Callable[[Ask], Ask]:
    def keep(ask: Ask) -> Ask:
        QUESTIONS.append(Question(ask.__name__, text, ask))
        return ask

    return keep


# ------------------------------------------------------------------------------------------ submitting


@question("Does creating a run honour the header Idempotency-Key?")
def idempotency(world: World) -> tuple[Any, Seen]:
    first, second = world.bought.response, world.replay
    if not second.is_success:
        return f"refused with {said(second)}", {}
    again = second.json()["id"] == first.json()["id"]
    return "replays the first answer" if again else "creates another run", {
        "status": [first.status_code, second.status_code],
        "same_body": first.content == second.content,
    }


@question("Which headers does a replayed answer have that the first has not?")
def idempotency_replay_marker(world: World) -> tuple[Any, Seen]:
    return sorted(names(world.replay) - names(world.bought.response)), {}


@question("What happens when the key is used again with another body?")
def idempotency_other_body(world: World) -> tuple[Any, Seen]:
    if not world.replay.is_success or world.replay.json()["id"] != world.bought.run_id:
        return f"{NOT_ASKED}: the key is not honoured", {}
    changed = {**world.bought.body, "metadata": {"another": "body"}}
    response = world.pay(MODEL, changed, world.bought.key)
    if not response.is_success:
        return f"refused with {said(response)}", {}
    same = response.json()["id"] == world.bought.run_id
    return "replays the first answer" if same else "creates another run", {}


@question("Which status and status_code does a created run have?")
def created(world: World) -> tuple[Any, Seen]:
    body = world.bought.response.json()
    return [world.bought.response.status_code, body["status_code"]], {"source_code": body.get("source_code")}


@question("What is said to a request without a prompt, and where does the error name the field?")
def missing_prompt(world: World) -> tuple[Any, Seen]:
    response = world.refused({"quality": "low"})
    errors = errors_of(response)
    return {
        "status": response.status_code,
        "code": code_of(response),
        "keys": sorted(keys(response.json())),
        "error_keys": sorted({key for error in errors for key in error}),
        "loc": next((error.get("loc") for error in errors if "prompt" in str(error.get("loc"))), None),
    }, {}


@question("Which limits do the errors of a wholly wrong input name?")
def input_limits(world: World) -> tuple[Any, Seen]:
    wrong = {
        "num_images": 11,
        "quality": "nonsense",
        "output_format": "tiff",
        "image_size": {"width": 1081, "height": 1350},
        "no_such_input": 1,
    }
    found: dict[str, list[str]] = {}
    for error in errors_of(world.refused(wrong)):
        where = ".".join(map(str, error.get("loc") or ())).removeprefix("body.").removeprefix("input.")
        found.setdefault(where, []).append(str(error.get("msg") or error.get("message")))
    return found, {}


@question("May five and ten pictures be asked for at once?")
def num_images(world: World) -> tuple[Any, Seen]:
    def allowed(number: int) -> bool:
        errors = errors_of(world.refused({"quality": "low", "num_images": number}))
        return not any("num_images" in str(error.get("loc")) for error in errors)

    return {str(number): allowed(number) for number in (4, 5, 10)}, {}


# -------------------------------------------------------------------------------------- finding again


@question("How long after its creation does a list by client_ref show a run?")
def list_lag(world: World) -> tuple[Any, Seen]:
    seconds = world.bought.listed_after
    if seconds is None:
        return "not within a minute", {}
    steps = ((2.0, "within 2 s"), (10.0, "within 10 s"), (60.0, "within a minute"))
    return next(name for limit, name in steps if seconds <= limit), {"seconds": round(seconds, 2)}


@question("Do rows of the list carry metadata?")
def list_metadata(world: World) -> tuple[Any, Seen]:
    whole = mine(world, rows(world, f"client_ref.EQ:'{world.ref}'"))
    named = mine(world, rows(world, f"client_ref.EQ:'{world.ref}'", fields="id,status_code,metadata"))
    return {
        "whole rows": whole.get("metadata") == world.metadata,
        "rows of fields=id,status_code,metadata": named.get("metadata") == world.metadata,
    }, {}


@question("Which filters find the run, and only that?")
def list_filters(world: World) -> tuple[Any, Seen]:
    right, wrong = world.ref, f"{world.ref}.other"
    run_id = world.run.id
    filters = {
        "client_ref.EQ:'…'": (f"client_ref.EQ:'{right}'", f"client_ref.EQ:'{wrong}'"),
        "client_ref.eq:'…'": (f"client_ref.eq:'{right}'", f"client_ref.eq:'{wrong}'"),
        "client_ref:…": (f"client_ref:{right}", f"client_ref:{wrong}"),
        "client_ref:'…'": (f"client_ref:'{right}'", f"client_ref:'{wrong}'"),
        "client_ref='…'": (f"client_ref='{right}'", f"client_ref='{wrong}'"),
        "id.EQ:'…'": (f"id.EQ:'{run_id}'", f"id.EQ:'{NO_RUN}'"),
        "client_ref.EQ:'…' AND status_code.EQ:'…'": (
            f"client_ref.EQ:'{right}' AND status_code.EQ:'succeeded'",
            f"client_ref.EQ:'{right}' AND status_code.EQ:'failed'",
        ),
        "client_ref.IN:('…')": (f"client_ref.IN:('{right}')", f"client_ref.IN:('{wrong}')"),
        "metadata": (f"metadata.airflow.item.EQ:'größe/ß' AND client_ref.EQ:'{right}'", f"metadata.a.EQ:'{wrong}'"),
    }
    return {name: filtered(world, *pair) for name, pair in filters.items()}, {}


@question("Does fields= leave exactly the named fields, and may they be spread over commas and spaces?")
def list_fields(world: World) -> tuple[Any, Seen]:
    def left(text: str) -> Any:
        response = world.get("/v1/runs", q=f"client_ref.EQ:'{world.ref}'", fields=text)
        return sorted(mine(world, items_of(response))) if response.is_success else said(response)

    return {text: left(text) for text in ("id,status_code", "id, status_code", "id,no_such_field")}, {}


@question("Which keys has a page beside its items, and are limit=500 and sort_by=created_at:asc taken?")
def list_page(world: World) -> tuple[Any, Seen]:
    response = world.get("/v1/runs", limit=500, sort_by="created_at:asc", fields="id,status_code")
    over = world.get("/v1/runs", limit=501, fields="id,status_code")
    page_keys = sorted(keys(response.json()) - {"items"}) if response.is_success else said(response)
    return {"keys": page_keys, "limit=501": said(over)}, {}


@question("How many rows has a page when no limit is asked for?")
def list_default_limit(world: World) -> tuple[Any, Seen]:
    page = world.get("/v1/runs", fields="id,status_code").json()
    more = bool(page.get("next") or page.get("next_pq"))
    return len(page["items"]) if more else "unknown: there are too few runs", {}


# ------------------------------------------------------------------------------------------ the result


@question("Which fields of a run are not in the reference, and which of the reference's are missing?")
def run_fields(world: World) -> tuple[Any, Seen]:
    has = set(world.raw_run)
    return {"more": sorted(has - RUN_FIELDS), "missing": sorted(RUN_FIELDS - has)}, {}


@question("How is the cost written?")
def cost(world: World) -> tuple[Any, Seen]:
    before, after = world.bought.response.json().get("cost"), world.raw_run["cost"]
    breakdown = world.raw_run.get("cost_breakdown")
    return {"when created": before, "when ended": type(after).__name__}, {
        "cost": after,
        "cost_breakdown": sorted(keys(breakdown)),
    }


@question("Which shape has the output, and its first item?")
def output_shape(world: World) -> tuple[Any, Seen]:
    output = world.raw_run["output"] or {}
    first = (output.get("outputs") or [{}])[0]
    return {"output": sorted(output), "item": sorted(keys(first))}, {"timing": output.get("timing")}


@question("Is the URL of a plain read signed, for how long, and anew at every read?")
def output_url(world: World) -> tuple[Any, Seen]:
    first, second = (world.client.get_run(world.run.id).output_urls[0] for _ in range(2))
    query = parse_qs(urlsplit(first).query)
    return {
        "signed": "X-Amz-Signature" in query,
        "seconds": first_of(query, "X-Amz-Expires"),
        "anew": first != second,
    }, {"headers": sorted(names(httpx.get(first, timeout=60)))}


@question("What does the add_signature parameter change?")
def add_signature(world: World) -> tuple[Any, Seen]:
    body = world.get(f"/v1/runs/{world.run.id}", add_signature="true").json()
    changed = sorted(key for key in body if key != "output" and body[key] != world.raw_run.get(key))
    return {"output keys": sorted(body["output"] or {}), "other fields that differ": changed}, {}


@question("Which fields has a log line, and does an ended run have any?")
def logs(world: World) -> tuple[Any, Seen]:
    items = items_of(world.get(f"/v1/runs/{world.run.id}/logs"))
    return {"any": bool(items), "keys": sorted(keys(items[0])) if items else []}, {
        "count": len(items),
        "levels": sorted({str(item.get("level_code")) for item in items}),
    }


@question("What is said to the cancellation of a run that has ended?")
def cancel_ended(world: World) -> tuple[Any, Seen]:
    body = {"reason": "contract test of a finished run"}
    return said(world.http.post(f"/v1/admin/runs/{world.run.id}/cancellation", json=body)), {}


# ------------------------------------------------------------------------------------------ the account


@question("Which codes have errors?")
def error_codes(world: World) -> tuple[Any, Seen]:
    nobody = httpx.Client(base_url=world.target.base_url, headers={"Authorization": "Bearer rf_live_not-a-key"})
    with nobody:
        return {
            "unknown run": said(world.get(f"/v1/runs/{NO_RUN}")),
            "unknown model": said(world.refused({"quality": "low"}, "openai/no-such-model")),
            "made-up key": said(nobody.get("/v1/auth/me")),
            "no body": said(world.http.post(f"/v1/models/{MODEL}/runs")),
        }, {}


@question("Which answer header carries a request id, and are there rate-limit headers?")
def response_headers(world: World) -> tuple[Any, Seen]:
    found = names(world.bought.response)
    return {
        "request id": sorted(name for name in found if "request-id" in name or "correlation" in name),
        "rate limit": sorted(name for name in found if "ratelimit" in name or name == "retry-after"),
    }, {"all": sorted(found)}


@question("Which shapes have the statuses, the account, the health check and the balance?")
def shapes(world: World) -> tuple[Any, Seen]:
    paths = ("/v1/runs/statuses", "/v1/auth/me", "/v1/health", "/v1/billing/balance", "/v1/assets/types")
    return {path: shape(world.get(path)) for path in paths}, {}


@question("Which statuses can a run have?")
def statuses(world: World) -> tuple[Any, Seen]:
    return sorted(world.client.statuses()), {}


@question("How does the catalogue describe the model's inputs?")
def model_inputs(world: World) -> tuple[Any, Seen]:
    response = world.get(f"/v1/models/{MODEL}")
    if not response.is_success:
        return said(response), {}
    card = world.client.catalogue.get(MODEL)
    return {field.name: [field.variable_type_code, field.is_required] for field in card.inputs}, {
        "keys": sorted(keys(response.json())),
        "limits": {field.name: [field.validator_code, field.validator_attrs] for field in card.inputs},
        "defaults": {field.name: field.default_value for field in card.inputs},
    }


@question("Which prices does the catalogue name?")
def model_prices(world: World) -> tuple[Any, Seen]:
    try:
        rules = list(world.client.catalogue.pricing(MODEL))
    except ApiError as error:
        return f"refused with {error.status} {error.code}", {}
    return [[rule.match_value, rule.dimension_code, str(rule.price), rule.unit_code] for rule in rules], {}


# --------------------------------------------------------------------------------------------- assets


@question("For how long may an upload URL be used, and which headers does it sign?")
def upload_url(world: World) -> tuple[Any, Seen]:
    response = ticket(world)
    if not response.is_success:
        return said(response), {}
    query = parse_qs(urlsplit(response.json()["upload_url"]).query)
    return {
        "seconds": first_of(query, "X-Amz-Expires"),
        "signed headers": first_of(query, "X-Amz-SignedHeaders"),
    }, {"keys": sorted(response.json())}


@question("What is said to a confirmation without an upload, and to a second one?")
def confirmations(world: World) -> tuple[Any, Seen]:
    never = ticket(world)
    if not never.is_success:
        return said(never), {}

    def confirm(asset_id: str) -> str:
        return said(world.http.post(f"/v1/asset-uploads/{asset_id}/confirmations", json={}))

    return {"nothing uploaded": confirm(never.json()["asset_id"]), "again": confirm(world.asset.id)}, {}


@question("Does an Edit run take a runflow://assets reference, and how does it read back?")
def asset_reference(world: World) -> tuple[Any, Seen]:
    if world.get(f"/v1/models/{EDIT}").status_code == 404:
        return f"{NOT_ASKED}: there is no {EDIT}", {}
    given = {"prompt": "make it blue", "image_urls": [world.asset.ref], "quality": "low"}
    response = world.pay(EDIT, {"input": given, "client_ref": f"{world.ref}.edit"})
    if not response.is_success:
        return f"refused with {said(response)}", {"errors": [str(error.get("msg")) for error in errors_of(response)]}
    run = world.ended(response.json()["id"])
    back = (world.get(f"/v1/runs/{run.id}").json().get("input") or {}).get("image_urls") or [""]
    kind = "the reference" if str(back[0]).startswith(REF_PREFIX) else "a URL"
    return {"ends": run.status_code, "reads back as": kind}, {"failure_code": run.failure_code, "cost": str(run.cost)}
