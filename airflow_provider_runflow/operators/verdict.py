# SPDX-License-Identifier: Apache-2.0
"""Whether what a run delivered is what was asked for: how many pictures, of which pixels, fit to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_runflow.exceptions import RunFlaggedError, RunflowError, RunPartialError
from airflow_provider_runflow.landing.land import requested_size
from airflow_provider_runflow.runs.identity import Request


def judge(request: Request, result: Mapping[str, Any], *, unmade: Sequence[str], kept: bool) -> RunflowError | None:
    """
    Hold a delivered run against its request.

    :param request: as recorded.
    :param result: what the operator returns; ``images`` has a row a picture.
    :param unmade: which derivatives could not be made, and why.
    :param kept: whether the pictures are landed.
    :return: what to fail with; ``None`` when all is as asked. Either way everything is paid, and what came is landed.
    """
    images, asked = result["images"], request.num_images
    flagged = [image["index"] for image in images if image.get("nsfw_detected")]
    odd = _of_other_pixels(request, images)
    short = len(images) < asked or result["status"] == "partial_succeeded"
    if not (short or flagged or odd or unmade):
        return None
    there = ", ".join(str(image["uri"] or f"picture {image['index']}") for image in images)
    told = [f"Runflow run {result['run_id']} delivered {len(images)} of {asked} pictures: {there}."]
    paid = f"${result['cost_usd']}" if result["cost_usd"] else "at a cost that is not known yet"
    money = f"They are paid ({paid}) and {'landed' if kept else 'still at Runflow, where they expire'}"
    if flagged and len(flagged) == len(images):
        told.append("Content moderation flags all of them as not safe for work (nsfw_detected).")
        told.append(f"{money}. The same request would be flagged again, so it is not tried: change the prompt.")
        return RunFlaggedError(" ".join(told))
    told += [f"Content moderation flags picture {index} as not safe for work (nsfw_detected)." for index in flagged]
    told += odd
    if unmade:
        told.append(
            f"{money}, but {'; '.join(unmade)}. A retry would find the same, so it is not tried; correct "
            "`derivatives` and clear the task: with reuse_within 'dag_run' or 'destination' what is missing is made of "
            "what is landed, for $0."
        )
    else:
        told.append(f"{money}; a retry would bring the same ones for $0, so it is not tried.")
    if short or flagged or odd:
        told.append("Another `variation` buys a new set.")
    return RunPartialError(" ".join(told))


def usable(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the landed pictures of a result that may be seen: what others are told of, and may publish."""
    return [image for image in result["images"] if image["uri"] and not image.get("nsfw_detected")]


def _of_other_pixels(request: Request, images: Sequence[Mapping[str, Any]]) -> list[str]:
    size = requested_size(request.input)
    if size is None:
        return []
    got = ((image["index"], (image["width"], image["height"])) for image in images if image["width"] is not None)
    return [
        f"Picture {index} has {have[0]}x{have[1]} pixels, {size[0]}x{size[1]} were asked for."
        for index, have in got
        if have != size
    ]
