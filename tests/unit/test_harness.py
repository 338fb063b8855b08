# SPDX-License-Identifier: Apache-2.0
"""The harness itself: does it behave as Airflow does?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from tests.harness import HAS_TASK_STATE_STORE, Airflow, in_dag, register


class EchoTrigger(BaseTrigger):
    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (f"{__name__}.EchoTrigger", {"word": self.word})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent({"word": self.word, "status": "done"})


class Echo(BaseOperator):
    template_fields = ("word",)

    def __init__(self, *, word: str, fail_on: tuple[int, ...] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word = word
        self.fail_on = fail_on

    def execute(self, context: Any) -> Any:
        context["ti"].xcom_push("seen", self.word)
        if "task_state_store" in context:
            context["task_state_store"].set("tries", [*self._tries(context), context["ti"].try_number])
        if context["ti"].try_number in self.fail_on:
            raise ValueError("not this time")
        self.defer(trigger=EchoTrigger(self.word), method_name="execute_complete", kwargs={"extra": 1})

    def _tries(self, context: Any) -> Any:
        return context["task_state_store"].get("tries", [])

    def execute_complete(self, context: Any, event: dict[str, Any], extra: int = 0) -> dict[str, Any]:
        return {**event, "extra": extra}


def echo(**arguments: Any) -> Echo:
    with in_dag():
        return Echo(task_id="echo", **arguments)


def test_a_task_is_rendered_deferred_fired_and_resumed(airflow: Airflow) -> None:
    op = echo(word="{{ dag_run.run_after | ds }}")
    deferred = airflow.run(op)
    assert deferred.state == "deferred"
    assert deferred.trigger_kwargs == {"word": "2026-03-02"}
    done = airflow.resume(airflow.fire(deferred))
    assert done.state == "success", done.error
    assert airflow.xcom(op) == {"word": "2026-03-02", "status": "done", "extra": 1}
    assert airflow.rendered[done.attempt.scope] == {"word": "2026-03-02"}


def test_a_failed_try_may_be_retried_until_its_retries_are_used_up(airflow: Airflow) -> None:
    op = echo(word="w", fail_on=(1, 2), retries=1)
    first = airflow.run(op)
    assert (first.state, str(first.error)) == ("up_for_retry", "not this time")
    second = airflow.retry(first)
    assert second.state == "failed"
    third = airflow.clear(second)
    assert third.attempt.max_tries == 3
    assert airflow.settle(third).state == "success"


def test_xcoms_are_gone_at_the_next_try_and_the_state_store_is_not(airflow: Airflow) -> None:
    op = echo(word="w", fail_on=(1,), retries=1)
    first = airflow.run(op)
    airflow.xcoms[first.attempt.scope]["stale"] = "x"
    airflow.retry(first)
    assert airflow.xcom(op, "stale") is None
    if HAS_TASK_STATE_STORE:
        assert airflow.state_store(op) == {"tries": [1, 2]}


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="the task state store came with Airflow 3.3")
def test_a_refused_state_write_is_an_error_in_the_task(airflow: Airflow) -> None:
    airflow.refuse("SetTaskStateStore")
    outcome = airflow.run(echo(word="w"))
    assert outcome.state == "failed"
    assert "SetTaskStateStore" in str(outcome.error)


def test_a_dead_trigger_resumes_the_task_with_the_failure(airflow: Airflow) -> None:
    op = echo(word="w")
    dead = airflow.trigger_failure(airflow.run(op), reason="Trigger failure")
    outcome = airflow.resume(dead)
    assert type(outcome.error).__name__ == "TaskDeferralError"


def test_connections_and_variables_of_the_server_are_found(airflow: Airflow) -> None:
    airflow.connections["shop"] = {"conn_type": "http", "host": "shop.example"}
    airflow.variables["colour"] = "teal"
    op = echo(word="{{ conn.shop.host }} {{ var.value.colour }}")
    assert airflow.run(op).trigger_kwargs == {"word": "shop.example teal"}


def test_dag_test_runs_a_registered_dag(airflow_db: None) -> None:
    with in_dag("registered") as dag:
        Echo(task_id="echo", word="w")
    assert register(dag).test().state == "success"
