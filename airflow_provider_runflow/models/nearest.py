# SPDX-License-Identifier: Apache-2.0
"""Which size to buy when a channel wants one that the model does not draw."""

from __future__ import annotations

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.models import get_model
from airflow_provider_runflow.models.sizes import LONGEST_EDGE, SizeRule, nearest_listed


def nearest_generation_size(width: int, height: int, model: str = "openai/gpt-image-2") -> tuple[int, int]:
    """
    Find the size to buy for a picture that is cut to ``width`` x ``height`` afterwards.

    Its aspect ratio is the same or the nearest that the model draws, and no edge is shorter than wanted where the
    model's limits allow that, so that nothing is scaled up.

    >>> nearest_generation_size(1080, 1350)
    (1088, 1360)

    :param width: wanted, in pixels.
    :param height: wanted, in pixels.
    :param model: id of a model of the catalogue.
    :return: width and height of a size that the model takes.
    :raises InvalidRequestError: no such model, it takes no sizes in pixels, or the wanted size is none.
    """
    for name, edge in (("width", width), ("height", height)):
        if type(edge) is not int or not 0 < edge <= LONGEST_EDGE:
            raise InvalidRequestError(f"{name}={edge!r}: must be 1 to {LONGEST_EDGE:,} pixels.")
    sizes = get_model(model).sizes
    if sizes is None:
        raise InvalidRequestError(f"model={model!r}: takes no size in pixels.")
    if isinstance(sizes, SizeRule):
        return sizes.nearest(width, height, at_least=True)
    return nearest_listed(width, height, sizes)
