# SPDX-License-Identifier: Apache-2.0
"""All that a new model takes: an entry of the catalogue and an operator."""

from decimal import Decimal
from typing import Any, Literal

from airflow_provider_runflow.models import register
from airflow_provider_runflow.models.base import ImageModel, ModelInput, Prompt
from airflow_provider_runflow.operators.base import RunflowRunOperator


class SketchInput(ModelInput):
    prompt: Prompt
    paper: Literal["small", "large"] = "small"


register(ImageModel("acme/sketch/2.0", SketchInput, price=lambda _: Decimal("0.02"), output_format="webp"))


class SketchOperator(RunflowRunOperator):
    model = "acme/sketch/2.0"
    input_fields = ("prompt", "paper")
    template_fields = (*input_fields, *RunflowRunOperator.template_fields)

    def __init__(self, *, prompt: str, paper: str = "small", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.paper = paper
        self.check_parameters()
