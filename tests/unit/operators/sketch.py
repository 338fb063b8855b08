# SPDX-License-Identifier: Apache-2.0
"""All that a new model takes: an entry of the catalogue and an operator."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_runflow.models import register
from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt
from airflow_provider_runflow.operators.base import RunflowRunOperator


class SketchInput(ModelInput):
    prompt: Prompt
    paper: Literal["small", "large"] = "small"


def price(sent: Mapping[str, Any]) -> Decimal:
    return Decimal("0.05") if sent.get("paper") == "large" else Decimal("0.02")  # what is not sent is not there


register(ImageModel("acme/sketch/2.0", SketchInput, price, output_format="webp"))


class SketchOperator(RunflowRunOperator):
    model = "acme/sketch/2.0"
    input_fields = ("prompt", "paper")
    template_fields = (*input_fields, *RunflowRunOperator.template_fields)

    def __init__(self, *, prompt: str, paper: str = "small", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.paper = paper
        self.check_parameters()
