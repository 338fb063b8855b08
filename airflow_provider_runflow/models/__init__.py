# SPDX-License-Identifier: Apache-2.0
"""The catalogue: what each image model takes, within which limits, and about what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_runflow.models.base import ImageModel


def get_model(model_id: str) -> ImageModel:
    """
    Look a model up by its id.

    Imported on demand: a task process that never validates an input does not pay for building the schemas.

    :param model_id: such as ``openai/gpt-image-2``.
    :raises InvalidRequestError: when the catalogue does not know it.
    """
    from airflow_provider_runflow.models.gpt_image_2 import GPT_IMAGE_2

    catalogue = {model.id: model for model in (GPT_IMAGE_2,)}
    if model_id not in catalogue:
        raise InvalidRequestError(f"model={model_id!r}: not in the catalogue ({', '.join(sorted(catalogue))}).")
    return catalogue[model_id]
