# SPDX-License-Identifier: Apache-2.0
"""The light table in a real Airflow: approvals walked through, and who may see what, over HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.light_table.hands import answer, request_for
from tests.e2e.light_table.surroundings import LightTable, light_table, token

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightTable]:
    with light_table(tmp_path_factory.mktemp("light-table")) as running:
        yield running


def ask(table: LightTable, path: str, who: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token(table.url, who)}"} if who else {}
    return httpx.get(f"{table.url}{path}", headers=headers, trust_env=False, timeout=30)


def ask_with_the_uis_cookie(table: LightTable, path: str, who: str) -> httpx.Response:
    cookies = {"_token": token(table.url, who)}
    return httpx.get(f"{table.url}{path}", cookies=cookies, trust_env=False, timeout=30)


def shown_in(body: str) -> list[str]:
    """The addresses of the pictures that a request shows."""
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", body)


def instances_of(table: LightTable, dag_id: str, run_id: str) -> dict[tuple[str, int], dict[str, Any]]:
    return {(each["task_id"], each["map_index"]): each for each in table.airflow.api.task_instances(dag_id, run_id)}


def test_a_draft_is_chosen_the_final_approved_and_exactly_that_is_published(table: LightTable) -> None:
    api, dag_id = table.airflow.api, "draft_then_final"
    api.wait_for_dags([dag_id])
    run_id = api.trigger(dag_id)
    drafts = shown_in(request_for(api, dag_id, run_id, "choose")["body"])
    assert len(drafts) == 4
    for address in drafts:
        assert address.startswith("/runflow/dags/draft_then_final/picture?")
        assert ask_with_the_uis_cookie(table, address, "ada").headers["content-type"].startswith("image/")
        assert ask(table, address, None).status_code == 401
    answer(api, dag_id, run_id, "choose", "evening")
    (final,) = shown_in(request_for(api, dag_id, run_id, "approve")["body"])
    seen = ask_with_the_uis_cookie(table, final, "ada").content
    answer(api, dag_id, run_id, "approve", "Approve")
    assert api.wait_for_run(dag_id, run_id, seconds=180, watch=table.airflow.check) == "success"
    published = api.xcom(instances_of(table, dag_id, run_id)["publish", -1])
    assert published["sha256"] == hashlib.sha256(seen).hexdigest()
    path = table.s3_root / published["uri"].removeprefix("s3://")
    assert path.read_bytes() == seen
    # The final was drawn from the draft that was chosen.
    told = api.xcom(instances_of(table, dag_id, run_id)["chosen_draft", -1])
    assert "evening" in told[0]


def test_rejecting_one_of_three_publishes_two(table: LightTable) -> None:
    api, dag_id = table.airflow.api, "mapped_approval"
    api.wait_for_dags([dag_id])
    run_id = api.trigger(dag_id)
    seen = {}
    for index in range(3):
        (address,) = shown_in(request_for(api, dag_id, run_id, "approve", index)["body"])
        seen[index] = hashlib.sha256(ask_with_the_uis_cookie(table, address, "ada").content).hexdigest()
    assert len(set(seen.values())) == 3
    for index, option in enumerate(("Approve", "Reject", "Approve")):
        answer(api, dag_id, run_id, "approve", option, index)
    assert api.wait_for_run(dag_id, run_id, seconds=180, watch=table.airflow.check) == "success"
    done = instances_of(table, dag_id, run_id)
    assert [done["publish", index]["state"] for index in range(3)] == ["success", "skipped", "success"]
    published = {index: api.xcom(done["publish", index])["sha256"] for index in (0, 2)}
    assert published == {0: seen[0], 2: seen[2]}
    assert len(list((table.s3_root / "brand-assets" / "mapped_published").glob("*.png"))) == 2


def test_who_may_not_read_a_dag_sees_neither_its_names_nor_its_pixels(table: LightTable) -> None:
    api, dag_id = table.airflow.api, "secret_campaign"
    api.wait_for_dags([dag_id])
    run_id = api.trigger(dag_id)
    assert api.wait_for_run(dag_id, run_id, seconds=180, watch=table.airflow.check) == "success"
    where = {"run_id": run_id}
    cards = ask(table, f"/runflow/api/dags/{dag_id}/pictures?{httpx.QueryParams(where)}", "bob").json()["cards"]
    digest = cards[0]["sha256"]
    picture = f"/runflow/dags/{dag_id}/pictures/{digest}?{httpx.QueryParams({**where, 'task_id': 'launch'})}"
    assert hashlib.sha256(ask(table, picture, "bob").content).hexdigest() == digest
    for path in (picture, f"/runflow/api/dags/{dag_id}/pictures?{httpx.QueryParams(where)}"):
        assert ask(table, path, None).status_code == 401
        assert ask(table, path, "eve").status_code == 403
        assert ask_with_the_uis_cookie(table, path, "eve").status_code == 403
    assert dag_id in ask(table, "/runflow/api/latest", "bob").text
    assert dag_id not in ask(table, "/runflow/api/latest", "eve").text
    assert "launch" not in ask(table, "/runflow/api/latest", "eve").text
