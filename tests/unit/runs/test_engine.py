# SPDX-License-Identifier: Apache-2.0
"""The resolution table, row by row, and everything around the one POST that may cost money."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    DestinationError,
    InsufficientCreditError,
    InvalidRequestError,
    JournalError,
    RateLimitedError,
    RequestRejectedError,
    RunBilledError,
    RunBlockedError,
    RunCancelledError,
    RunInvalidError,
    RunUnreachableError,
    ServiceUnavailableError,
    SubmissionUncertainError,
    SubmissionUnknownError,
    TransportError,
)
from airflow_provider_runflow.runs.identity import Request
from airflow_provider_runflow.runs.resolution import KEY_TRUST, SETTLE
from tests.unit.runs.engine_world import CENTS, NOON, OTHER, REQUEST, MemoryJournal, World, record, run, scope


@pytest.fixture
def world() -> World:
    return World()


class TestSubmitting:
    def test_the_intent_is_on_record_before_the_request_is_sent(self, world: World) -> None:
        seen = []
        world.api.on_post = lambda body, accept: (seen.append(world.journal.records[""].state), accept())[1]
        world.attempt()
        assert seen == ["intent"]
        assert [r.state for r in world.journal.history] == ["intent", "submitted"]

    def test_the_run_id_is_on_record_when_resolving_returns(self, world: World) -> None:
        standing = world.attempt()
        assert world.journal.records[""].run_id == standing.record.run_id == "run-1"
        assert not standing.attached

    def test_nothing_is_sent_when_the_intent_cannot_be_recorded(self, world: World) -> None:
        world.journal.refuse_write = lambda r: r.state == "intent"
        with pytest.raises(JournalError, match="intent could not be recorded, so nothing was submitted"):
            world.attempt()
        assert world.api.posts == []

    def test_a_run_id_that_cannot_be_recorded_does_not_stop_the_work_and_the_retry_finds_the_run(
        self, world: World
    ) -> None:
        world.journal.refuse_write = lambda r: r.state == "submitted"
        assert world.attempt().record.run_id == "run-1"
        assert "run-1 could not be recorded" in str(world.log)
        world.journal.refuse_write = lambda r: False
        assert world.attempt().record.run_id == "run-1"
        assert len(world.api.posts) == 1

    def test_what_is_checked_before_the_money_is_checked_before_the_intent(self, world: World) -> None:
        def taken(request: object) -> None:
            raise InvalidRequestError("the name is taken")

        with pytest.raises(InvalidRequestError):
            world.attempt(before_submit=taken)
        assert world.journal.history == []
        assert world.api.posts == []

    def test_runs_carry_what_finds_them_again(self, world: World) -> None:
        world.attempt(metadata={"campaign": "spring"}, callback_url="https://example.org/cb")
        body = world.api.posts[0]
        assert body["client_ref"] == scope().client_ref
        assert body["callback_url"] == "https://example.org/cb"
        assert body["metadata"]["campaign"] == "spring"
        assert body["metadata"]["airflow"] == {
            "dag_id": "campaign",
            "task_id": "hero",
            "run_id": "manual__1",
            "item_key": "",
            "fingerprint": REQUEST.fingerprint,
            "fingerprint_version": 1,
            "ordinal": 0,
        }

    def test_a_request_too_long_to_be_recorded_is_refused_before_it_is_sent(self, world: World) -> None:
        noise = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(40_000))
        with pytest.raises(InvalidRequestError, match="at most 40,000 can be kept"):
            world.attempt(type(REQUEST)(REQUEST.model, {"prompt": noise}))
        assert world.api.posts == []


class TestARecordedRun:
    """Rows 'run id | …' of the table."""

    @pytest.mark.parametrize("status", ["queued", "dispatching", "running", "a_status_of_tomorrow"])
    def test_one_that_goes_on_is_waited_for(self, world: World, status: str) -> None:
        world.attempt()
        world.api.set_status(status)
        standing = world.attempt()
        assert standing.attached
        assert standing.run.status_code == status
        assert len(world.api.posts) == 1

    @pytest.mark.parametrize("status", ["succeeded", "partial_succeeded"])
    def test_one_that_delivered_is_landed(self, world: World, status: str) -> None:
        world.attempt()
        world.api.set_status(status)
        assert world.attempt().run.is_delivered
        assert len(world.api.posts) == 1

    def test_one_that_failed_is_submitted_anew_under_the_next_key(self, world: World) -> None:
        world.attempt()
        world.api.set_status("failed", failure_code="PROVIDER_TIMEOUT")
        standing = world.attempt()
        assert standing.record.run_id == "run-2"
        assert standing.record.ordinal == 1
        first, second = (body["idempotency_key"] for body in world.api.posts)
        assert first != second

    @pytest.mark.parametrize(
        ("code", "message", "kind"),
        [
            ("CONTENT_POLICY_VIOLATION", None, RunBlockedError),
            ("FAILED", "Blocked by moderation", RunBlockedError),
            ("INVALID_INPUT", "bad size", RunInvalidError),
        ],
    )
    def test_one_that_was_blocked_or_refused_is_never_tried_again(
        self, world: World, code: str, message: str | None, kind: type[Exception]
    ) -> None:
        world.attempt()
        world.api.set_status("failed", failure_code=code, failure_message=message)
        with pytest.raises(kind, match=r"Failed runs are not billed.*would fail again"):
            world.attempt()
        assert len(world.api.posts) == 1

    def test_one_that_was_cancelled_stops_and_says_that_it_may_be_billed(self, world: World) -> None:
        world.attempt()
        world.api.set_status("cancelled", cost=CENTS)
        with pytest.raises(RunCancelledError, match=r"does not refund \(Runflow billed \$0.009\)"):
            world.attempt()
        assert len(world.api.posts) == 1

    def test_one_that_failed_and_was_billed_all_the_same_is_not_bought_again_by_itself(self, world: World) -> None:
        world.attempt()
        world.api.set_status("failed", failure_code="PROVIDER_TIMEOUT", cost=CENTS)
        with pytest.raises(RunBilledError, match=r"Yet Runflow says it billed \$0.009"):
            world.attempt()
        assert len(world.api.posts) == 1

    def test_one_that_is_not_found_for_a_moment_may_just_be_new(self, world: World) -> None:
        world.attempt()
        made = world.api.runs.pop()
        assert world.attempt(on_unknown="resubmit").record.run_id == "run-1"
        world.api.runs.append(made)
        assert len(world.api.posts) == 1

    def test_one_that_runflow_does_not_know_stops_as_unknown(self, world: World) -> None:
        world.attempt()
        world.api.runs.clear()
        world.clock.sleep(120)
        with pytest.raises(SubmissionUnknownError) as error:
            world.attempt()
        assert "does not know the recorded run run-1" in str(error.value)
        assert scope().client_ref in str(error.value)
        assert "rf-" in str(error.value)
        assert len(world.api.posts) == 1

    def test_one_that_runflow_does_not_know_is_paid_again_only_at_the_users_word(self, world: World) -> None:
        world.attempt()
        world.api.runs.clear()
        world.clock.sleep(120)
        standing = world.attempt(on_unknown="resubmit")
        assert standing.record.ordinal == 1
        assert "Paying again, as on_unknown='resubmit' says" in str(world.log)

    def test_one_of_another_account_is_not_taken_for_a_run_of_this_one(self, world: World) -> None:
        world.attempt()
        with pytest.raises(SubmissionUnknownError, match="the connection now points at https://staging"):
            world.attempt(account="https://staging#")
        assert len(world.api.posts) == 1

    def test_an_api_that_is_down_means_waiting_not_paying(self, world: World) -> None:
        world.attempt()

        def down(run_id: str) -> None:
            raise ServiceUnavailableError("upstream", status=503)

        world.api.on_read = down
        standing = world.attempt()
        assert standing.record.run_id == "run-1"
        assert not standing.run.is_terminal
        assert len(world.api.posts) == 1

    def test_a_key_that_may_not_read_it_stops_and_says_that_it_is_paid(self, world: World) -> None:
        world.attempt()

        def denied(run_id: str) -> None:
            raise AuthenticationError("bad key", status=401, code="UNAUTHORIZED")

        world.api.on_read = denied
        with pytest.raises(RunUnreachableError, match=r"paid if it succeeds.*attaches to this run for \$0"):
            world.attempt()


class TestTroubleAfterAnUncertainSubmission:
    """From the first unanswered POST on, no error may say that nothing was submitted."""

    def lost(self, world: World) -> None:
        world.api.lag = 60
        world.api.lose_reply()

    def test_a_destination_that_is_down_before_the_second_submission(self, world: World) -> None:
        self.lost(world)

        def down(request: object) -> None:
            if world.api.posts:
                raise DestinationError("S3 is down. Nothing was submitted.")

        with pytest.raises(
            SubmissionUncertainError, match=r"S3 is down\. Before that, the request was submitted"
        ) as error:
            world.attempt(before_submit=down)
        assert "Nothing was submitted" not in str(error.value)

    def test_a_journal_that_is_down_before_the_second_submission(self, world: World) -> None:
        self.lost(world)
        world.journal.refuse_write = lambda r: bool(world.api.posts)
        with pytest.raises(SubmissionUncertainError, match="so a run may exist and bill"):
            world.attempt()

    def test_a_key_that_is_refused_at_the_look_up(self, world: World) -> None:
        self.lost(world)

        def on_list() -> None:
            if world.api.posts:
                raise AuthenticationError("revoked", status=401)

        world.api.on_list = on_list
        with pytest.raises(SubmissionUnknownError, match="Mend that and clear the task: it looks for the run"):
            world.attempt()

    def test_an_intent_of_an_earlier_attempt_counts_as_one(self, world: World) -> None:
        world.journal.records[""] = record("intent")
        world.api.on_list = _raise(ServiceUnavailableError("upstream", status=503))
        with pytest.raises(SubmissionUncertainError, match="so a run may exist and bill"):
            world.attempt()


def _raise(error: Exception):  # type: ignore[no-untyped-def]
    def fault() -> None:
        raise error

    return fault


class TestALostReply:
    """Rows 'intent, or nothing | look-up …'."""

    def test_a_run_that_was_accepted_is_found_and_not_paid_again(self, world: World) -> None:
        world.api.lose_reply()
        standing = world.attempt()
        assert standing.record.run_id == "run-1"
        assert not standing.attached
        assert "the submission got through" in str(world.log)
        assert "pays $0" not in str(world.log)
        assert len(world.api.posts) == 1

    def test_a_request_that_never_arrived_is_sent_again_under_the_same_key_after_the_list_has_settled(
        self, world: World
    ) -> None:
        world.api.lose_request()
        standing = world.attempt()
        first, second = world.api.posts
        assert first == second
        assert standing.record.run_id == "run-1"
        assert world.clock.now() >= NOON + SETTLE

    def test_a_list_that_lags_within_the_settle_window_does_not_make_it_pay_twice(self, world: World) -> None:
        world.api.idempotent = False
        world.api.lag = SETTLE.total_seconds() - 1
        world.api.lose_reply()
        assert world.attempt().record.run_id == "run-1"
        assert world.api.paid == 1

    def test_a_list_that_lags_longer_is_caught_by_the_key(self, world: World) -> None:
        world.api.lag = 3600
        world.api.lose_reply()
        assert world.attempt().record.run_id == "run-1"
        assert len(world.api.posts) == 2
        assert world.api.paid == 1

    def test_a_worker_that_dies_after_the_post_is_followed_by_one_that_attaches(self, world: World) -> None:
        world.api.idempotent = False
        world.api.lose_reply()

        def die() -> None:
            raise KeyboardInterrupt

        world.api.on_list = lambda: die() if world.api.posts else None
        with pytest.raises(KeyboardInterrupt):
            world.attempt()
        assert world.journal.records[""].state == "intent"
        world.api.heal()
        assert world.attempt().record.run_id == "run-1"
        assert world.api.paid == 1

    def test_when_the_look_up_is_down_as_well_the_retry_looks_before_it_pays(self, world: World) -> None:
        world.api.lose_reply()
        world.api.on_list = _broken_after_the_post(world)
        with pytest.raises(SubmissionUncertainError, match="A retry of the task looks for the run before it pays"):
            world.attempt()
        world.api.heal()
        assert world.attempt().record.run_id == "run-1"
        assert world.api.paid == 1

    def test_submissions_that_never_get_an_answer_end_after_three(self, world: World) -> None:
        world.api.lose_request(times=99)
        with pytest.raises(SubmissionUncertainError, match="3 submissions got no usable answer"):
            world.attempt()
        assert len({body["idempotency_key"] for body in world.api.posts}) == 1
        assert len(world.api.posts) == 3

    def test_the_run_of_the_third_submission_is_found_too(self, world: World) -> None:
        left = [2]

        def on_post(body: object, accept: object) -> object:
            if left[0]:
                left[0] -= 1
            else:
                accept()  # type: ignore[operator]
            raise SubmissionUncertainError("time-out")

        world.api.on_post = on_post  # type: ignore[assignment]
        assert world.attempt().record.run_id == "run-1"

    def test_a_run_that_delivered_meanwhile_is_read_whole_since_list_rows_lack_its_outputs(self, world: World) -> None:
        world.attempt()
        world.journal.records.clear()
        world.api.set_status("succeeded", output={"outputs": [{"url": "https://x.example/0.png"}]})
        assert world.attempt().run.output_urls == ["https://x.example/0.png"]

    def test_rows_without_metadata_are_read_one_by_one(self, world: World) -> None:
        world.api.list_metadata = False
        world.api.lose_reply()
        assert world.attempt().record.run_id == "run-1"
        assert world.api.reads == ["run-1"]

    def test_runs_of_other_items_and_other_requests_are_left_alone(self, world: World) -> None:
        world.attempt(scope=scope(item_key="mug"), slot="mug")
        world.attempt(OTHER, scope=scope(item_key="cup"), slot="cup")
        standing = world.attempt()
        assert not standing.attached
        assert world.api.paid == 3


def _broken_after_the_post(world: World):  # type: ignore[no-untyped-def]
    def on_list() -> None:
        if world.api.posts:
            raise ServiceUnavailableError("upstream", status=503)

    return on_list


class TestARefusedLookUp:
    def test_nothing_on_record_means_that_nothing_was_sent(self, world: World) -> None:
        world.api.refuse_list()
        assert world.attempt().record.run_id == "run-1"
        assert "does not let this key list runs" in str(world.log)

    def test_a_young_intent_is_sent_again_under_its_key(self, world: World) -> None:
        world.api.refuse_list()
        world.api.lose_reply()
        assert world.attempt().record.run_id == "run-1"
        assert len(world.api.posts) == 2
        assert world.api.paid == 1

    def test_an_intent_older_than_the_key_is_trusted_stops_as_unknown(self, world: World) -> None:
        world.journal.records[""] = record("intent")
        world.clock.sleep(KEY_TRUST.total_seconds())
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match=r"cannot be known.*Nothing more was submitted"):
            world.attempt()
        assert world.api.posts == []

    def test_an_old_intent_is_paid_again_only_at_the_users_word(self, world: World) -> None:
        world.journal.records[""] = record("intent")
        world.clock.sleep(KEY_TRUST.total_seconds())
        world.api.refuse_list()
        assert world.attempt(on_unknown="resubmit").record.ordinal == 1

    def test_the_age_of_a_key_counts_from_its_first_use(self, world: World) -> None:
        world.api.refuse_list()
        world.api.lose_request(times=99)
        with pytest.raises(SubmissionUncertainError):
            world.attempt()
        world.clock.sleep(KEY_TRUST.total_seconds() - 60)
        with pytest.raises(SubmissionUncertainError):
            world.attempt()
        world.clock.sleep(120)
        with pytest.raises(SubmissionUnknownError, match="cannot be known"):
            world.attempt()

    def test_of_a_destination_nothing_on_record_proves_nothing_since_other_dag_runs_may_have_bought_it(
        self, world: World
    ) -> None:
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers all that may have bought it"):
            world.attempt(scope=scope(reuse_within="destination", destination="s3://b/p"))
        assert world.api.posts == []

    def test_without_a_journal_the_first_try_submits(self, world: World) -> None:
        world.journal.remembers = False
        world.api.refuse_list()
        assert world.attempt().record.run_id == "run-1"

    def test_without_a_journal_a_later_try_stops_as_unknown(self, world: World) -> None:
        world.journal.remembers = False
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            world.attempt(scope=scope(first_try=False))
        assert world.api.posts == []


class TestADefiniteNo:
    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (InsufficientCreditError("balance", status=402), "rejected"),
            (RequestRejectedError("quality", status=422), "rejected"),
            (AuthenticationError("key", status=401), "void"),
            (RateLimitedError("slow down", status=429), "void"),
            (TransportError("never connected"), "void"),
        ],
    )
    def test_it_is_recorded_so_that_nobody_wonders_later(self, world: World, error: Exception, state: str) -> None:
        world.api.refuse_post(error)
        with pytest.raises(type(error)):
            world.attempt()
        assert world.journal.records[""].state == state

    def test_what_never_reached_the_key_is_sent_again_under_the_same_one(self, world: World) -> None:
        world.api.refuse_post(TransportError("never connected"))
        with pytest.raises(TransportError):
            world.attempt()
        world.api.heal()
        world.attempt()
        first, second = (post["idempotency_key"] for post in world.api.posts)
        assert first == second

    def test_the_next_attempt_uses_a_new_key_even_where_lists_are_refused(self, world: World) -> None:
        world.api.refuse_post(InsufficientCreditError("balance", status=402))
        with pytest.raises(InsufficientCreditError):
            world.attempt()
        world.api.heal()
        world.api.refuse_list()
        world.clock.sleep(2 * KEY_TRUST.total_seconds())
        assert world.attempt().record.ordinal == 1

    def test_it_does_not_hide_an_earlier_submission_of_unknown_outcome(self, world: World) -> None:
        answers = [SubmissionUncertainError("time-out"), InsufficientCreditError("balance", status=402)]

        def on_post(body: object, accept: object) -> object:
            raise answers.pop(0)

        world.api.on_post = on_post  # type: ignore[assignment]
        world.api.refuse_list()
        with pytest.raises(
            SubmissionUnknownError, match="without a usable answer, so a run may exist and bill"
        ) as error:
            world.attempt()
        assert "Nothing was submitted" not in str(error.value)
        assert world.journal.records[""].state == "intent"

    @pytest.mark.parametrize(
        "second",
        [
            RateLimitedError("slow down", status=429),
            InsufficientCreditError("balance", status=402),
            TransportError("never connected"),
        ],
    )
    def test_after_a_lost_reply_and_a_lagging_list_it_does_not_lead_to_another_key(
        self, world: World, second: Exception
    ) -> None:
        world.api.lag = 300
        answers: list[Exception] = [SubmissionUncertainError("time-out"), second]

        def on_post(body: object, accept: object) -> object:
            if len(answers) == 2:
                accept()  # type: ignore[operator]
            raise answers.pop(0)

        world.api.on_post = on_post  # type: ignore[assignment]
        with pytest.raises((SubmissionUncertainError, SubmissionUnknownError)):
            world.attempt()
        world.api.heal()
        assert world.attempt(scope=scope(first_try=False)).record.run_id == "run-1"
        assert world.api.paid == 1

    def test_a_retry_that_never_connects_does_not_burn_the_key_of_an_uncertain_submission(self, world: World) -> None:
        world.api.lag = 300
        world.api.lose_reply()
        world.api.on_list = _broken_after_the_post(world)
        with pytest.raises(SubmissionUncertainError):
            world.attempt()
        world.api.heal()
        world.api.refuse_post(TransportError("never connected"))
        with pytest.raises(SubmissionUncertainError):
            world.attempt()
        world.api.heal()
        assert world.attempt().record.run_id == "run-1"
        assert world.api.paid == 1

    def test_a_corrected_request_is_not_held_back_by_a_rejected_one(self, world: World) -> None:
        world.api.refuse_post(InsufficientCreditError("balance", status=402))
        with pytest.raises(InsufficientCreditError):
            world.attempt()
        world.api.heal()
        world.attempt(OTHER)
        assert world.api.posts[-1]["input"]["prompt"] == "a dog"


class TestAKeyThatIsTaken:
    def test_a_run_of_the_same_request_is_attached(self, world: World) -> None:
        world.attempt(metadata={"try": 1})
        world.journal.records.clear()
        world.api.lag = 5
        world.api.created = dict.fromkeys(world.api.created, world.clock.now())
        standing = world.attempt(metadata={"try": 2})
        assert standing.record.run_id == "run-1"
        assert world.api.paid == 1

    def test_when_it_is_not_listed_yet_a_retry_looks_again(self, world: World) -> None:
        world.attempt(metadata={"try": 1})
        world.journal.records.clear()
        world.api.lag = 60
        with pytest.raises(SubmissionUncertainError, match=r"a run exists, but Runflow does not list it yet.*looks"):
            world.attempt(metadata={"try": 2})
        world.clock.sleep(60)
        assert world.attempt(metadata={"try": 2}).record.run_id == "run-1"
        assert world.api.paid == 1

    @pytest.mark.parametrize("trouble", ["it is never listed", "the list is refused"])
    def test_when_no_such_run_is_to_be_found_it_stops(self, world: World, trouble: str) -> None:
        world.attempt(metadata={"try": 1})
        intent = world.journal.history[0]
        world.journal.records[""] = replace(intent, metadata={"try": 2})
        if trouble == "it is never listed":
            world.api.lag = 7 * 24 * 3600
            world.clock.sleep(KEY_TRUST.total_seconds())
        else:
            world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="idempotency key is taken"):
            world.attempt(metadata={"try": 2})
        assert world.api.paid == 1


class TestRetriesAndClears:
    def test_a_retry_that_renders_another_request_resumes_the_first_one_and_names_what_changed(
        self, world: World
    ) -> None:
        world.attempt()
        standing = world.attempt(OTHER)
        assert standing.record.request == REQUEST
        assert "another request than the first one (prompt)" in str(world.log)
        assert world.api.paid == 1

    def test_after_a_clear_the_same_request_is_the_same_run(self, world: World) -> None:
        world.attempt()
        assert world.attempt(scope=scope(go=1)).record.run_id == "run-1"

    def test_after_a_clear_another_request_is_another_picture(self, world: World) -> None:
        world.attempt()
        assert world.attempt(OTHER, scope=scope(go=1)).record.run_id == "run-2"

    def test_a_clear_with_another_request_names_the_run_that_it_leaves_behind(self, world: World) -> None:
        world.attempt()
        world.attempt(OTHER, scope=scope(go=1))
        assert "bought another request: Runflow run run-1" in str(world.log)

    def test_after_a_clear_the_first_request_of_the_new_go_wins(self, world: World) -> None:
        world.attempt()
        world.attempt(scope=scope(go=1))
        assert world.attempt(OTHER, scope=scope(go=1)).record.run_id == "run-1"

    def test_a_retry_that_renders_another_item_key_resumes_the_first_request(self, world: World) -> None:
        world.attempt(scope=scope(item_key="a"))
        standing = world.attempt(scope=scope(item_key="b"))
        assert standing.record.run_id == "run-1"
        assert standing.record.item_key == "a"
        assert "(item_key)" in str(world.log)
        assert world.api.paid == 1

    def test_within_retries_a_clear_buys_anew(self, world: World) -> None:
        world.attempt(scope=scope(reuse_within="retries"))
        bought = world.attempt(scope=scope(reuse_within="retries"))
        assert world.api.paid == 1
        world.engine().remember(bought.record.moved("landed", NOON, result={"images": []}))
        world.attempt(scope=scope(go=1, reuse_within="retries"))
        assert world.api.paid == 2

    def test_within_retries_a_clear_first_brings_what_is_paid_and_has_not_landed(self, world: World) -> None:
        world.attempt(scope=scope(reuse_within="retries"))
        again = world.attempt(scope=scope(go=1, reuse_within="retries"))
        assert again.attached
        assert world.api.paid == 1

    @pytest.mark.parametrize("ended", ["failed", "cancelled"])
    def test_within_retries_a_clear_buys_anew_when_the_run_brought_nothing(self, world: World, ended: str) -> None:
        world.attempt(scope=scope(reuse_within="retries"))
        world.api.set_status(ended)
        again = world.attempt(scope=scope(go=1, reuse_within="retries"))
        assert not again.attached
        assert len(world.api.runs) == 2

    def test_a_retry_keeps_the_scope_that_was_recorded_even_if_the_destination_renders_otherwise(
        self, world: World
    ) -> None:
        monday, tuesday = (scope(reuse_within="destination", destination=f"s3://b/{day}") for day in ("mon", "tue"))
        world.api.lose_reply()
        world.api.on_list = _broken_after_the_post(world)
        with pytest.raises(SubmissionUncertainError):
            world.attempt(scope=monday)
        world.api.heal()
        assert world.attempt(scope=tuesday).record.client_ref == monday.client_ref
        assert world.api.paid == 1

    def test_without_a_journal_the_look_up_alone_finds_the_run(self, world: World) -> None:
        world.journal.remembers = False
        world.api.idempotent = False
        world.attempt()
        world.journal.records.clear()
        assert world.attempt(scope=scope(first_try=False)).record.run_id == "run-1"
        assert world.api.paid == 1

    def test_without_a_journal_a_failed_run_is_followed_by_the_next_ordinal(self, world: World) -> None:
        world.attempt()
        world.api.set_status("failed", failure_code="PROVIDER_TIMEOUT")
        world.journal.records.clear()
        assert world.attempt().record.ordinal == 1

    def test_of_several_runs_the_one_that_delivered_is_taken(self, world: World) -> None:
        world.api.idempotent = False
        world.attempt()
        world.journal.records.clear()
        world.api.lag = 3600
        world.attempt()
        world.journal.records.clear()
        world.api.lag = 0
        world.api.set_status("succeeded", "run-2")
        assert world.attempt().record.run_id == "run-2"

    def test_looking_only_submits_nothing(self, world: World) -> None:
        engine = world.engine()
        assert engine.resolve(REQUEST, None, may_submit=False) is None
        assert world.api.posts == []

    def test_a_landed_record_whose_objects_are_gone_leads_back_to_its_run(self, world: World) -> None:
        standing = world.attempt()
        world.engine().remember(standing.record.moved("landed", NOON, result={"images": []}))
        world.api.set_status("succeeded")
        again = world.attempt()
        assert again.record.run_id == "run-1"
        assert again.record.state == "submitted"

    def test_the_submission_time_of_an_attached_run_is_runflows(self, world: World) -> None:
        world.api.runs.append(
            run(
                "running",
                client_ref=scope().client_ref,
                created_at=(NOON - timedelta(minutes=5)).isoformat(),
                metadata={"airflow": {"item_key": "", "fingerprint": REQUEST.fingerprint, "ordinal": 0}},
            )
        )
        world.api.created["run-1"] = NOON - timedelta(minutes=5)
        assert world.attempt().record.submitted_at == NOON - timedelta(minutes=5)


class TestAJournalThatForgets:
    """``[state_store] clear_on_success``, or a person who deleted the task's state."""

    def test_after_a_clear_it_is_no_proof_that_nothing_was_sent(self, world: World) -> None:
        world.attempt()
        world.journal.records.clear()
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            world.attempt(scope=scope(go=3, clears=1, first_try=False))

    def test_nor_is_what_it_holds_of_another_request_which_may_have_taken_its_place(self, world: World) -> None:
        world.attempt()
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            world.attempt(OTHER, scope=scope(go=3, clears=1, first_try=False))


class TestMetadataThatChanges:
    def test_a_retry_sends_the_metadata_that_went_with_the_key_first(self, world: World) -> None:
        world.api.refuse_list()
        world.api.lose_reply(times=3)
        with pytest.raises(SubmissionUncertainError):
            world.attempt(metadata={"build": "1"})
        world.api.heal()
        world.api.refuse_list()
        assert world.attempt(metadata={"build": "2"}).record.run_id == "run-1"
        assert world.api.paid == 1

    def test_a_next_submission_keeps_it_too(self, world: World) -> None:
        world.attempt(metadata={"build": "1"})
        world.api.set_status("failed")
        world.attempt(metadata={"build": "2"})
        assert [post["metadata"]["build"] for post in world.api.posts] == ["1", "1"]


class TestWithoutAJournal:
    """Airflow 3.1 and 3.2: what Runflow lists is the only memory."""

    @pytest.fixture
    def world(self) -> World:
        return World(journal=MemoryJournal(remembers=False))

    @staticmethod
    def try_(world: World, request: Request = REQUEST, **where: Any) -> Any:
        world.journal.records.clear()
        return world.attempt(request, scope=scope(**where))

    def test_a_retry_that_renders_another_prompt_resumes_the_first_request(self, world: World) -> None:
        self.try_(world)
        again = self.try_(world, OTHER, first_try=False)
        assert (again.record.run_id, again.attached) == ("run-1", True)
        assert again.record.fingerprint == REQUEST.fingerprint
        assert "rendered another request" in str(world.log)

    def test_after_a_clear_another_prompt_is_another_picture(self, world: World) -> None:
        self.try_(world)
        assert self.try_(world, OTHER, go=3, first_try=False).record.run_id == "run-2"

    def test_in_a_destination_scope_another_prompt_is_another_picture(self, world: World) -> None:
        where = {"reuse_within": "destination", "destination": "s3://b/p"}
        self.try_(world, **where)
        assert self.try_(world, OTHER, first_try=False, **where).record.run_id == "run-2"

    def test_a_retry_gives_a_list_that_lags_the_time_to_catch_up(self, world: World) -> None:
        world.api.lag, world.api.idempotent = SETTLE.total_seconds() - 1, False
        self.try_(world)
        assert self.try_(world, OTHER, first_try=False).record.run_id == "run-1"

    def test_it_does_so_after_a_failed_run_as_well(self, world: World) -> None:
        self.try_(world)
        world.api.set_status("failed")
        world.api.lag, world.api.idempotent = SETTLE.total_seconds() - 1, False
        world.clock.sleep(60)
        self.try_(world, first_try=False)
        assert self.try_(world, first_try=False).record.run_id == "run-2"

    def test_a_first_try_need_not_wait(self, world: World) -> None:
        self.try_(world)
        assert world.clock.now() == NOON

    def test_a_retry_within_the_hour_trusts_the_key_when_the_list_is_refused(self, world: World) -> None:
        world.api.refuse_list()
        self.try_(world, since=NOON)
        world.clock.sleep(600)
        assert self.try_(world, first_try=False, literal=True, since=NOON).record.run_id == "run-1"

    def test_but_not_when_a_template_may_have_made_another_request(self, world: World) -> None:
        world.api.refuse_list()
        self.try_(world, since=NOON)
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            self.try_(world, first_try=False, since=NOON)

    @pytest.mark.parametrize("since", [None, NOON - timedelta(hours=2)], ids=["unknown", "old"])
    def test_it_stops_when_the_key_may_be_too_old(self, world: World, since: datetime | None) -> None:
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            self.try_(world, first_try=False, literal=True, since=since)


class TestMappedListsThatShift:
    def test_the_same_request_under_another_index_is_found_after_a_clear(self, world: World) -> None:
        world.attempt(scope=scope(map_index=0))
        standing = World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=1, clears=1))
        assert (standing.record.run_id, standing.record.item_key) == ("run-1", "0")
        assert world.api.paid == 1

    def test_equal_items_of_one_list_are_bought_apart(self, world: World) -> None:
        for index in (0, 1):
            World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=index))
        assert world.api.paid == 2

    def test_after_a_clear_each_of_the_equal_items_finds_its_own(self, world: World) -> None:
        for clears in (0, 1):
            found = [
                World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=index, clears=clears))
                for index in (0, 1)
            ]
        assert [standing.record.run_id for standing in found] == ["run-1", "run-2"]

    def test_an_item_key_needs_no_such_guess(self, world: World) -> None:
        world.attempt(scope=scope(map_index=0, item_key="a"))
        World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=1, item_key="b", clears=1))
        assert world.api.paid == 2

    def test_a_destination_scope_finds_it_in_an_earlier_dag_run(self, world: World) -> None:
        where = {"reuse_within": "destination", "destination": "s3://b/p"}
        world.attempt(scope=scope(map_index=0, since=NOON, **where))
        world.clock.sleep(60)
        World(clock=world.clock, api=world.api).attempt(scope=scope(map_index=1, since=world.clock.now(), **where))
        assert world.api.paid == 1

    def test_it_stops_when_the_list_is_refused_since_no_journal_knows_other_indexes(self, world: World) -> None:
        world.api.refuse_list()
        with pytest.raises(SubmissionUnknownError, match="no journal covers"):
            world.attempt(scope=scope(map_index=1, clears=1))
