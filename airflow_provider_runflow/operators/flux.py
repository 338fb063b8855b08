# SPDX-License-Identifier: Apache-2.0
"""FLUX 1.1 [pro] and FLUX 1.1 [pro] Ultra: pictures from text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_runflow.operators.base import RunflowRunOperator


class Flux11ProOperator(RunflowRunOperator):
    """
    Generate a JPEG with FLUX 1.1 [pro] and land it in object storage; it is paid once.

    About $0.04 a picture whatever its size (model page); the run's own ``cost_usd`` is the truth. All parameters of
    :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param prompt: what the picture shows; not empty. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param width: pixels, at most 1440. Least value, step and default are not documented: Runflow decides. (templated)
    :param height: pixels, at most 1440. (templated)
    :param seed: a whole number. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "black-forest-labs/flux-1-1-pro"
    input_fields: ClassVar[tuple[str, ...]] = ("prompt", "width", "height", "seed")
    template_fields: Sequence[str] = (*input_fields, *RunflowRunOperator.template_fields)

    def __init__(
        self,
        *,
        prompt: str,
        width: int | None = None,
        height: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.width = width
        self.height = height
        self.seed = seed
        self.check_parameters()


class Flux11ProUltraOperator(RunflowRunOperator):
    """
    Generate pictures of 4 megapixels and more with FLUX 1.1 [pro] Ultra; each is paid once.

    About $0.06 a picture (model page); the run's own ``cost_usd`` is the truth. All parameters of
    :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    Runflow documents ``prompt`` only; the others are those of the model's earlier id. They are not sent unless they are
    given, and Runflow decides.

    :param prompt: what the picture shows; not empty. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param aspect_ratio: such as ``16:9``. (templated)
    :param raw: Runflow's switch of that name. (templated)
    :param num_images: pictures of one run, at least 1. (templated)
    :param output_format: such as ``jpeg`` or ``png``. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "black-forest-labs/flux-1-1-pro-ultra"
    input_fields: ClassVar[tuple[str, ...]] = ("prompt", "aspect_ratio", "raw", "num_images", "output_format")
    template_fields: Sequence[str] = (*input_fields, *RunflowRunOperator.template_fields)

    def __init__(
        self,
        *,
        prompt: str,
        aspect_ratio: str | None = None,
        raw: bool | None = None,
        num_images: int | None = None,
        output_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.aspect_ratio = aspect_ratio
        self.raw = raw
        self.num_images = num_images
        self.output_format = output_format
        self.check_parameters()
