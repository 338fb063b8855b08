# SPDX-License-Identifier: Apache-2.0
"""GPT Image 1.5: pictures from text, and from text and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.references import TakesReferences


class GptImage15Operator(RunflowRunOperator):
    """
    Generate pictures with GPT Image 1.5 and land them in object storage; each is paid once.

    Prices are estimates (model page), by quality and size: $0.009-0.013 a picture at low, $0.034-0.051 at medium,
    $0.133-0.200 at high quality; an older page adds a price for tokens of text. The run's own ``cost_usd`` is the
    truth.

    All parameters of :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param prompt: what the picture shows, 2-32,000 characters. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of one run, 1-4. (templated)
    :param image_size: ``1024x1024``, ``1536x1024``, ``1024x1536`` or ``auto``. Default: Runflow's own, ``1024x1024``.
        (templated)
    :param background: ``auto``, ``transparent`` or ``opaque``. Default: Runflow's own, ``auto``. (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "openai/gpt-image-1.5"
    input_fields: ClassVar[tuple[str, ...]] = (
        "prompt",
        "quality",
        "num_images",
        "image_size",
        "background",
        "output_format",
    )
    template_fields: Sequence[str] = (*input_fields, *RunflowRunOperator.template_fields)

    def __init__(
        self,
        *,
        prompt: str,
        quality: str = "high",
        num_images: int = 1,
        image_size: str | dict[str, int] | None = None,
        background: str | None = None,
        output_format: str = "png",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.background = background
        self.output_format = output_format
        self.check_parameters()


class GptImage15EditOperator(TakesReferences):
    """
    Make new pictures from pictures and a prompt with GPT Image 1.5 Edit; each is paid once.

    Runflow documents the name of this model, not its parameters. They are taken from its siblings here, and none but
    prompt and pictures is sent unless it is given: Runflow decides. All parameters of
    :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param prompt: what is to become of the pictures; not empty. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param references: files in a bucket (``s3://``, ``gs://``, …) or under ``[runflow] allowed_local_paths``, https
        addresses or ``runflow://`` ids; see :class:`~airflow_provider_runflow.operators.references.TakesReferences`.
        (templated)
    :param mask: a picture that shows where to edit; as in ``references``. (templated)
    :param references_conn_id: Airflow connection of the files' store. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of one run, at least 1. (templated)
    :param image_size: such as ``1024x1536`` or ``auto``. (templated)
    :param background: such as ``transparent``. (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "openai/gpt-image-1.5/edit"
    input_fields: ClassVar[tuple[str, ...]] = ("references", "mask", *GptImage15Operator.input_fields)
    template_fields: Sequence[str] = (*input_fields, *TakesReferences.template_fields)

    def __init__(
        self,
        *,
        prompt: str,
        references: Sequence[str] | str,
        mask: str | None = None,
        references_conn_id: str | None = None,
        quality: str | None = None,
        num_images: int | None = None,
        image_size: str | dict[str, int] | None = None,
        background: str | None = None,
        output_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(references=references, mask=mask, references_conn_id=references_conn_id, **kwargs)
        self.prompt = prompt
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.background = background
        self.output_format = output_format
        self.check_parameters()
