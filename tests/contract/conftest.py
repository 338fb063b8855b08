# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_runflow.emulator import Emulator, EmulatorServer
from tests.contract.answers import Answers
from tests.contract.target import LIVE, Target, emulator_target
from tests.contract.world import World


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The emulator over real HTTP; through `make live`, the real service."""
    live = request.config.stash.get(LIVE, None)
    if live is not None:
        yield live
        return
    with EmulatorServer(Emulator(time_scale=200, picture_size=(24, 16))) as server:
        yield emulator_target(server.url, "rf_live_contract")


@pytest.fixture(scope="session")
def world(target: Target) -> Iterator[World]:
    world = World(target)
    yield world
    world.close()


@pytest.fixture(scope="session")
def answers(target: Target) -> Iterator[Answers]:
    """Collects what is answered; written down when all has been asked."""
    answers = Answers(target)
    yield answers
    answers.write()
