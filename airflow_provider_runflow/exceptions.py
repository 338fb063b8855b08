# SPDX-License-Identifier: Apache-2.0
"""
Everything that can go wrong, in one hierarchy that says what happened to the money.

::

    RunflowError
    ├── BeforeMoneyError                nothing was submitted by this attempt
    │   ├── InvalidRequestError         a parameter breaks a rule (also a ``ValueError``)
    │   ├── ConfigurationError          connection, config or package set-up
    │   │   └── ConnectionUnreadableError  not there, or its keeper does not answer
    │   ├── BudgetExceededError         it could pass max_cost_usd
    │   ├── DestinationError            the bucket or prefix cannot be used
    │   │   └── NameTakenError          another picture has that name
    │   ├── ReferenceUnreadableError    a file that the request refers to cannot be read
    │   ├── JournalError                the intent could not be recorded
    │   └── ApiError                    Runflow said no, or nothing at all
    │       ├── AuthenticationError     401
    │       ├── InsufficientCreditError 402
    │       ├── PermissionDeniedError   403
    │       ├── NotFoundError           404
    │       ├── ConflictError           409
    │       ├── RequestRejectedError    400, 422, any other 4xx, a redirect
    │       ├── RateLimitedError        429
    │       ├── ServiceUnavailableError 5xx
    │       ├── TransportError          no HTTP answer
    │       └── MalformedResponseError  a 2xx that is not what the API promises
    ├── CallbackRejectedError           a callback that is not to be believed; no task's money hangs on it
    │   ├── SignatureMissingError       not signed
    │   ├── SignatureMismatchError      signed with another secret, or over another body
    │   ├── CallbackExpiredError        rightly signed, too long ago
    │   └── CallbackMalformedError      rightly signed, but not a callback
    └── AfterMoneyError                 a run exists, or may exist
        ├── SubmissionUncertainError    sent, no usable answer; a retry looks before it pays
        ├── SubmissionUnknownError      sent, no usable answer, and nothing can tell
        ├── RunFailedError              failed; failed runs are not billed
        │   ├── RunBilledError          failed, and billed all the same
        │   ├── RunBlockedError         stopped by content moderation
        │   └── RunInvalidError         the model refused its input
        ├── RunCancelledError           cancelled; cancelling does not refund
        ├── RunNotDeliveredError        failed or cancelled, and bought elsewhere: nothing to wait for or to land
        ├── RunUnreachableError         recorded here, but Runflow does not show it to this account
        ├── RunTimeoutError             still going at the deadline
        ├── RunFlaggedError             delivered and billed, but flagged as not safe for work; it is landed
        ├── RunPartialError             fewer pictures or derivatives, or other pixels, than asked for; all is landed
        ├── LandingError                paid, but not yet in the bucket
        │   └── OutputsGoneError        paid, and Runflow no longer has the pictures
        └── BatchError                  too few items of a batch have succeeded
            └── BatchEndedError         ... and no retry can change that

Each class says whether a retry of the task can help (:attr:`RunflowError.retry`):
``"never"``, ``"after"`` (a given number of seconds) or ``"default"`` (the task's own retries).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from airflow_provider_runflow.outcomes import Outcome

Retry = Literal["never", "after", "default"]


class RunflowError(Exception):
    """
    Base of every error that this package raises on purpose.

    ``told`` is its whole text for the person on call, once the task has ended with it. ``code`` is Runflow's own code
    for what happened, where it gave one: of an HTTP error, or a run's ``failure_code``.
    """

    retry: ClassVar[Retry] = "default"
    outcome: ClassVar[Outcome] = Outcome.FAILED
    told: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        return self.told or super().__str__()


class BeforeMoneyError(RunflowError):
    """Nothing was submitted by this attempt, so nothing is billed for it."""


class InvalidRequestError(BeforeMoneyError, ValueError):
    """
    A parameter breaks a rule; the message names parameter, value and rule.

    A retry never helps: correct the DAG or its data.
    """

    retry = "never"
    outcome = Outcome.INVALID


class ConfigurationError(BeforeMoneyError):
    """The connection, a ``[runflow]`` option or the installation is wrong; a retry never helps."""

    retry: ClassVar[Retry] = "never"


class ConnectionUnreadableError(ConfigurationError):
    """The connection is not there, or its keeper does not answer: Airflow does not tell which, so a retry may help."""

    retry = "default"


class BudgetExceededError(BeforeMoneyError):
    """It could pass ``max_cost_usd``, so it is not submitted; a retry never helps until that is raised."""

    retry = "never"
    outcome = Outcome.INSUFFICIENT_CREDIT


class DestinationError(BeforeMoneyError):
    """The destination cannot be used; found before anything was submitted."""


class NameTakenError(DestinationError):
    """Another picture has the name that this request would land under; a retry never helps."""

    retry = "never"
    outcome = Outcome.INVALID


class ReferenceUnreadableError(BeforeMoneyError):
    """A private file that a request refers to is not there, or its store does not answer; a retry may help."""


class JournalError(BeforeMoneyError):
    """The journal could not be read or written, so nothing was sent; a retry may help."""

    outcome = Outcome.UNAVAILABLE


class ApiError(BeforeMoneyError):
    """
    Runflow answered with an error, or did not answer.

    :param message: what the server said, or what failed on the way to it.
    :param status: HTTP status, ``None`` when there was no HTTP answer.
    :param code: the envelope's ``code``, for example ``RATE_LIMITED``.
    :param errors: the envelope's ``errors``, a list of ``{loc, msg, ...}``.
    :param request_id: a request id from the answer, if it carried one.
    :param retry_after: seconds that the server asked to wait.
    :param request: method and path of the request (never its query, body or headers).
    :param connection: whose credentials or host are in question; the text begins with it.
    """

    help: ClassVar[str] = "A retry of the task may help."

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        request: str = "",
        connection: str = "",
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.errors = errors or []
        self.request_id = request_id
        self.retry_after = retry_after
        self.request = request
        self.connection = connection
        super().__init__(message)

    def __str__(self) -> str:
        if self.told:
            return self.told
        said = [f"HTTP {self.status}" if self.status else "", self.code or ""]
        parts = (self.connection, " ".join(part for part in said if part), self.message)
        text = ": ".join(part for part in parts if part)
        fields = "; ".join(field_error(error) for error in self.errors)
        if fields:
            text = f"{text.rstrip('.')} [{fields}]"
        tail = [self.request, f"request id {self.request_id}" if self.request_id else ""]
        tail_text = ", ".join(part for part in tail if part)
        return f"{text.rstrip('.')} ({tail_text})" if tail_text else text

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_api_error, (type(self), self.message, dict(self.__dict__)))


def _rebuild_api_error(cls: type[ApiError], message: str, state: dict[str, Any]) -> ApiError:
    error = cls(message)
    error.__dict__.update(state)
    return error


def field_error(error: dict[str, Any]) -> str:
    """Render one item of a validation error's ``errors`` as ``input.quality: message``."""
    loc = error.get("loc")
    parts = [str(part) for part in loc if part != "body"] if isinstance(loc, (list, tuple)) else [str(loc or "")]
    where = ".".join(part for part in parts if part)
    said = str(error.get("msg") or error.get("message") or "invalid")
    return f"{where}: {said}" if where else said


class AuthenticationError(ApiError):
    """401: the API key is missing or wrong; a retry never helps."""

    retry = "never"
    help = "Correct the API key in the connection's password field, then clear the task."


class InsufficientCreditError(ApiError):
    """402: the balance does not cover the run; a retry never helps until it is topped up."""

    retry = "never"
    outcome = Outcome.INSUFFICIENT_CREDIT
    help = "Top up the balance, then clear the task."


class PermissionDeniedError(ApiError):
    """403: the key lacks a scope, or the account may not do this; a retry never helps."""

    retry = "never"
    help = (
        "Give the API key the scopes that the request needs (runs:create and runs:read; assets:create for uploads, "
        "credit_balance:read for the balance) or use another key, then clear the task."
    )


class NotFoundError(ApiError):
    """404: no such model or run for this account; a retry never helps."""

    retry = "never"
    outcome = Outcome.INVALID
    help = "Check the model id, the connection's host and its organisation, then clear the task."


class ConflictError(ApiError):
    """409: the idempotency key was used with another body, or a request is in flight."""

    retry = "never"
    help = "Look for the run at Runflow, then clear the task."


class RequestRejectedError(ApiError):
    """400, 422, another 4xx or a redirect: the request is wrong; a retry never helps."""

    retry = "never"
    outcome = Outcome.INVALID
    help = "Correct what Runflow names, then clear the task."


class RateLimitedError(ApiError):
    """429 after all tries; a retry helps after :attr:`ApiError.retry_after` seconds."""

    retry = "after"
    outcome = Outcome.THROTTLED
    help = "A retry of the task helps after a pause."


class ServiceUnavailableError(ApiError):
    """5xx after all tries; a retry may help."""

    outcome = Outcome.UNAVAILABLE


class TransportError(ApiError):
    """No HTTP answer (DNS, connection, TLS, time-out); a retry may help."""

    outcome = Outcome.UNAVAILABLE


class MalformedResponseError(ApiError):
    """A 2xx answer whose body is not what the API promises; a retry may help."""

    outcome = Outcome.UNAVAILABLE


class CallbackRejectedError(RunflowError):
    """A callback that is not to be believed. Answer 4xx to its sender; the run itself can always be read."""

    retry = "never"


class SignatureMissingError(CallbackRejectedError):
    """The callback has no signature."""


class SignatureMismatchError(CallbackRejectedError):
    """The signature does not fit the body."""


class CallbackExpiredError(CallbackRejectedError):
    """The callback is older than the tolerance that was asked for."""


class CallbackMalformedError(CallbackRejectedError):
    """The signature is right, but the body is not what the API promises."""


class AfterMoneyError(RunflowError):
    """A run exists, or may exist. Retrying the task never submits it a second time."""


class SubmissionUncertainError(AfterMoneyError):
    """
    A submission got no usable answer, so a run may exist; a retry looks for it before it pays.

    :param message: what was sent and what came back.
    :param cause: the transport, 5xx or malformed-answer error behind it.
    """

    outcome = Outcome.UNKNOWN

    def __init__(self, message: str, cause: ApiError | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class SubmissionUnknownError(AfterMoneyError):
    """Nothing can tell whether the request was accepted, so nothing more is sent; a person must look."""

    retry = "never"
    outcome = Outcome.UNKNOWN


class RunFailedError(AfterMoneyError):
    """The run failed and was not billed; a retry submits it anew."""


class RunBilledError(RunFailedError):
    """The run failed, yet Runflow says that it billed it; submitting it again would pay twice."""

    retry = "never"


class RunBlockedError(RunFailedError):
    """The run was stopped by content moderation; the same request will be again."""

    retry = "never"
    outcome = Outcome.BLOCKED


class RunInvalidError(RunFailedError):
    """The run failed since the model refused its input; the same request will fail again."""

    retry = "never"
    outcome = Outcome.INVALID


class RunCancelledError(AfterMoneyError):
    """Someone cancelled the run; cancelling does not refund, so it is not submitted again by itself."""

    retry = "never"
    outcome = Outcome.CANCELLED


class RunNotDeliveredError(AfterMoneyError):
    """Runs that another task or person bought ended without pictures; only who bought them can buy them anew."""

    retry = "never"


class RunUnreachableError(AfterMoneyError):
    """A recorded run that this connection may not read, or that Runflow does not know (any more)."""

    retry = "never"
    outcome = Outcome.UNKNOWN


class RunTimeoutError(AfterMoneyError):
    """The run was still going at the deadline; it goes on and bills, and a retry attaches to it."""

    outcome = Outcome.TIMED_OUT


class RunFlaggedError(AfterMoneyError):
    """All pictures are delivered and billed, and flagged as not safe for work; the same request would be again."""

    retry = "never"
    outcome = Outcome.BLOCKED


class RunPartialError(AfterMoneyError):
    """
    Fewer pictures or derivatives than asked for, or pictures of other pixels.

    What there is is landed; a retry would find the same.
    """

    retry = "never"
    outcome = Outcome.PARTIAL


class LandingError(AfterMoneyError):
    """The pictures are paid but not yet stored; a retry lands the same run for $0."""


class OutputsGoneError(LandingError):
    """The pictures are paid, but Runflow no longer hands them out; a retry never helps."""

    retry = "never"


class BatchError(AfterMoneyError):
    """Too few items of a batch have succeeded; a retry tries those that still can, and pays for nothing twice."""


class BatchEndedError(BatchError):
    """Too few items of a batch have succeeded, and no retry can change that."""

    retry = "never"
