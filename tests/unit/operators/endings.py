# SPDX-License-Identifier: Apache-2.0
"""
Every cause by which a request ends as it does, with a way to bring it about.

`docs/outcomes.md` is made of it: `python -m tests.unit.operators.endings > docs/outcomes.md`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow import exceptions
from airflow_provider_runflow.exceptions import RunflowError
from airflow_provider_runflow.outcomes import Outcome

if TYPE_CHECKING:
    from tests.harness import Outcome as Ended
    from tests.unit.operators.conftest import World

AGAIN = {"default": "yes", "after": "yes, after the pause that Runflow asks for", "never": "no"}


@dataclass(frozen=True)
class Ending:
    """
    One row.

    :param cause: what happened, for people.
    :param act: brings it about, in a task with one retry; returns how its first try ended.
    :param kind: the exception, ``None`` for success.
    :param outcome: its word.
    :param billed: runs that are billed by then.
    :param money: what is said of the money.
    :param state: of the task after that try, where it is not what ``retry`` of the exception says.
    """

    cause: str
    act: Callable[[World], Ended]
    kind: type[RunflowError] | None
    outcome: Outcome
    billed: int = 0
    money: str = "nothing is billed"

    @property
    def retry(self) -> str:
        """What the last column says."""
        return "-" if self.kind is None else AGAIN[self.kind.retry]

    @property
    def state(self) -> str:
        """How a task with one retry stands then."""
        if self.kind is None:
            return "success"
        return "failed" if self.kind.retry == "never" else "up_for_retry"


def single(world: World, **facts: Any) -> Ended:
    return world.run(world.operator(**{"retries": 1, **facts}))


def at_create(**fault: Any) -> Callable[[World], Ended]:
    return at("create", **fault)


def at(route: str, *, task: dict[str, Any] | None = None, **fault: Any) -> Callable[[World], Ended]:
    def act(world: World) -> Ended:
        world.emulator.add_fault(route=route, **fault)
        return single(world, **(task or {}))

    return act


def status(code: int, route: str = "create", **more: Any) -> Callable[[World], Ended]:
    return at(route, effect="status", status=code, **more)


def other_pixels(world: World) -> Ended:
    world.emulator.configure(picture_size=(64, 48))
    return single(world, image_size="1024x1536")


def no_room_for_a_derivative(world: World) -> Ended:
    return single(world, derivatives=[{"name": "card", "width": 1920, "height": 1080, "max_bytes": 1024}])


def without_balance(world: World) -> Ended:
    world.emulator.configure(balance=0)
    return single(world, check_balance=True)


def taken_name(world: World) -> Ended:
    world.destination.mkdir()
    (world.destination / "hero.png").write_bytes(b"somebody's")
    return single(world, filename_pattern="hero.{ext}")


def no_directory(world: World) -> Ended:
    world.destination.write_text("a file where the directory should be")
    return single(world)


def no_answer_and_no_list(world: World) -> Ended:
    world.emulator.add_fault(route="create", effect="drop_after")
    world.emulator.add_fault(route="list", effect="status", status=403)
    first = single(world, retries=3)
    world.clock.advance(2 * 3600)
    return world.retry(first)


def gone_run(world: World) -> Ended:
    world.emulator.add_fault(route="get", effect="status", status=404)
    return single(world)


def gone_pictures(world: World) -> Ended:
    world.emulator.configure(url_ttl=1)
    world.emulator.add_fault(route="output", effect="status", status=404)
    return single(world)


def without_state_store(world: World) -> Ended:
    world.airflow.refuse("SetTaskStateStore")
    return single(world)


def unreadable_reference(world: World) -> Ended:
    from airflow_provider_runflow.operators.gpt_image_2 import GptImage2EditOperator

    facts = {"prompt": "on marble", "quality": "low", "retries": 1}
    os.environ["AIRFLOW__RUNFLOW__ALLOWED_LOCAL_PATHS"] = str(world.destination.parent)
    try:
        gone = f"file://{world.destination.parent}/gone.png"
        return world.run(world.operator_of(GptImage2EditOperator, references=[gone], **facts))
    finally:
        del os.environ["AIRFLOW__RUNFLOW__ALLOWED_LOCAL_PATHS"]


def items(world: World, **fault: Any) -> Ended:
    world.emulator.add_fault(route="create", prompt_contains="of b", **fault)
    return world.run(world.batch(["a", "b"], retries=1))


ENDINGS = (
    Ending("all pictures are there", single, None, Outcome.SUCCEEDED, 1, "billed once"),
    Ending(
        "fewer pictures than asked for",
        at_create(outcome="partial", images=1, task={"num_images": 2}),
        exceptions.RunPartialError,
        Outcome.PARTIAL,
        1,
        "what came is billed, and landed",
    ),
    Ending(
        "pictures of other pixels than asked for",
        other_pixels,
        exceptions.RunPartialError,
        Outcome.PARTIAL,
        1,
        "billed, and landed",
    ),
    Ending(
        "a derivative that cannot be made",
        no_room_for_a_derivative,
        exceptions.RunPartialError,
        Outcome.PARTIAL,
        1,
        "billed; the master is landed",
    ),
    Ending(
        "the run fails, and its code or message is about content",
        at_create(outcome="blocked"),
        exceptions.RunBlockedError,
        Outcome.BLOCKED,
    ),
    Ending(
        "the run succeeds, and flags its pictures (`nsfw_detected`)",
        at_create(outcome="nsfw"),
        exceptions.RunFlaggedError,
        Outcome.BLOCKED,
        1,
        "billed, and landed; assets are not told",
    ),
    Ending(
        "the run fails, and its code is about the input",
        at_create(outcome="failed", code="INVALID_INPUT"),
        exceptions.RunInvalidError,
        Outcome.INVALID,
    ),
    Ending(
        "the run fails for any other reason, or with a code that nobody knows",
        at_create(outcome="failed", code="GPU_MELTED"),
        exceptions.RunFailedError,
        Outcome.FAILED,
        0,
        "failed runs are not billed; a retry buys anew",
    ),
    Ending(
        "somebody cancels the run",
        at_create(outcome="cancelled"),
        exceptions.RunCancelledError,
        Outcome.CANCELLED,
        1,
        "billed as Runflow says: cancelling does not refund",
    ),
    Ending(
        "the run is still going at the deadline (`timeout`)",
        at_create(outcome="stuck", task={"timeout": 60}),
        exceptions.RunTimeoutError,
        Outcome.TIMED_OUT,
        0,
        "billed if it succeeds; a retry attaches to it",
    ),
    Ending(
        "a parameter breaks a rule",
        lambda world: single(world, prompt="{{ '' }}"),
        exceptions.InvalidRequestError,
        Outcome.INVALID,
    ),
    Ending("Runflow refuses the request: 400, 422", status(422), exceptions.RequestRejectedError, Outcome.INVALID),
    Ending("the model is not there: 404", status(404), exceptions.NotFoundError, Outcome.INVALID),
    Ending("another picture has the name", taken_name, exceptions.NameTakenError, Outcome.INVALID),
    Ending(
        "the balance does not cover it: 402",
        status(402),
        exceptions.InsufficientCreditError,
        Outcome.INSUFFICIENT_CREDIT,
    ),
    Ending(
        "the balance does not cover it, and `check_balance` asked first",
        without_balance,
        exceptions.InsufficientCreditError,
        Outcome.INSUFFICIENT_CREDIT,
    ),
    Ending(
        "it could pass `max_cost_usd`",
        lambda world: single(world, max_cost_usd="0.001"),
        exceptions.BudgetExceededError,
        Outcome.INSUFFICIENT_CREDIT,
    ),
    Ending("too many requests: 429, five times", status(429), exceptions.RateLimitedError, Outcome.THROTTLED),
    Ending(
        "5xx on a read, five times",
        status(503, "list"),
        exceptions.ServiceUnavailableError,
        Outcome.UNAVAILABLE,
    ),
    Ending(
        "no connection to Runflow",
        at("any", effect="drop_before"),
        exceptions.TransportError,
        Outcome.UNAVAILABLE,
    ),
    Ending(
        "an answer that is none",
        at("list", effect="malformed"),
        exceptions.MalformedResponseError,
        Outcome.UNAVAILABLE,
    ),
    Ending("the journal cannot be written", without_state_store, exceptions.JournalError, Outcome.UNAVAILABLE),
    Ending(
        "a submission without a usable answer, and no run of it is listed",
        status(503),
        exceptions.SubmissionUncertainError,
        Outcome.UNKNOWN,
        0,
        "billed if it was accepted; a retry looks before it pays",
    ),
    Ending(
        "the same, long ago, and the key may not list runs",
        no_answer_and_no_list,
        exceptions.SubmissionUnknownError,
        Outcome.UNKNOWN,
        1,
        "billed if it was accepted; nothing more is sent",
    ),
    Ending(
        "Runflow does not know the recorded run: 404",
        gone_run,
        exceptions.RunUnreachableError,
        Outcome.UNKNOWN,
        1,
        "billed if it succeeded; nothing more is sent",
    ),
    Ending("the API key is wrong: 401", status(401), exceptions.AuthenticationError, Outcome.FAILED),
    Ending("the API key may not: 403", status(403), exceptions.PermissionDeniedError, Outcome.FAILED),
    Ending(
        "the connection is not there, or its secrets backend does not answer",
        lambda world: single(world, runflow_conn_id="brand"),
        exceptions.ConnectionUnreadableError,
        Outcome.FAILED,
    ),
    Ending("the destination cannot be used", no_directory, exceptions.DestinationError, Outcome.FAILED),
    Ending(
        "a file that the request refers to cannot be read",
        unreadable_reference,
        exceptions.ReferenceUnreadableError,
        Outcome.FAILED,
    ),
    Ending(
        "a picture cannot be fetched or stored",
        at("output", effect="status", status=503),
        exceptions.LandingError,
        Outcome.FAILED,
        1,
        "billed; a retry lands it for $0",
    ),
    Ending(
        "Runflow has the pictures no more",
        gone_pictures,
        exceptions.OutputsGoneError,
        Outcome.FAILED,
        1,
        "billed, and lost at Runflow",
    ),
    Ending(
        "too few items of a batch succeed, and a retry may change that",
        lambda world: items(world, outcome="failed"),
        exceptions.BatchError,
        Outcome.FAILED,
        1,
        "each item's own; a retry pays for those alone that can still succeed",
    ),
    Ending(
        "too few items of a batch succeed, and no retry can change that",
        lambda world: items(world, outcome="blocked"),
        exceptions.BatchEndedError,
        Outcome.FAILED,
        1,
        "each item's own",
    ),
)

HEAD = """# How a request ends

Eleven words say how a request ended: `succeeded`, `partial`, `blocked`, `invalid`, `throttled`, `unavailable`,
`insufficient_credit`, `failed`, `cancelled`, `timed_out`, `unknown`. They are one closed list
(`airflow_provider_runflow.outcomes.Outcome`), the same in the exceptions (`error.outcome`), in a batch's manifest and
counts, in the Airflow UI's *Pictures*, and in what a retry policy decides by. Runflow's own code for what happened is
kept beside it (`error.code`; `code` in the manifest), whether or not anything here knows it.

A task fails at once where no retry can help, whatever its `retries` say. The exceptions are in
`airflow_provider_runflow.exceptions`; their tree says what happened to the money. `on_blocked="skip"` skips what is
`blocked` instead of failing: the task of a single operator, the item of a batch.

This page is made of `tests/unit/operators/endings.py`: each row is brought about and tested, on workers and deferred.

| what happened | outcome | exception | money | is a retry tried? |
|---|---|---|---|---|
"""
TAIL = """
A code that is about content or about the input is recognised by its words (`content_policy`, `moderation`, `safety`,
`nsfw`, `invalid`, `unsupported`, …), because the API reference lists no codes. What nothing recognises is `failed`.

Two more exceptions need words: `RunBilledError` (the run failed, and Runflow bills it all the same: `failed`, never
tried again) and `RunNotDeliveredError` (a sensor or a transfer waited for a run that somebody else bought, and that
ended without pictures: `failed`).
"""


def page() -> str:
    """Return the page of the documentation."""
    rows = []
    for each in ENDINGS:
        kind = f"`{each.kind.__name__}`" if each.kind else "-"
        rows.append(f"| {each.cause} | `{each.outcome.value}` | {kind} | {each.money} | {each.retry} |")
    return HEAD + "\n".join(rows) + "\n" + TAIL


if __name__ == "__main__":
    print(page(), end="")
