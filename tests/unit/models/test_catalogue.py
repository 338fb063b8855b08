# SPDX-License-Identifier: Apache-2.0
"""The catalogue: six models, found by their ids, loaded when somebody asks; and models of one's own."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest

from airflow_provider_runflow import models
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models import find_model, format_of, get_model, model_ids, quality_of, register
from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt

SIX = [
    "black-forest-labs/flux-1-1-pro",
    "black-forest-labs/flux-1-1-pro-ultra",
    "openai/gpt-image-1.5",
    "openai/gpt-image-1.5/edit",
    "openai/gpt-image-2",
    "openai/gpt-image-2/edit",
]


class SketchInput(ModelInput):
    prompt: Prompt


SKETCH = ImageModel(id="acme/sketch", input=SketchInput, price=lambda _: Decimal("0.01"), output_format="webp")


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_registered", {})


class TestLookingUp:
    def test_there_are_six(self) -> None:
        assert model_ids() == SIX

    @pytest.mark.parametrize("model_id", SIX)
    def test_a_model_is_found_by_the_id_of_the_apis_path(self, model_id: str) -> None:
        assert get_model(model_id).id == model_id

    @pytest.mark.parametrize("unknown", ["gpt-image-2", "openai/gpt-image-3", ""])
    def test_an_unknown_one_names_those_that_are_there(self, unknown: str) -> None:
        assert find_model(unknown) is None
        with pytest.raises(InvalidRequestError) as caught:
            get_model(unknown)
        assert str(caught.value) == f"model={unknown!r}: not in the catalogue ({', '.join(SIX)})."

    def test_no_model_is_loaded_before_somebody_asks_and_then_only_that_one(self) -> None:
        code = (
            "import sys\n"
            "def loaded(): return sorted(m.rpartition('.')[2] for m in sys.modules if '_runflow.models.' in m)\n"
            "import airflow_provider_runflow.models as models; print(loaded())\n"
            "models.get_model('black-forest-labs/flux-1-1-pro'); print(loaded())\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["[]", "['base', 'flux', 'sizes']"]


class TestAModelOfOnesOwn:
    def test_it_is_found_beside_the_others(self) -> None:
        assert register(SKETCH) is SKETCH
        assert get_model("acme/sketch") is SKETCH
        assert model_ids() == ["acme/sketch", *SIX]

    def test_it_may_be_registered_again_since_a_dag_file_is_read_again_and_again(self) -> None:
        register(SKETCH)
        again = register(ImageModel(id="acme/sketch", input=SketchInput, price=SKETCH.price))
        assert get_model("acme/sketch") is again

    def test_it_may_not_stand_in_for_one_that_is_there(self) -> None:
        with pytest.raises(InvalidRequestError, match="'openai/gpt-image-2': already in the catalogue"):
            register(ImageModel(id="openai/gpt-image-2", input=SketchInput, price=SKETCH.price))


class TestWhatARequestBrings:
    @pytest.mark.parametrize(
        ("model_id", "given", "expected"),
        [
            ("openai/gpt-image-2", {"output_format": "webp"}, "webp"),
            ("openai/gpt-image-2", {}, "png"),
            ("black-forest-labs/flux-1-1-pro", {}, "jpeg"),
            ("black-forest-labs/flux-1-1-pro-ultra", {}, ""),
            ("acme/unheard-of", {}, ""),
            ("acme/unheard-of", {"output_format": "gif"}, "gif"),
        ],
    )
    def test_the_format_is_the_one_asked_for_or_the_models_own_if_that_is_known(
        self, model_id: str, given: dict[str, str], expected: str
    ) -> None:
        assert format_of(model_id, given) == expected

    @pytest.mark.parametrize(
        ("model_id", "given", "expected"),
        [
            ("openai/gpt-image-2", {"quality": "low"}, "low"),
            ("openai/gpt-image-2", {}, "high"),
            ("openai/gpt-image-1.5/edit", {}, "high"),
            ("black-forest-labs/flux-1-1-pro", {}, None),
            ("acme/unheard-of", {}, None),
            ("acme/unheard-of", {"quality": "medium"}, "medium"),
            ("acme/unheard-of", {"quality": 3}, None),
        ],
    )
    def test_a_quality_that_is_not_sent_is_the_models_default(
        self, model_id: str, given: dict[str, object], expected: str | None
    ) -> None:
        assert quality_of(model_id, given) == expected
