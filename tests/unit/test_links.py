# SPDX-License-Identifier: Apache-2.0
"""Where the button of a task instance leads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_runflow.links import RunflowRunLink, run_url
from airflow_provider_runflow.runs.identity import TaskIdentity
from tests.unit.client.fakes import RUN_ID

TASK = TaskIdentity("campaign", "hero", "manual__2026-03-02T06:00:00+00:00")


class TestTheAddress:
    def test_the_connections_template_gets_the_run_id(self) -> None:
        assert run_url("https://app.runflow.io/runs/{run_id}", RUN_ID, TASK) == f"https://app.runflow.io/runs/{RUN_ID}"

    def test_every_place_of_the_template_gets_it_and_other_braces_stay(self) -> None:
        template = "https://x.test/{run_id}?q={'{run_id}'}&o={org}"
        assert run_url(template, "r1", TASK) == "https://x.test/r1?q={'r1'}&o={org}"

    @pytest.mark.parametrize(
        ("run_id", "escaped"), [("a/b", "a%2Fb"), ("a?b=1#c", "a%3Fb%3D1%23c"), ("{x}", "%7Bx%7D")]
    )
    def test_an_id_cannot_change_where_the_address_leads(self, run_id: str, escaped: str) -> None:
        assert run_url("https://x.test/{run_id}", run_id, TASK) == f"https://x.test/{escaped}"

    @pytest.mark.parametrize("template", [None, ""])
    def test_without_a_template_it_is_the_tasks_pictures(self, template: str | None) -> None:
        assert run_url(template, RUN_ID, TASK) == (
            "/dags/campaign/runs/manual__2026-03-02T06%3A00%3A00%2B00%3A00/tasks/hero/plugin/runflow-pictures-task"
        )

    def test_of_a_mapped_task_it_is_the_tab_of_that_instance(self) -> None:
        mapped = TaskIdentity("campaign", "hero", "r", map_index=0)
        assert run_url(None, RUN_ID, mapped) == "/dags/campaign/runs/r/tasks/hero/mapped/0/plugin/runflow-pictures-task"


class TestTheButton:
    def test_it_leads_where_the_operator_remembered(self) -> None:
        operator = SimpleNamespace(run_url="https://app.runflow.io/runs/1")
        assert RunflowRunLink().get_link(operator, ti_key=None) == "https://app.runflow.io/runs/1"

    @pytest.mark.parametrize("operator", [SimpleNamespace(), SimpleNamespace(run_url=None)])
    def test_before_there_is_a_run_it_leads_nowhere(self, operator: SimpleNamespace) -> None:
        assert RunflowRunLink().get_link(operator, ti_key=None) == ""

    def test_its_name_and_its_xcom_key_are_stable(self) -> None:
        assert RunflowRunLink().name == "Runflow run"
        assert RunflowRunLink().xcom_key == "_link_RunflowRunLink"
