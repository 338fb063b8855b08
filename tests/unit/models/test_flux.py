# SPDX-License-Identifier: Apache-2.0
"""FLUX 1.1 [pro] and Ultra: what they send, and about what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_runflow.models.flux import FLUX_1_1_PRO, FLUX_1_1_PRO_ULTRA

CAT = {"prompt": "a cat"}


@pytest.mark.parametrize(
    "given", [{}, {"width": 1440, "height": 1}, {"width": 1000}, {"seed": 0}, {"seed": -(2**63)}], ids=str
)
def test_what_the_reference_leaves_open_is_left_to_the_server(given: dict[str, Any]) -> None:
    assert FLUX_1_1_PRO.validate({**CAT, **given}) == {**CAT, **given}


def test_rendered_texts_become_numbers_and_switches() -> None:
    assert FLUX_1_1_PRO.validate({**CAT, "width": "1024", "seed": "7"}) == {**CAT, "width": 1024, "seed": 7}
    assert FLUX_1_1_PRO_ULTRA.validate({**CAT, "raw": "True"}) == {**CAT, "raw": True}


@pytest.mark.parametrize("given", [{}, {"aspect_ratio": "9:21", "raw": False, "num_images": 2, "output_format": "png"}])
def test_ultra_sends_what_was_given_and_nothing_else(given: dict[str, Any]) -> None:
    assert FLUX_1_1_PRO_ULTRA.validate({**CAT, **given}) == {**CAT, **given}


def test_a_picture_has_one_price_whatever_its_size() -> None:
    assert FLUX_1_1_PRO.estimate({"width": 1440, "height": 1440}) == Decimal("0.04")
    assert FLUX_1_1_PRO_ULTRA.estimate({"num_images": 3}) == Decimal("0.18")
