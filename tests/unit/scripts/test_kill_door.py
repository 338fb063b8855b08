# SPDX-License-Identifier: Apache-2.0
"""The door in front of the emulator: over real sockets, since who hangs up when is the point."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorServer
from scripts.kill_door import Door, Visit, item_of_body
from scripts.kill_plan import Aim, Phase, Victim
from scripts.waiting import wait_for

BODY = {"input": {"prompt": "a mug"}, "client_ref": "scope", "metadata": {"airflow": {"item_key": "p01"}}}
HEADERS = {"Authorization": "Bearer rf_live_emulator", "Idempotency-Key": "key-1"}


@dataclass
class House:
    """The emulator behind its door, and who is aimed at."""

    aims: dict[str, Aim] = field(default_factory=dict)
    emulator: Emulator = field(default_factory=lambda: Emulator(time_scale=1000, picture_size=(16, 16)))
    url: str = ""

    def __post_init__(self) -> None:
        self.door = Door(self.emulator, self.aims.get)

    def post(self, *, timeout: float = 20.0) -> httpx.Response:
        url = f"{self.url}/v1/models/openai/gpt-image-2/runs"
        return httpx.post(url, json=BODY, headers=HEADERS, timeout=timeout, trust_env=False)

    def held(self, phase: Phase) -> Visit:
        def stands() -> Visit | None:
            return next((visit for visit in self.door.visits if visit.stands and visit.phase is phase), None)

        return wait_for(stands, seconds=10, what="the request stands at the door", every=0.01)


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    with EmulatorServer(house.emulator, around=house.door.around) as server:
        house.url = server.url
        yield house
        house.door.open()


class InBackground(threading.Thread):
    """A POST whose answer comes when the door lets it."""

    def __init__(self, house: House, timeout: float = 20.0) -> None:
        super().__init__(daemon=True)
        self._house, self._timeout = house, timeout
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._house.post(timeout=self._timeout)
        except httpx.TransportError:
            self.answer = None


def test_what_nobody_aims_at_passes(house: House) -> None:
    assert house.post().status_code == 201
    (visit,) = house.door.visits
    assert (visit.item, visit.route, visit.key) == ("p01", "create", "key-1")
    wait_for(lambda: not visit.in_flight, seconds=10, what="the door has seen the answer off", every=0.001)


def test_a_post_held_before_the_emulator_has_made_no_run_yet(house: House) -> None:
    house.aims["p01"] = Aim(Phase.SENT, Victim.TASK)
    sender = InBackground(house)
    visit = house.held(Phase.SENT)
    assert house.emulator.runs == []
    visit.release()
    sender.join(10)
    assert sender.answer is not None
    assert sender.answer.status_code == 201


def test_a_post_held_after_the_emulator_has_made_its_run_and_told_nobody(house: House) -> None:
    house.aims["p01"] = Aim(Phase.TAKEN, Victim.TASK)
    sender = InBackground(house)
    visit = house.held(Phase.TAKEN)
    assert [run.idempotency_key for run in house.emulator.runs] == ["key-1"]
    assert sender.answer is None
    visit.release()
    sender.join(10)
    assert sender.answer is not None
    assert sender.answer.json()["id"] == house.emulator.runs[0].id


def test_a_post_whose_sender_is_gone_takes_effect_all_the_same(house: House) -> None:
    house.aims["p01"] = Aim(Phase.SENT, Victim.TASK)
    InBackground(house, timeout=0.3).join(10)
    visit = house.door.visits[0]
    wait_for(lambda: visit.dropped, seconds=10, what="the door sees that the sender hung up", every=0.01)
    assert not visit.in_flight
    assert house.emulator.runs == []
    visit.release()
    wait_for(lambda: house.emulator.runs, seconds=10, what="the late POST takes effect", every=0.01)


def test_an_aim_holds_one_request_and_lets_the_next_try_through(house: House) -> None:
    house.aims["p01"] = Aim(Phase.TAKEN, Victim.SUPERVISOR)
    first = InBackground(house)
    visit = house.held(Phase.TAKEN)
    assert house.post().json()["id"] == house.emulator.runs[0].id
    visit.release()
    first.join(10)
    assert len(house.emulator.runs) == 1


def test_a_download_is_held_for_who_is_aimed_at_while_landing_and_reads_are_counted(house: House) -> None:
    house.aims["p01"] = Aim(Phase.LANDING, Victim.TASK)
    run_id = house.post().json()["id"]

    def outputs() -> list[dict[str, str]]:
        read = httpx.get(f"{house.url}/v1/runs/{run_id}", headers=HEADERS, trust_env=False).json()
        return (read["output"] or {}).get("outputs", [])

    (output,) = wait_for(outputs, seconds=10, what="the run succeeded", every=0.05)
    assert house.door.polls["p01"] >= 1
    done: list[httpx.Response] = []
    download = threading.Thread(target=lambda: done.append(httpx.get(output["url"], trust_env=False)), daemon=True)
    download.start()
    visit = house.held(Phase.LANDING)
    assert done == []
    visit.release()
    download.join(10)
    assert done[0].content == house.emulator.picture(run_id)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata": null}', b'{"metadata": {"airflow": 1}}'])
def test_a_body_that_is_about_no_picture_has_no_item(body: bytes) -> None:
    assert item_of_body(body) == ""
