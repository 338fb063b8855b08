# SPDX-License-Identifier: Apache-2.0
"""One run is asked for: may it still bring what was paid for?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import NotFoundError, ServiceUnavailableError
from airflow_provider_runflow.runs.lookup import may_deliver, read_or_wait
from airflow_provider_runflow.runs.polling import NOT_FOUND_FOR
from tests.unit.runs.engine_world import ACCOUNT, NOON, Lines, Runflow, StandingClock, record, run

RECORD = record(run_id="run-1", submitted_at=NOON)


def runflow(status: str | None = None, error: Exception | None = None) -> Runflow:
    """A Runflow with one run, or none; or one that answers every read with an error."""
    api = Runflow(StandingClock())
    api.runs = [] if status is None else [run(status)]
    if error is not None:

        def on_read(run_id: str) -> None:
            raise error

        api.on_read = on_read
    return api


class TestMayDeliver:
    @pytest.mark.parametrize(
        ("status", "may"),
        [
            ("queued", True),
            ("running", True),
            ("succeeded", True),
            ("partial", True),
            ("failed", False),
            ("cancelled", False),
        ],
    )
    def test_a_run_may_as_long_as_it_has_not_ended_without_pictures(self, status: str, may: bool) -> None:
        assert may_deliver(runflow(status), RECORD, ACCOUNT, NOON) is may

    @pytest.mark.parametrize(("record_of", "may"), [(ACCOUNT, True), ("https://elsewhere#", False)])
    def test_a_submission_without_a_run_id_may_in_its_own_account_and_nobody_is_asked(
        self, record_of: str, may: bool
    ) -> None:
        api = runflow("succeeded")
        assert may_deliver(api, replace(RECORD, run_id=None, account=record_of), ACCOUNT, NOON) is may
        assert api.reads == []

    def test_a_run_of_another_account_may_not_and_is_not_asked_for_with_this_key(self) -> None:
        api = runflow("succeeded")
        assert may_deliver(api, replace(RECORD, account="https://elsewhere#"), ACCOUNT, NOON) is False
        assert api.reads == []

    @pytest.mark.parametrize(("age", "may"), [(timedelta(0), True), (NOT_FOUND_FOR, False)])
    def test_a_run_that_is_not_found_may_only_while_it_is_new(self, age: timedelta, may: bool) -> None:
        assert may_deliver(runflow(), RECORD, ACCOUNT, NOON + age) is may

    def test_a_run_that_is_not_found_may_not_if_nobody_knows_how_old_it_is(self) -> None:
        assert may_deliver(runflow(), replace(RECORD, submitted_at=None), ACCOUNT, NOON) is False

    def test_a_run_may_while_runflow_does_not_answer(self) -> None:
        down = runflow("failed", ServiceUnavailableError("down", status=503))
        assert may_deliver(down, RECORD, ACCOUNT, NOON) is True


class TestReadOrWait:
    def test_a_run_is_read(self) -> None:
        assert read_or_wait(runflow("succeeded"), "run-1", Lines()).status_code == "succeeded"

    @pytest.mark.parametrize("error", [ServiceUnavailableError("down", status=503), NotFoundError("no", status=404)])
    def test_a_run_that_cannot_be_read_counts_as_one_that_goes_on_and_the_log_says_why(self, error: Any) -> None:
        log = Lines()
        found = read_or_wait(runflow("succeeded", error), "run-1", log)
        assert (found.id, found.is_terminal) == ("run-1", False)
        assert "run-1" in str(log)
        assert str(error) in str(log)
