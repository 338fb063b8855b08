# SPDX-License-Identifier: Apache-2.0
"""One hierarchy that says what happened to the money, and whether a retry can help."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.exceptions import (
    AfterMoneyError,
    ApiError,
    BeforeMoneyError,
    RateLimitedError,
    RequestRejectedError,
    RunflowError,
    SubmissionUncertainError,
    TransportError,
    field_error,
)


def classes() -> list[type[RunflowError]]:
    return [
        item
        for _, item in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(item, RunflowError) and item.__module__ == exceptions.__name__
    ]


EVERY = pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)

BEFORE = {
    "BeforeMoneyError": "default",
    "BudgetExceededError": "never",
    "InvalidRequestError": "never",
    "ConfigurationError": "never",
    "ConnectionUnreadableError": "default",
    "DestinationError": "default",
    "NameTakenError": "never",
    "ReferenceUnreadableError": "default",
    "JournalError": "default",
    "ApiError": "default",
    "AuthenticationError": "never",
    "InsufficientCreditError": "never",
    "PermissionDeniedError": "never",
    "NotFoundError": "never",
    "ConflictError": "never",
    "RequestRejectedError": "never",
    "RateLimitedError": "after",
    "ServiceUnavailableError": "default",
    "TransportError": "default",
    "MalformedResponseError": "default",
}
AFTER = {
    "AfterMoneyError": "default",
    "SubmissionUncertainError": "default",
    "SubmissionUnknownError": "never",
    "RunFailedError": "default",
    "RunBilledError": "never",
    "RunBlockedError": "never",
    "RunInvalidError": "never",
    "RunCancelledError": "never",
    "RunUnreachableError": "never",
    "RunTimeoutError": "default",
    "RunNotDeliveredError": "never",
    "RunFlaggedError": "never",
    "RunPartialError": "never",
    "LandingError": "default",
    "OutputsGoneError": "never",
    "BatchError": "default",
    "BatchEndedError": "never",
}
# Whether a callback is believed moves no money: the run can always be read.
CALLBACKS = {
    "CallbackRejectedError": "never",
    "SignatureMissingError": "never",
    "SignatureMismatchError": "never",
    "CallbackExpiredError": "never",
    "CallbackMalformedError": "never",
}


class TestTheHierarchy:
    def test_every_error_of_a_task_is_before_money_or_after_it_and_never_both(self) -> None:
        before = {kind.__name__ for kind in classes() if issubclass(kind, BeforeMoneyError)}
        after = {kind.__name__ for kind in classes() if issubclass(kind, AfterMoneyError)}
        assert (before, after) == (set(BEFORE), set(AFTER))
        assert {kind.__name__ for kind in classes()} == before | after | set(CALLBACKS) | {"RunflowError"}

    @pytest.mark.parametrize(("name", "retry"), [*BEFORE.items(), *AFTER.items(), *CALLBACKS.items()])
    def test_each_says_whether_a_retry_can_help(self, name: str, retry: str) -> None:
        assert getattr(exceptions, name).retry == retry

    def test_a_submission_of_unknown_outcome_is_not_before_money_although_its_cause_is(self) -> None:
        assert not issubclass(SubmissionUncertainError, BeforeMoneyError)
        assert issubclass(TransportError, BeforeMoneyError)

    def test_a_wrong_parameter_is_a_value_error_too(self) -> None:
        assert issubclass(exceptions.InvalidRequestError, ValueError)

    def test_they_are_plain_python(self) -> None:
        assert "import airflow" not in inspect.getsource(exceptions)
        assert all(kind.__mro__[-2] is BaseException for kind in classes())

    def test_the_tree_in_the_documentation_is_the_tree(self) -> None:
        drawn: dict[str, str] = {}
        path: list[tuple[int, str]] = []
        for line in (exceptions.__doc__ or "").splitlines():
            found = re.match(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+Error)\b", line)
            if found:
                depth = len(found["indent"])
                path = [(at, name) for at, name in path if at < depth]
                drawn[found["name"]] = path[-1][1] if path else "Exception"
                path.append((depth, found["name"]))
        assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in classes()}


class TestPickling:
    @EVERY
    def test_every_error_survives_it_with_its_text(self, kind: type[RunflowError]) -> None:
        error = kind("what happened")
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - pickled here
            assert type(other) is kind
            assert str(other) == str(error) == "what happened"

    def test_an_api_error_keeps_its_facts(self) -> None:
        error = RequestRejectedError(
            "no", status=422, code="X", errors=[{"loc": ["a"]}], request_id="r", retry_after=1.5, request="GET /x"
        )
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301 - pickled here

    def test_an_uncertain_submission_keeps_its_cause(self) -> None:
        error = pickle.loads(pickle.dumps(SubmissionUncertainError("sent", TransportError("cut"))))  # noqa: S301 - pickled here
        assert isinstance(error.cause, TransportError)
        assert str(error.cause) == "cut"


class TestTheTextOfAnApiError:
    @pytest.mark.parametrize(
        ("facts", "text"),
        [
            ({}, "no"),
            ({"status": 429}, "HTTP 429: no"),
            ({"code": "RATE_LIMITED"}, "RATE_LIMITED: no"),
            ({"status": 429, "code": "RATE_LIMITED"}, "HTTP 429 RATE_LIMITED: no"),
            ({"request": "GET /v1/runs/1"}, "no (GET /v1/runs/1)"),
            ({"request_id": "req-1"}, "no (request id req-1)"),
            ({"errors": [{"loc": ["body", "input", "quality"], "msg": "bad"}]}, "no [input.quality: bad]"),
            (
                {"status": 422, "errors": [{"msg": "a"}, {"msg": "b"}], "request": "POST /x", "request_id": "req-1"},
                "HTTP 422: no [a; b] (POST /x, request id req-1)",
            ),
        ],
        ids=str,
    )
    def test_it_holds_what_is_known_and_nothing_else(self, facts: dict[str, Any], text: str) -> None:
        assert str(ApiError("no", **facts)) == text

    @pytest.mark.parametrize("kind", [kind for kind in classes() if issubclass(kind, ApiError)])
    def test_each_kind_has_a_sentence_of_help(self, kind: type[ApiError]) -> None:
        assert re.fullmatch(r"[A-Z].*\.", kind.help)

    def test_a_pause_that_was_asked_for_is_kept_for_the_retry_policy(self) -> None:
        assert RateLimitedError("slow down", retry_after=90).retry_after == 90


class TestFieldErrors:
    @pytest.mark.parametrize(
        ("error", "text"),
        [
            ({"loc": ["body", "input", "quality"], "msg": "bad"}, "input.quality: bad"),
            ({"loc": ("body", "input", "image_urls", 0), "msg": "bad"}, "input.image_urls.0: bad"),
            ({"loc": "input.quality", "msg": "bad"}, "input.quality: bad"),
            ({"loc": ["body"], "msg": "bad"}, "bad"),
            ({"loc": [], "msg": "bad"}, "bad"),
            ({"loc": None, "message": "bad"}, "bad"),
            ({"loc": 7, "msg": ["a", "b"]}, "7: ['a', 'b']"),
            ({"loc": ["body", None, {}], "msg": "bad"}, "None.{}: bad"),
            ({"type": "missing"}, "invalid"),
            ({}, "invalid"),
        ],
        ids=str,
    )
    def test_place_and_message_are_shown_whatever_shape_they_have(self, error: dict[str, Any], text: str) -> None:
        assert field_error(error) == text
