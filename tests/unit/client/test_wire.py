# SPDX-License-Identifier: Apache-2.0
"""Reading what Runflow sends: lenient, since a paid run must never be lost to a null or an odd value."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_runflow.client.wire import Page, Row, Rows, Run, output_urls, read_row, read_rows
from tests.unit.client.fakes import RUN_ID

URL = "https://bucket.s3.eu-central-1.amazonaws.com/outputs/a.png?X-Amz-Signature=secret"
OTHER = "https://bucket.s3.eu-central-1.amazonaws.com/outputs/b.png?X-Amz-Signature=secret"

# The create answer of the reference's section 18b: every field of the run object.
FULL: dict[str, Any] = {
    "id": RUN_ID,
    "flow_id": None,
    "model_id": "5b9a2d0e-0000-4000-8000-000000000001",
    "comfyui_workflow_id": None,
    "target_type": "model",
    "target_version": None,
    "org_id": "5b9a2d0e-0000-4000-8000-000000000002",
    "status_code": "succeeded",
    "source_code": "api",
    "input": {"prompt": "a cat"},
    "output": {"outputs": [{"url": URL, "type": "image"}], "seed": None, "timing": None, "nsfw_detected": None},
    "context": None,
    "duration_ms": 10234,
    "cost": "0.133000",
    "cost_breakdown": None,
    "nodes_total": None,
    "client_ref": "af.campaign.hero",
    "request_id": "req-1",
    "created_at": "2026-05-06T10:00:00.000Z",
    "started_at": "2026-05-06T10:00:01+00:00",
    "completed_at": "2026-05-06T10:01:42.000+00:00",
    "callback_url": None,
    "metadata": {"airflow": {"ordinal": 0}},
    "has_logs": False,
    "links": {},
    "failure_code": None,
    "failure_message": None,
    "failure_stage_code": None,
    "node_runs": [],
}


def read(**changes: Any) -> Run:
    return Run.model_validate({**FULL, **changes})


class TestARun:
    def test_the_run_object_of_the_reference_is_read_in_full(self) -> None:
        run = Run.model_validate(FULL)
        assert (run.id, run.status_code, run.client_ref) == (RUN_ID, "succeeded", "af.campaign.hero")
        assert run.cost == Decimal("0.133")
        assert run.duration_ms == 10234
        assert run.metadata == {"airflow": {"ordinal": 0}}
        assert run.created_at == datetime(2026, 5, 6, 10, 0, tzinfo=timezone.utc)
        assert run.completed_at == datetime(2026, 5, 6, 10, 1, 42, tzinfo=timezone.utc)
        assert run.output_urls == [URL]

    def test_every_field_but_id_and_status_may_be_null(self) -> None:
        run = Run.model_validate(dict.fromkeys(FULL) | {"id": RUN_ID, "status_code": "running"})
        assert (run.cost, run.output, run.metadata, run.created_at) == (None, None, None, None)
        assert run.output_urls == []

    def test_every_field_but_id_and_status_may_be_absent(self) -> None:
        assert Run.model_validate({"id": RUN_ID, "status_code": "queued"}).request_id is None

    def test_unknown_fields_are_ignored(self) -> None:
        assert read(a_field_of_next_year={"deep": [1]}).id == RUN_ID

    @pytest.mark.parametrize("body", [{"run_id": RUN_ID}, {"id": None, "run_id": RUN_ID}])
    def test_the_id_is_also_read_as_run_id_as_comfyui_endpoints_send_it(self, body: dict[str, Any]) -> None:
        assert Run.model_validate({**body, "status_code": "queued"}).id == RUN_ID

    def test_the_stage_of_a_failure_is_read_under_both_of_its_names(self) -> None:
        assert read(failure_stage_code="dispatch").failure_stage_code == "dispatch"
        assert read(failure_stage_code=None, failure_stage="dispatch").failure_stage_code == "dispatch"

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"status_code": "queued"},
            {"id": None, "status_code": "queued"},
            {"id": "", "status_code": "queued"},
            {"id": RUN_ID},
            {"id": RUN_ID, "status_code": None},
            {"id": RUN_ID, "status_code": ["queued"]},
            [],
            [FULL],
            "queued",
            None,
            7,
        ],
    )
    def test_without_id_or_status_it_is_no_run(self, wrong: Any) -> None:
        with pytest.raises(ValidationError):
            Run.model_validate(wrong)

    def test_its_repr_shows_no_presigned_query(self) -> None:
        assert "X-Amz-Signature" not in repr(Run.model_validate(FULL))


class TestStatus:
    @pytest.mark.parametrize("spelling", ["canceled", "cancelled"])
    def test_both_spellings_of_cancelled_are_one_terminal_status(self, spelling: str) -> None:
        run = read(status_code=spelling)
        assert run.status_code == "cancelled"
        assert run.is_terminal
        assert not run.is_delivered

    @pytest.mark.parametrize("status", ["succeeded", "partial_succeeded"])
    def test_a_delivered_run_is_terminal_and_has_pictures(self, status: str) -> None:
        assert read(status_code=status).is_terminal
        assert read(status_code=status).is_delivered

    def test_a_failed_run_is_terminal_and_has_no_pictures(self) -> None:
        assert read(status_code="failed").is_terminal
        assert not read(status_code="failed").is_delivered

    @pytest.mark.parametrize("status", ["queued", "dispatching", "running"])
    def test_an_active_run_is_not_terminal(self, status: str) -> None:
        assert not read(status_code=status).is_terminal

    @pytest.mark.parametrize("status", ["processing", "timeout", "SUCCEEDED", ""])
    def test_an_unknown_status_counts_as_one_that_can_still_change(self, status: str) -> None:
        assert not read(status_code=status).is_terminal
        assert not read(status_code=status).is_delivered


class TestMoney:
    @pytest.mark.parametrize(
        ("sent", "read_as"),
        [
            ("0.133000", "0.133000"),
            ("0", "0"),
            (0.133, "0.133"),
            (1, "1"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ],
    )
    def test_cost_is_an_exact_decimal_whether_sent_as_text_or_number(self, sent: Any, read_as: str) -> None:
        assert read(cost=sent).cost == Decimal(read_as)

    @pytest.mark.parametrize(
        "odd", [None, "", "-", "free", "NaN", "sNaN", "Infinity", float("nan"), [1], {"usd": 1}, True]
    )
    def test_a_cost_that_is_no_amount_is_unknown_and_loses_no_run(self, odd: Any) -> None:
        assert read(cost=odd).cost is None


class TestOddValues:
    @pytest.mark.parametrize("odd", [[1], "text", 5, True, []])
    def test_a_list_or_scalar_where_an_object_is_promised_is_read_as_nothing(self, odd: Any) -> None:
        run = read(metadata=odd, output=odd)
        assert (run.metadata, run.output, run.output_urls) == (None, None, [])

    @pytest.mark.parametrize("odd", [1.5, "10234", [1], {"ms": 1}])
    def test_a_duration_that_is_no_whole_number_is_unknown(self, odd: Any) -> None:
        assert read(duration_ms=odd).duration_ms is None

    def test_numbers_of_any_length_are_read(self) -> None:
        assert read(duration_ms=10**300, cost=10**300).cost == Decimal(10**300)

    @pytest.mark.parametrize("odd", [5, "yesterday", "2026-13-01T00:00:00Z", "2026-05-06T10:00:00", [], {}])
    def test_a_time_that_is_no_time_or_names_no_zone_is_unknown(self, odd: Any) -> None:
        assert read(created_at=odd).created_at is None

    def test_texts_sent_as_numbers_are_read_as_text(self) -> None:
        run = read(failure_code=502, failure_message=["a"], client_ref=7)
        assert (run.failure_code, run.failure_message, run.client_ref) == ("502", "['a']", "7")


class TestOutputUrls:
    @pytest.mark.parametrize(
        ("output", "urls"),
        [
            ({"outputs": [{"url": URL, "type": "image"}, {"url": OTHER, "type": "image"}]}, [URL, OTHER]),
            ({"outputs": [URL, OTHER]}, [URL, OTHER]),
            ({"image_urls": [URL, OTHER]}, [URL, OTHER]),
            ({"images": [{"url": URL}, OTHER]}, [URL, OTHER]),
            ({"image": {"url": URL}}, [URL]),
            ({"image": URL}, [URL]),
            ({"url": URL}, [URL]),
            ({"output_url": URL}, [URL]),
            ({"image_url": URL}, [URL]),
            ({"image": [URL]}, [URL]),
            ({"image": [URL], "mask": [OTHER]}, [URL, OTHER]),
            ({"9": [URL, OTHER]}, [URL, OTHER]),
        ],
        ids=str,
    )
    def test_every_shape_that_runflows_own_clients_read_gives_all_urls_in_order(
        self, output: dict[str, Any], urls: list[str]
    ) -> None:
        assert output_urls(output) == urls

    def test_the_unified_shape_wins_over_others_beside_it(self) -> None:
        assert output_urls({"image_urls": [OTHER], "outputs": [{"url": URL}], "url": OTHER}) == [URL]

    def test_an_empty_unified_list_does_not_hide_another_shape(self) -> None:
        assert output_urls({"outputs": [], "image_urls": [URL]}) == [URL]

    @pytest.mark.parametrize(
        "output",
        [
            None,
            {},
            {"outputs": None},
            {"outputs": []},
            {"outputs": "pending"},
            {"outputs": [None, {}, {"url": None}, {"url": 7}, 5]},
            {"image": None, "seed": [1, 2], "timing": {"url": None}},
            {"outputs": [{"url": "runflow://assets/1"}, {"url": "data:image/png;base64,AA=="}, {"url": "file:///etc"}]},
        ],
        ids=str,
    )
    def test_what_holds_no_http_address_gives_none(self, output: dict[str, Any] | None) -> None:
        assert output_urls(output) == []


class TestAPage:
    def test_it_has_rows_and_the_cursor_of_the_next_page(self) -> None:
        page = Page.model_validate({"items": [FULL], "first": None, "next": "c2", "previous": None})
        assert [run.id for run in page.items] == [RUN_ID]
        assert page.next == "c2"

    @pytest.mark.parametrize("end", [{"next": None}, {}, {"next": None, "next_pq": None}])
    def test_at_the_end_there_is_no_cursor(self, end: dict[str, Any]) -> None:
        assert Page.model_validate({"items": [], **end}).next is None

    @pytest.mark.parametrize("named", [{"next_pq": "c2"}, {"next": None, "next_pq": "c2"}])
    def test_the_cursor_is_also_read_under_the_name_that_the_prose_uses(self, named: dict[str, Any]) -> None:
        assert Page.model_validate({"items": [], **named}).next == "c2"

    def test_rows_of_a_projection_need_id_and_status_only(self) -> None:
        page = Page.model_validate({"items": [{"id": RUN_ID, "status_code": "running"}]})
        assert page.items[0].metadata is None

    @pytest.mark.parametrize("odd", [{}, {"items": None}, {"items": {}}, {"items": [None]}, [], None])
    def test_a_page_that_cannot_be_read_whole_is_not_read_at_all(self, odd: Any) -> None:
        # Dropping a row would hide a paid run from the look-up, and the request would be bought again.
        with pytest.raises(ValidationError):
            Page.model_validate(odd)


class TestRowsForPolling:
    def test_say_the_same_as_the_whole_run(self) -> None:
        row, whole = read_row(FULL), Run.model_validate(FULL)
        assert row == Row(whole.id, whole.status_code, whole.created_at, whole.client_ref)

    @pytest.mark.parametrize(
        ("data", "row"),
        [
            ({"run_id": "r", "status_code": "canceled"}, Row("r", "cancelled")),
            ({"id": None, "run_id": "r", "status_code": "new"}, Row("r", "new")),
            ({"id": "r", "status_code": "running", "created_at": "yesterday"}, Row("r", "running")),
            ({"id": "r", "status_code": None}, None),
            ({"id": "", "status_code": "running"}, None),
            ({"id": 7, "status_code": "running"}, None),
            ("r", None),
        ],
    )
    def test_are_as_lenient_as_can_be(self, data: Any, row: Row | None) -> None:
        assert read_row(data) == row

    def test_one_that_cannot_be_read_does_not_spoil_the_page(self) -> None:
        page = read_rows({"items": [{"id": "r", "status_code": "running"}, {"id": "s"}], "next": None, "next_pq": "c"})
        assert page == Rows([Row("r", "running")], "c")

    @pytest.mark.parametrize("data", [None, [], {}, {"items": None}, {"items": [{"id": "r"}]}])
    def test_a_page_of_which_nothing_can_be_read_is_none(self, data: Any) -> None:
        assert read_rows(data) is None

    def test_a_page_without_runs_is_one(self) -> None:
        assert read_rows({"items": []}) == Rows([], None)
