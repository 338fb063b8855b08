# SPDX-License-Identifier: Apache-2.0
"""What can be known to be wrong when a DAG is parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.runs.identity import METADATA_KEY, OnUnknown, check_reuse_within

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.base import RunflowRunOperator


def is_literal(value: Any, template_ext: Sequence[str] = ()) -> bool:
    """
    Whether a parameter has its final value when the DAG is parsed.

    :param value: as given to the operator.
    :param template_ext: endings that make a string the name of a template file.
    :return: ``False`` for Jinja, template files and other tasks' outputs, at any depth.
    """
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value and not value.endswith(tuple(template_ext))
    if isinstance(value, Mapping):
        return all(is_literal(item, template_ext) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_literal(item, template_ext) for item in value)
    return value is None or isinstance(value, (int, float, bool))


def seconds(value: float | timedelta) -> float:
    """Read a duration."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_operator(operator: RunflowRunOperator) -> None:
    """
    Check every literal parameter of an operator.

    :raises InvalidRequestError: naming parameter, value and rule.
    """
    check_model_input(operator, rendered=False)
    for name in ("poll_interval", "timeout"):
        _check_positive(name, getattr(operator, name))
    check_reuse_within(operator.reuse_within)
    if operator.on_unknown not in get_args(OnUnknown):
        raise InvalidRequestError(f"on_unknown={operator.on_unknown!r}: must be 'fail' or 'resubmit'.")
    if operator.destination is not None and not operator.wait_for_completion:
        raise InvalidRequestError(
            f"destination={operator.destination!r} with wait_for_completion=False: nothing would land there. Leave one "
            "out; to land a run later, wait for it with a second task."
        )
    if is_literal(operator.metadata):
        check_metadata(operator.metadata)
    _check_names(operator)


def check_model_input(operator: RunflowRunOperator, *, rendered: bool) -> dict[str, Any]:
    """
    Check the model's parameters and return the input to send.

    :param rendered: every template has been rendered; before that, templates are left for later.
    :raises InvalidRequestError: naming each parameter, its value and the rule.
    """
    from airflow_provider_runflow.models import get_model

    given = {name: getattr(operator, name) for name in operator.input_fields}
    later = () if rendered else {n for n, v in given.items() if not is_literal(v, operator.template_ext)}
    return get_model(operator.model).validate(given, skip=later)


def check_metadata(metadata: Any) -> None:
    """Raise :class:`InvalidRequestError` unless the metadata is a JSON object without our own key."""
    if metadata is None:
        return
    if not isinstance(metadata, Mapping):
        raise InvalidRequestError(f"metadata={metadata!r}: must be a JSON object.")
    if METADATA_KEY in metadata:
        raise InvalidRequestError(f"metadata: the key {METADATA_KEY!r} is taken by this provider; use another one.")
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"metadata: must be a JSON object ({error}).") from None


def _check_positive(name: str, value: Any) -> None:
    try:
        positive = seconds(value) > 0
    except (TypeError, ValueError):
        positive = False
    if not positive:
        raise InvalidRequestError(f"{name}={value!r}: must be more than 0 seconds.")


def _check_names(operator: RunflowRunOperator) -> None:
    from airflow_provider_runflow.landing.names import check_pattern
    from airflow_provider_runflow.stores import check_destination

    count = getattr(operator, "num_images", 1)
    if operator.filename_pattern is not None and is_literal(operator.filename_pattern) and is_literal(count):
        check_pattern(operator.filename_pattern, num_images=int(count or 1))
    for name in ("destination", "sidecars"):
        value = getattr(operator, name)
        if value is not None and value != "beside" and is_literal(value):
            check_destination(value)
