# SPDX-License-Identifier: Apache-2.0
"""The catalogue: what each image model takes, within which limits, and about what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow_provider_runflow.models.base import ImageModel

# Which module holds an entry. It is imported when somebody asks for the model: a task process that never validates an
# input does not pay for building the schemas.
_MODULES = {
    "openai/gpt-image-2": "gpt_image_2",
    "openai/gpt-image-2/edit": "gpt_image_2",
    "openai/gpt-image-1.5": "gpt_image_1_5",
    "openai/gpt-image-1.5/edit": "gpt_image_1_5",
    "black-forest-labs/flux-1-1-pro": "flux",
    "black-forest-labs/flux-1-1-pro-ultra": "flux",
}
_registered: dict[str, ImageModel] = {}


def register(model: ImageModel) -> ImageModel:
    """
    Add a model to the catalogue of this process: one that this package does not know (yet).

    A DAG file is read many times, so registering an id again replaces the entry.

    :raises InvalidRequestError: the package itself knows a model of this id.
    """
    if model.id in _MODULES:
        raise InvalidRequestError(
            f"model={model.id!r}: already in the catalogue; an entry of one's own needs its own id."
        )
    _registered[model.id] = model
    return model


def find_model(model_id: str) -> ImageModel | None:
    """Look a model up by its id, such as ``openai/gpt-image-2``; ``None`` when the catalogue does not know it."""
    if model_id not in _MODULES:
        return _registered.get(model_id)
    models: tuple[ImageModel, ...] = import_module(f"{__name__}.{_MODULES[model_id]}").MODELS
    return next(model for model in models if model.id == model_id)


def get_model(model_id: str) -> ImageModel:
    """
    Look a model up by its id.

    :param model_id: such as ``openai/gpt-image-2``.
    :raises InvalidRequestError: when the catalogue does not know it.
    """
    found = find_model(model_id)
    if found is None:
        raise InvalidRequestError(f"model={model_id!r}: not in the catalogue ({', '.join(model_ids())}).")
    return found


def model_ids() -> list[str]:
    """Ids of all models of the catalogue, in alphabetical order."""
    return sorted({*_MODULES, *_registered})


def quality_of(model_id: str, wire_input: Mapping[str, Any]) -> str | None:
    """Return the quality that a request asks for, or its model's default; ``None`` when it has none that is known."""
    found = find_model(model_id) if "quality" not in wire_input else None
    quality = found.default("quality") if found else wire_input.get("quality")
    return quality if isinstance(quality, str) else None


def format_of(model_id: str, wire_input: Mapping[str, Any]) -> str:
    """Return the file format that a request will bring (``png``, ``jpeg``, …); empty when nothing tells."""
    found = find_model(model_id) if not wire_input.get("output_format") else None
    return (found.output_format if found else str(wire_input.get("output_format") or "")) or ""
