# SPDX-License-Identifier: Apache-2.0
"""What this package relies on, held against a Runflow: the emulator in `make test`, the real one in `make live`.

The same assertions for both. Nothing here knows which one it talks to.
"""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from airflow_provider_runflow.client.account import Account
from airflow_provider_runflow.client.content_type import image_type
from airflow_provider_runflow.client.protocol import ssl_context
from airflow_provider_runflow.client.storage import StorageClient
from airflow_provider_runflow.client.sync import RunflowClient
from airflow_provider_runflow.client.wire import ACTIVE, DELIVERED, TERMINAL, Run
from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RequestRejectedError,
)
from tests.contract.world import MODEL, World, small_png

pytestmark = pytest.mark.integration

NO_RUN = "019e0000-0000-7000-8000-000000000000"


class TestTheKey:
    def test_a_good_one_is_accepted(self, world: World) -> None:
        world.client.check()

    def test_a_made_up_one_is_refused_as_unauthorised(self, world: World) -> None:
        stranger = RunflowClient(Account(world.target.base_url, "rf_live_not-a-key"))
        with stranger, pytest.raises(AuthenticationError):
            stranger.check()


class TestAPaidRun:
    def test_it_is_created_with_what_was_sent(self, world: World) -> None:
        made = Run.model_validate(world.bought.response.json())
        assert not made.is_terminal
        assert (made.client_ref, made.metadata) == (world.ref, world.metadata)

    def test_it_comes_through_and_says_what_it_cost(self, world: World) -> None:
        run = world.run
        assert run.status_code in DELIVERED
        assert run.cost is not None
        assert 0 < run.cost < Decimal("0.05")
        assert run.created_at is not None
        assert run.completed_at is not None
        assert run.created_at < run.completed_at

    def test_reading_it_gives_client_ref_and_metadata_as_they_were_sent(self, world: World) -> None:
        assert (world.run.client_ref, world.run.metadata) == (world.ref, world.metadata)

    def test_its_picture_is_fetched_without_a_key_and_is_what_was_asked_for(self, world: World) -> None:
        (url,) = world.client.get_run(world.run.id).output_urls
        http = world.target.base_url.startswith("http://")
        with StorageClient(ssl_context(), allow_http=http) as storage, storage.stream(url) as body:
            picture = b"".join(body.chunks)
            assert body.status == 200
        assert image_type(picture) == "image/png"

    def test_a_list_by_its_client_ref_finds_it_and_nothing_else(self, world: World) -> None:
        assert world.bought.listed_after is not None
        found = {run.id for run in world.client.find_runs(world.ref)}
        assert world.bought.run_id in found
        assert list(world.client.find_runs(f"{world.ref}.other")) == []

    def test_a_list_of_three_fields_is_enough_to_wait_by(self, world: World) -> None:
        page = world.client.list_runs(
            q=f"client_ref.EQ:'{world.ref}'", fields=("id", "status_code", "created_at"), limit=500
        )
        mine = next(run for run in page.items if run.id == world.run.id)
        assert mine.status_code == "succeeded"
        assert mine.created_at is not None

    def test_its_logs_can_be_read(self, world: World) -> None:
        assert all(line.id for line in world.client.run_logs(world.run.id))

    def test_cancelling_it_when_it_has_ended_changes_nothing_or_is_not_for_this_key(self, world: World) -> None:
        try:
            run = world.client.cancel_run(world.run.id, "contract test of a finished run")
        except PermissionDeniedError:
            run = world.client.get_run(world.run.id)
        assert run.status_code == "succeeded"


class TestWhatIsRefused:
    def test_a_request_without_a_prompt_names_the_field_and_creates_nothing(self, world: World) -> None:
        ref = f"{world.ref}.refused"
        with pytest.raises(RequestRejectedError) as caught:
            world.client.create_run(MODEL, {"quality": "low"}, client_ref=ref)
        assert caught.value.status == 422
        assert "prompt" in str(caught.value)
        assert list(world.client.find_runs(ref)) == []

    def test_an_unknown_model_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFoundError):
            world.client.create_run("openai/no-such-model", {"prompt": "never drawn"})

    def test_an_unknown_run_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFoundError):
            world.client.get_run(NO_RUN)


class TestAnUploadedReference:
    def test_it_is_kept_byte_for_byte(self, world: World) -> None:
        asset = world.client.assets.get(world.asset.id)
        assert asset.mime_type == "image/png"
        assert asset.size_bytes == len(small_png())
        assert httpx.get(str(asset.url), timeout=60).content == small_png()

    def test_what_is_over_50_mib_or_no_media_is_refused(self, world: World) -> None:
        for wrong in ({"size_bytes": 52_428_801}, {"mime_type": "text/x-no-such-type"}):
            body = {"filename": "contract.png", "mime_type": "image/png", "size_bytes": 10, **wrong}
            assert world.http.post("/v1/asset-uploads", json=body).status_code == 422


class TestTheCatalogue:
    def test_the_model_is_there_and_wants_a_prompt(self, world: World) -> None:
        card = world.client.catalogue.get(MODEL)
        prompt = card.input_named("prompt")
        assert prompt is not None
        assert prompt.is_required

    def test_it_has_prices_in_usd(self, world: World) -> None:
        rules = list(world.client.catalogue.pricing(MODEL))
        assert any(rule.price for rule in rules)
        assert {rule.currency_code for rule in rules} <= {"USD", None}

    def test_models_can_be_listed(self, world: World) -> None:
        assert next(iter(world.client.catalogue.list())).slug


class TestTheAccount:
    def test_the_balance_is_an_amount_or_not_for_this_key(self, world: World) -> None:
        try:
            assert world.client.balance().balance >= 0
        except PermissionDeniedError as refused:
            pytest.skip(f"this key may not read the balance: {refused}")

    def test_runflow_lists_every_status_that_this_package_knows(self, world: World) -> None:
        assert set(world.client.statuses()) >= ACTIVE | TERMINAL
