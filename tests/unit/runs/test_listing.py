# SPDX-License-Identifier: Apache-2.0
"""One list of a scope serves all its requests, as long as it is new enough."""

from __future__ import annotations

import pytest

from airflow_provider_runflow.exceptions import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_runflow.runs.listing import Lister
from airflow_provider_runflow.runs.lookup import LookUpRefused
from tests.unit.runs.engine_world import NOON, Runflow, StandingClock, run

REF = "ref"
REFUSED = [
    PermissionDeniedError("no scope runs:read", status=403),
    NotFoundError("no such route", status=404),
    RequestRejectedError("client_ref: unknown filter", status=422),
]
NO_ANSWER = [ServiceUnavailableError("down", status=503), AuthenticationError("wrong key", status=401)]
REDIRECT = RequestRejectedError("moved", status=302)


def runflow(*run_ids: str) -> Runflow:
    api = Runflow(StandingClock())
    for run_id in run_ids:
        api.runs.append(run(run_id=run_id, client_ref=REF, metadata={"n": run_id}))
        api.created[run_id] = NOON
    return api


def refusing(error: ApiError) -> Runflow:
    api = runflow("run-1")

    def on_list() -> None:
        raise error

    api.on_list = on_list
    return api


class TestRefusals:
    @pytest.mark.parametrize("error", REFUSED)
    def test_a_definite_no_is_told_apart_from_no_answer(self, error: ApiError) -> None:
        lister = Lister(refusing(error), StandingClock())
        with pytest.raises(LookUpRefused, match=str(error.message)):
            lister.listing(REF)
        assert lister.is_allowed(REF) is False

    @pytest.mark.parametrize("error", [*NO_ANSWER, REDIRECT])
    def test_without_an_answer_the_error_is_raised_and_the_list_counts_as_allowed(self, error: ApiError) -> None:
        lister = Lister(refusing(error), StandingClock())
        with pytest.raises(type(error)):
            lister.listing(REF)
        assert lister.is_allowed(REF) is True

    def test_who_may_list_is_allowed(self) -> None:
        assert Lister(runflow("run-1"), StandingClock()).is_allowed(REF) is True


class TestSharing:
    def test_one_list_serves_all_that_may_make_do_with_it(self) -> None:
        api = runflow("run-1")
        lister = Lister(api, api.clock)
        assert lister.listing(REF) is lister.listing(REF, after=0, since=NOON)
        assert api.lists == [REF]

    def test_a_list_that_was_begun_before_a_submission_had_ended_is_read_again(self) -> None:
        api = runflow("run-1")
        lister = Lister(api, api.clock)
        first = lister.listing(REF)
        assert lister.listing(REF, after=lister.begun) is not first
        assert api.lists == [REF, REF]

    def test_a_list_that_is_too_old_is_read_again(self) -> None:
        api = runflow("run-1")
        lister = Lister(api, api.clock)
        first = lister.listing(REF)
        api.clock.sleep(1)
        assert lister.listing(REF, since=api.clock.now()) is not first
        assert [first.as_of, lister.listing(REF, since=NOON).as_of] == [NOON, api.clock.now()]

    def test_the_runs_of_a_server_that_ignores_the_filter_are_left_out(self) -> None:
        api = runflow("run-1")
        find = api.find_runs
        other = run(run_id="run-2", client_ref="another", metadata={})
        api.find_runs = lambda *args, **kwargs: [*find(*args, **kwargs), other]  # type: ignore[method-assign,assignment,return-value]
        assert [row.id for row in Lister(api, api.clock).listing(REF).rows] == ["run-1"]


class TestListsWithoutMetadata:
    def test_each_run_is_read_once_however_often_the_list_is(self) -> None:
        api = runflow("run-1", "run-2")
        api.list_metadata = False
        lister = Lister(api, api.clock)
        lister.listing(REF)
        api.set_status("succeeded", "run-1")
        rows = lister.listing(REF, after=lister.begun).rows
        assert [(row.status_code, row.metadata) for row in rows] == [
            ("succeeded", {"n": "run-1"}),
            ("queued", {"n": "run-2"}),
        ]
        assert api.reads == ["run-1", "run-2"]

    def test_a_run_that_is_listed_but_no_longer_kept_is_left_out(self) -> None:
        api = runflow("run-1", "run-2")
        api.list_metadata = False

        def on_read(run_id: str) -> None:
            if run_id == "run-1":
                raise NotFoundError("gone", status=404)

        api.on_read = on_read
        assert [row.id for row in Lister(api, api.clock).listing(REF).rows] == ["run-2"]

    def test_a_run_that_cannot_be_read_makes_the_list_no_answer(self) -> None:
        api = runflow("run-1")
        api.list_metadata = False

        def on_read(run_id: str) -> None:
            raise ServiceUnavailableError("down", status=503)

        api.on_read = on_read
        lister = Lister(api, api.clock)
        with pytest.raises(ServiceUnavailableError):
            lister.listing(REF)
