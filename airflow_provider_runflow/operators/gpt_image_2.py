# SPDX-License-Identifier: Apache-2.0
"""GPT Image 2: pictures from text, and from text and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.batch import RunflowBatchOperator
from airflow_provider_runflow.operators.references import ReadsReferences, TakesReferences


class GptImage2Operator(RunflowRunOperator):
    """
    Generate pictures with GPT Image 2 and land them in object storage; each is paid once.

    Retries, crashes, restarts and cleared tasks attach to the run that an earlier attempt bought. Prices are estimates
    (product page): $0.009, $0.034 and $0.133 a picture at low, medium and high quality; the run's own ``cost_usd`` is
    the truth.

    All parameters of :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param prompt: what the picture shows; not empty. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of one run, 1-10. The sources disagree on 4 or 10; Runflow decides. (templated)
    :param image_size: a preset (``square_hd``, ``square``, ``portrait_4_3``, ``portrait_16_9``, ``landscape_4_3``,
        ``landscape_16_9``, ``auto``), ``"1088x1360"`` or ``{"width": 1088, "height": 1360}``. Both edges are multiples
        of 16 and at most 3840, the aspect ratio at most 3:1, 655,360 to 8,294,400 pixels in all. Default: Runflow's
        own, ``landscape_4_3``. (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "openai/gpt-image-2"
    input_fields: ClassVar[tuple[str, ...]] = (
        "prompt",
        "quality",
        "num_images",
        "image_size",
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
        output_format: str = "png",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.output_format = output_format
        self.check_parameters()


class GptImage2EditOperator(TakesReferences):
    """
    Make new pictures from pictures and a prompt with GPT Image 2 Edit; each is paid once.

    Prices are those of GPT Image 2. All parameters of
    :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param prompt: what is to become of the pictures; not empty. Text, or the name of a ``.prompt.j2`` file. (templated)
    :param references: files in a bucket (``s3://``, ``gs://``, …) or under ``[runflow] allowed_local_paths``, https
        addresses or ``runflow://`` ids; see :class:`~airflow_provider_runflow.operators.references.TakesReferences`.
        (templated)
    :param mask: a picture that shows where to edit; as in ``references``. (templated)
    :param references_conn_id: Airflow connection of the files' store. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of one run, 1-10. The sources disagree on 4 or 10; Runflow decides. (templated)
    :param image_size: as for :class:`GptImage2Operator`. Default: Runflow's own, ``auto``: that of the references.
        (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    model = "openai/gpt-image-2/edit"
    input_fields: ClassVar[tuple[str, ...]] = ("references", "mask", *GptImage2Operator.input_fields)
    template_fields: Sequence[str] = (*input_fields, *TakesReferences.template_fields)

    def __init__(
        self,
        *,
        prompt: str,
        references: Sequence[str] | str,
        mask: str | None = None,
        references_conn_id: str | None = None,
        quality: str = "high",
        num_images: int = 1,
        image_size: str | dict[str, int] | None = None,
        output_format: str = "png",
        **kwargs: Any,
    ) -> None:
        super().__init__(references=references, mask=mask, references_conn_id=references_conn_id, **kwargs)
        self.prompt = prompt
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.output_format = output_format
        self.check_parameters()


class GptImage2BatchOperator(RunflowBatchOperator):
    """
    Generate the pictures of many requests with GPT Image 2 in one task; each is paid once.

    An item takes the parameters of :class:`GptImage2Operator`; those given here are for all items that have none of
    their own. All parameters of :class:`~airflow_provider_runflow.operators.batch.RunflowBatchOperator` apply as well.

    :param requests: a list of items, or a path to them. (a path: templated)
    :param prompt: see :class:`GptImage2Operator`, as for the others. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of each item, 1-10. (templated)
    :param image_size: a preset, ``"1088x1360"`` or ``{"width": 1088, "height": 1360}``. (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter or an item breaks a rule; when the DAG is parsed if it is a literal, else
        before anything is submitted.
    """

    model = "openai/gpt-image-2"
    single = GptImage2Operator
    shared_fields: ClassVar[tuple[str, ...]] = GptImage2Operator.input_fields
    input_fields: ClassVar[tuple[str, ...]] = ("requests", *shared_fields)
    template_fields: Sequence[str] = (*shared_fields, *RunflowBatchOperator.template_fields)

    def __init__(
        self,
        *,
        requests: Any,
        prompt: str | None = None,
        quality: str = "high",
        num_images: int = 1,
        image_size: str | dict[str, int] | None = None,
        output_format: str = "png",
        **kwargs: Any,
    ) -> None:
        super().__init__(requests=requests, **kwargs)
        self.prompt = prompt
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.output_format = output_format
        self.check_parameters()


class GptImage2EditBatchOperator(ReadsReferences, RunflowBatchOperator):
    """
    Make new pictures from pictures, for many requests in one task, with GPT Image 2 Edit; each is paid once.

    An item takes the parameters of :class:`GptImage2EditOperator`; those given here are for all items that have none of
    their own. All parameters of :class:`~airflow_provider_runflow.operators.batch.RunflowBatchOperator` apply as well.

    :param requests: a list of items, or a path to them. (a path: templated)
    :param prompt: see :class:`GptImage2EditOperator`, as for the others. (templated)
    :param references: the pictures to work from. (templated)
    :param mask: a picture that shows where to edit. (templated)
    :param references_conn_id: Airflow connection of the files' store. (templated)
    :param quality: ``low``, ``medium`` or ``high``. (templated)
    :param num_images: pictures of each item, 1-10. (templated)
    :param image_size: a preset, ``"1088x1360"`` or ``{"width": 1088, "height": 1360}``. (templated)
    :param output_format: ``png``, ``jpeg`` or ``webp``. (templated)
    :raises InvalidRequestError: a parameter or an item breaks a rule; when the DAG is parsed if it is a literal, else
        before anything is submitted.
    """

    model = "openai/gpt-image-2/edit"
    single = GptImage2EditOperator
    shared_fields: ClassVar[tuple[str, ...]] = GptImage2EditOperator.input_fields
    input_fields: ClassVar[tuple[str, ...]] = ("requests", *shared_fields)
    template_fields: Sequence[str] = (*shared_fields, "references_conn_id", *RunflowBatchOperator.template_fields)

    def __init__(
        self,
        *,
        requests: Any,
        prompt: str | None = None,
        references: Sequence[str] | str | None = None,
        mask: str | None = None,
        references_conn_id: str | None = None,
        quality: str = "high",
        num_images: int = 1,
        image_size: str | dict[str, int] | None = None,
        output_format: str = "png",
        **kwargs: Any,
    ) -> None:
        super().__init__(requests=requests, **kwargs)
        self.prompt = prompt
        self.references = references
        self.mask = mask
        self.references_conn_id = references_conn_id
        self.quality = quality
        self.num_images = num_images
        self.image_size = image_size
        self.output_format = output_format
        self.check_parameters()
