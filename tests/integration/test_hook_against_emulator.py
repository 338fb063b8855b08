# SPDX-License-Identifier: Apache-2.0
"""The hook over real HTTP: what it pays, what it finds again, and what it survives."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.emulator import Emulator, EmulatorServer
from airflow_provider_runflow.emulator.server import bind
from airflow_provider_runflow.exceptions import (
    ConflictError,
    InsufficientCreditError,
    NotFoundError,
    RequestRejectedError,
    RunTimeoutError,
    RunUnreachableError,
    SubmissionUncertainError,
    TransportError,
)
from airflow_provider_runflow.hooks.runflow import RunflowHook
from tests.unit.client.fakes import texts_of
from tests.unit.hooks.connections import supervised

pytestmark = pytest.mark.integration

MODEL = "openai/gpt-image-2"
CAT = {"prompt": "a cat", "quality": "low"}
KEY = "rf_live_never_show_this_key"
POLL = 0.02


class NoWaiting:
    """Jitter of nothing: tries follow each other at once."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return low


@pytest.fixture(scope="module")
def listening() -> Iterator[EmulatorServer]:
    """An emulator whose runs take milliseconds and whose pictures are tiny; starting one takes longer than a test."""
    with EmulatorServer(Emulator(time_scale=500, picture_size=(24, 16))) as server:
        yield server


@pytest.fixture
def server(listening: EmulatorServer, monkeypatch: pytest.MonkeyPatch) -> EmulatorServer:
    """The emulator as it was at the start; the default connection points to it."""
    listening.emulator.reset()
    monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", listening.connection_json(KEY))
    monkeypatch.setattr(RunflowHook, "jitter", NoWaiting())
    return listening


@pytest.fixture
def connect(server: EmulatorServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Rewrites the connection."""

    def write(**fields: Any) -> None:
        every = {"conn_type": "runflow", "host": server.url, "password": KEY, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", json.dumps(every))

    return write


@pytest.fixture
def hook(server: EmulatorServer) -> Iterator[RunflowHook]:
    hook = RunflowHook()
    yield hook
    hook.reconnect()


def billed(server: EmulatorServer) -> Decimal:
    return Decimal(server.emulator.ledger(datetime.now(timezone.utc))["totals"]["cost_usd"])


class TestARunFromEndToEnd:
    def test_it_is_submitted_waited_for_and_costs_what_the_ledger_says(
        self, hook: RunflowHook, server: EmulatorServer
    ) -> None:
        made = hook.create_run(MODEL, {**CAT, "num_images": 2}, client_ref="mine", metadata={"campaign": "spring"})
        assert made.status_code == "queued"
        run = hook.wait_for_run(made.id, poll_interval=POLL, timeout=20)
        assert run.status_code == "succeeded"
        assert len(run.output_urls) == 2
        assert (run.client_ref, run.metadata) == ("mine", {"campaign": "spring"})
        assert run.created_at is not None
        assert run.completed_at is not None
        assert run.cost == billed(server) == Decimal("0.018")

    def test_urls_are_signed_anew_at_every_read(self, hook: RunflowHook) -> None:
        run = hook.wait_for_run(hook.create_run(MODEL, CAT).id, poll_interval=POLL, timeout=20)
        assert all(url.startswith("http") for url in run.output_urls)
        assert hook.get_run(run.id).output_urls[0].split("?")[0] == run.output_urls[0].split("?")[0]

    @pytest.mark.parametrize("spelling", ["canceled", "cancelled"])
    def test_a_cancelled_run_ends_the_wait_whatever_the_spelling(
        self, hook: RunflowHook, server: EmulatorServer, spelling: str
    ) -> None:
        server.emulator.configure(cancelled_spelling=spelling)
        server.emulator.add_fault(outcome="cancelled")
        run = hook.wait_for_run(hook.create_run(MODEL, CAT).id, poll_interval=POLL, timeout=20)
        assert run.status_code == "cancelled"

    def test_a_failed_run_is_free_and_says_why(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.add_fault(outcome="failed", code="PROVIDER_ERROR", message="the provider is down")
        run = hook.wait_for_run(hook.create_run(MODEL, CAT).id, poll_interval=POLL, timeout=20)
        assert (run.status_code, run.failure_code, run.failure_message) == (
            "failed",
            "PROVIDER_ERROR",
            "the provider is down",
        )
        assert billed(server) == 0

    def test_the_other_output_shape_is_read_as_well(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.configure(output_shape="image_urls")
        run = hook.wait_for_run(hook.create_run(MODEL, {**CAT, "num_images": 3}).id, poll_interval=POLL, timeout=20)
        assert len(run.output_urls) == 3

    def test_a_run_that_outlives_the_wait_is_left_to_itself(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.configure(time_scale=1)
        made = hook.create_run(MODEL, CAT)
        with pytest.raises(RunTimeoutError, match="It goes on and is billed if it succeeds"):
            hook.wait_for_run(made.id, poll_interval=POLL, timeout=0.1)
        assert hook.get_run(made.id).status_code in ("queued", "dispatching", "running")

    async def test_the_triggerers_client_reads_the_same_run(self, hook: RunflowHook) -> None:
        made = hook.create_run(MODEL, CAT, client_ref="mine")
        with supervised():
            client = await hook.aget_client()
        async with client:
            assert (await client.get_run(made.id)).id == made.id
            page = await client.list_runs(q="client_ref.EQ:'mine'", fields=("id", "status_code"), limit=5)
        assert [run.id for run in page.items] == [made.id]


class TestPayingOnce:
    def test_the_same_key_and_body_buy_one_run(self, hook: RunflowHook, server: EmulatorServer) -> None:
        ids = {hook.create_run(MODEL, CAT, idempotency_key="key-1").id for _ in range(3)}
        assert len(ids) == len(server.emulator.runs) == 1

    def test_the_same_key_with_another_body_is_a_conflict(self, hook: RunflowHook, server: EmulatorServer) -> None:
        hook.create_run(MODEL, CAT, idempotency_key="key-1")
        with pytest.raises(ConflictError):
            hook.create_run(MODEL, {**CAT, "prompt": "a dog"}, idempotency_key="key-1")
        assert len(server.emulator.runs) == 1

    @pytest.mark.parametrize(
        "fault",
        [
            {"effect": "drop_after"},
            {"effect": "status", "status": 503, "took_effect": True},
            {"effect": "truncate"},
            {"effect": "malformed"},
            {"effect": "html"},
        ],
        ids=str,
    )
    def test_a_lost_answer_is_uncertain_and_the_run_is_found_by_its_reference(
        self, hook: RunflowHook, server: EmulatorServer, fault: dict[str, Any]
    ) -> None:
        server.emulator.add_fault(route="create", times=1, **fault)
        with pytest.raises(SubmissionUncertainError, match="A run may exist and bill"):
            hook.create_run(MODEL, CAT, client_ref="mine", idempotency_key="key-1")
        (found,) = hook.find_runs("mine")
        assert len(server.emulator.runs) == 1
        assert hook.create_run(MODEL, CAT, client_ref="mine", idempotency_key="key-1").id == found.id
        assert len(server.emulator.runs) == 1

    def test_an_answer_that_takes_too_long_is_uncertain_too(
        self, connect: Callable[..., None], server: EmulatorServer
    ) -> None:
        connect(extra={"request_timeout": 0.1})
        server.emulator.add_fault(route="create", effect="latency", seconds=0.4, times=1)
        hook = RunflowHook()
        with pytest.raises(SubmissionUncertainError, match="did not answer in time"):
            hook.create_run(MODEL, CAT, client_ref="mine")
        assert len(server.emulator.runs) == 1
        hook.reconnect()

    def test_a_submission_that_was_turned_away_is_sent_again(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.add_fault(route="create", effect="status", status=429, times=2)
        hook.create_run(MODEL, CAT)
        assert len(server.emulator.runs) == 1

    def test_a_server_that_is_not_there_is_certain_to_have_billed_nothing(
        self, connect: Callable[..., None], server: EmulatorServer
    ) -> None:
        connect(host=f"http://127.0.0.1:{closed_port()}")
        with pytest.raises(TransportError, match="could not be reached"):
            RunflowHook().create_run(MODEL, CAT)
        assert server.emulator.runs == []


class TestRefusals:
    def test_a_422_names_the_field(self, hook: RunflowHook) -> None:
        with pytest.raises(RequestRejectedError, match=r"HTTP 422 .*quality: "):
            hook.create_run(MODEL, {**CAT, "quality": "ultra"})

    def test_an_empty_balance_is_a_402(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.configure(balance="0.001")
        with pytest.raises(InsufficientCreditError, match="HTTP 402 INSUFFICIENT_CREDIT"):
            hook.create_run(MODEL, CAT)

    def test_an_unknown_model_is_a_404(self, hook: RunflowHook) -> None:
        with pytest.raises(NotFoundError):
            hook.create_run("openai/gpt-image-99", CAT)

    def test_a_run_of_another_organisation_is_a_404(self, hook: RunflowHook, connect: Callable[..., None]) -> None:
        made = hook.create_run(MODEL, CAT, client_ref="mine")
        connect(extra={"organization_id": "another"})
        hook.reconnect()
        with pytest.raises(NotFoundError, match="RUN_NOT_FOUND"):
            hook.get_run(made.id)
        assert hook.find_runs("mine") == []

    def test_cancelling_takes_an_administrators_key_and_never_raises(self, hook: RunflowHook) -> None:
        made = hook.create_run(MODEL, CAT)
        hook.cancel_run(made.id, "Airflow task killed")
        hook.cancel_run("019e1f00-0000-7000-8000-00000000dead", "Airflow task killed")


class TestLists:
    def test_all_runs_of_a_reference_are_found_oldest_first_over_many_pages(
        self, hook: RunflowHook, server: EmulatorServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_runflow.client.protocol.MAX_PAGE", 3)
        made = [hook.create_run(MODEL, {**CAT, "prompt": f"cat {n}"}, client_ref="mine").id for n in range(8)]
        hook.create_run(MODEL, CAT, client_ref="another")
        assert [run.id for run in hook.find_runs("mine")] == made

    def test_a_projection_needs_id_and_status_only(self, hook: RunflowHook) -> None:
        made = hook.create_run(MODEL, CAT, client_ref="mine")
        (row,) = hook.list_runs(q="client_ref.EQ:'mine'", fields=("id", "status_code")).items
        assert (row.id, row.client_ref, row.metadata) == (made.id, None, None)

    @pytest.mark.parametrize("ref", ["af.größe.ß", "a & b = c?", "100 %", 'say "hi"', "a+b"])
    def test_a_reference_of_any_characters_is_found_again(self, hook: RunflowHook, ref: str) -> None:
        made = hook.create_run(MODEL, CAT, client_ref=ref)
        assert [run.id for run in hook.find_runs(ref)] == [made.id]


class TestTroubleWhileWaiting:
    @pytest.mark.parametrize(
        "fault",
        [
            {"effect": "status", "status": 503},
            {"effect": "status", "status": 429},
            {"effect": "drop_before"},
            {"effect": "drop_after"},
            {"effect": "malformed"},
            {"effect": "truncate"},
            {"effect": "html"},
        ],
        ids=str,
    )
    def test_seven_bad_answers_in_a_row_do_not_end_the_wait(
        self, hook: RunflowHook, server: EmulatorServer, fault: dict[str, Any]
    ) -> None:
        made = hook.create_run(MODEL, CAT)
        server.emulator.add_fault(route="get", times=7, **fault)
        assert hook.wait_for_run(made.id, poll_interval=POLL, timeout=20).status_code == "succeeded"

    def test_a_key_that_is_rotated_meanwhile_is_picked_up(
        self, hook: RunflowHook, server: EmulatorServer, connect: Callable[..., None]
    ) -> None:
        made = hook.create_run(MODEL, CAT)
        server.emulator.configure(api_keys=["rf_rotated"])
        connect(password="rf_rotated")
        assert hook.wait_for_run(made.id, poll_interval=POLL, timeout=20).status_code == "succeeded"

    def test_a_key_that_stays_refused_ends_the_wait_and_not_the_run(
        self, hook: RunflowHook, server: EmulatorServer
    ) -> None:
        made = hook.create_run(MODEL, CAT)
        server.emulator.configure(api_keys=["rf_rotated"])
        with pytest.raises(RunUnreachableError, match="It goes on and is billed if it succeeds") as caught:
            hook.wait_for_run(made.id, poll_interval=POLL, timeout=20)
        assert KEY not in texts_of(caught.value)


class TestTheConnectionTest:
    def test_a_good_key(self, hook: RunflowHook, server: EmulatorServer) -> None:
        assert hook.test_connection() == (True, f"Runflow at {server.url} accepts the API key.")

    def test_a_bad_key(self, hook: RunflowHook, server: EmulatorServer) -> None:
        server.emulator.configure(api_keys=["rf_another"])
        works, message = hook.test_connection()
        assert not works
        assert "HTTP 401 UNAUTHORIZED" in message
        assert KEY not in message

    def test_nobody_there(self, connect: Callable[..., None]) -> None:
        connect(host="127.0.0.1", schema="http", port=closed_port())
        works, message = RunflowHook().test_connection()
        assert not works
        assert "could not be reached" in message

    def test_it_costs_nothing(self, hook: RunflowHook, server: EmulatorServer) -> None:
        hook.test_connection()
        assert (server.emulator.runs, billed(server)) == ([], 0)

    def test_through_airflows_own_connection_object_as_the_api_server_does_it(self, server: EmulatorServer) -> None:
        from airflow.sdk import Connection

        conn = Connection(conn_id="runflow_default", conn_type="runflow", host=server.url, password=KEY)
        hook = RunflowHook(conn.conn_id)
        assert hook.test_connection()[0]


class TestTheAddress:
    def test_host_scheme_and_port_may_be_fields_of_their_own(
        self, server: EmulatorServer, connect: Callable[..., None]
    ) -> None:
        connect(host="127.0.0.1", schema="http", port=int(server.url.rsplit(":", 1)[1]))
        hook = RunflowHook()
        assert hook.test_connection()[0]

    def test_a_connection_as_uri_as_airflow_exports_it(
        self, server: EmulatorServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = server.url.removeprefix("http://")
        monkeypatch.setenv("AIRFLOW_CONN_RUNFLOW_DEFAULT", f"runflow://http://:{KEY}@{address}")
        assert RunflowHook().test_connection() == (True, f"Runflow at {server.url} accepts the API key.")


def test_the_shared_fixture_gives_a_connection_that_works(emulator_server: EmulatorServer) -> None:
    assert RunflowHook().test_connection() == (True, f"Runflow at {emulator_server.url} accepts the API key.")


def test_the_longest_time_out_that_is_allowed_is_one_that_sockets_take(server: EmulatorServer) -> None:
    account = replace(Account(server.url, KEY), request_timeout=3600)
    with RunflowClient(account) as client:
        assert client.create_run(MODEL, CAT).status_code == "queued"


def test_the_emulators_sockets_name_tcp_else_asyncio_leaves_nagle_on_and_each_answer_takes_40_ms_longer() -> None:
    with bind("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TestTheRestOfTheApi:
    PICTURE = b"\x89PNG\r\n\x1a\n" + b"a reference" * 9000

    def test_an_upload_arrives_whole_and_is_a_reference(self, hook: RunflowHook) -> None:
        asset = hook.upload_asset(io.BytesIO(self.PICTURE), "product shots/knife.png")
        assert (asset.name, asset.mime_type, asset.size_bytes) == ("knife.png", "image/png", len(self.PICTURE))
        assert asset.ref == f"runflow://assets/{hook.get_asset(asset.id).id}"
        assert httpx.get(str(asset.url), trust_env=False).content == self.PICTURE

    def test_an_upload_survives_lost_answers_slow_storage_and_a_dead_url(
        self, hook: RunflowHook, server: EmulatorServer
    ) -> None:
        for rule in (
            {"route": "asset_upload", "effect": "drop_after", "times": 1},
            {"route": "asset_upload", "effect": "expired", "times": 1, "after": 1},
            {"route": "asset_put", "effect": "status", "status": 503, "times": 1, "after": 1},
            {"route": "asset_put", "effect": "drop_after", "times": 1, "after": 1},
            {"route": "asset_confirm", "effect": "drop_after", "times": 1},
        ):
            server.emulator.add_fault(rule)
        asset = hook.upload_asset(io.BytesIO(self.PICTURE), "knife.png")
        assert httpx.get(str(asset.url), trust_env=False).content == self.PICTURE
        assert [fault.fired for fault in server.emulator.faults] == [1] * 5

    def test_models_and_prices_are_those_that_runs_are_billed_by(
        self, hook: RunflowHook, server: EmulatorServer
    ) -> None:
        card = hook.get_model(MODEL)
        assert card.slug in [listed.slug for listed in hook.list_models()]
        quality = card.input_named("quality")
        assert quality is not None
        low = next(rule for rule in hook.get_pricing(MODEL) if rule.match_value == "low")
        hook.wait_for_run(hook.create_run(MODEL, CAT).id, poll_interval=POLL, timeout=20)
        assert low.price == billed(server) == Decimal("0.009")

    def test_balance_logs_and_statuses(self, hook: RunflowHook, server: EmulatorServer) -> None:
        before = hook.get_balance().balance
        run = hook.wait_for_run(hook.create_run(MODEL, CAT).id, poll_interval=POLL, timeout=20)
        assert before - hook.get_balance().balance == billed(server)
        assert [line.message for line in hook.get_run_logs(run.id)][-1] == "Run succeeded"
        assert run.status_code in hook.list_statuses()
