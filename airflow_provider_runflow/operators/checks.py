# SPDX-License-Identifier: Apache-2.0
"""What can be known to be wrong when a DAG is parsed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.runs.identity import METADATA_KEY, OnUnknown, asked_images, check_reuse_within

if TYPE_CHECKING:
    from airflow_provider_runflow.operators.base import RunflowRunOperator
    from airflow_provider_runflow.operators.common import RunflowBaseOperator
    from airflow_provider_runflow.runs.identity import Request

LONGEST_SECONDS = timedelta(days=30).total_seconds()
# As the reference states it for batches; kept here too, so that parsing a DAG does not load the HTTP client.
MAX_CALLBACK_URL = 2048
QUALITIES = ("low", "medium", "high")


def is_literal(value: Any, template_ext: Sequence[str] = (), *, templated: bool = True) -> bool:
    """
    Whether a parameter has its final value when the DAG is parsed.

    :param value: as given to the operator.
    :param template_ext: endings that make a string the name of a template file.
    :param templated: whether texts are templates; with ``False`` every text is final.
    :return: ``False`` for Jinja, template files and other tasks' outputs, at any depth.
    """
    if isinstance(value, str):
        return not templated or not ("{{" in value or "{%" in value or value.endswith(tuple(template_ext)))
    if isinstance(value, Mapping):
        return all(is_literal(item, template_ext, templated=templated) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_literal(item, template_ext, templated=templated) for item in value)
    return value is None or isinstance(value, (int, float, bool))


def filled_in(data: Any, context: Any) -> Any:
    """Return data in which the outputs of other tasks have their values, and every text is as it was."""
    if isinstance(data, Mapping):
        return {name: filled_in(item, context) for name, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [filled_in(item, context) for item in data]
    resolve = None if isinstance(data, os.PathLike) else getattr(data, "resolve", None)
    return resolve(context) if resolve else data


def seconds(name: str, value: float | timedelta) -> float:
    """
    Read a duration.

    :param name: of the parameter, for the message.
    :param value: seconds, or a timedelta.
    :raises InvalidRequestError: unless it is a number of seconds above 0 and at most 30 days.
    """
    number: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= LONGEST_SECONDS:
        raise InvalidRequestError(
            f"{name}={value!r}: must be a number of seconds or a timedelta, more than 0 and at most 30 days."
        )
    return float(number)


def check_operator(operator: RunflowRunOperator, *, rendered: bool = False) -> dict[str, Any]:
    """
    Check the parameters of an operator that buys one run, and return the model's input to send.

    :param rendered: every template has been rendered; before that, templates are left for later.
    :raises InvalidRequestError: naming parameter, value and rule.
    """
    known = _known(operator, rendered)
    model_input = operator.model_input(rendered=rendered)
    if operator.destination is not None and not operator.wait_for_completion:
        raise InvalidRequestError(
            f"destination={operator.destination!r} with wait_for_completion=False: nothing would land there. Leave one "
            "out; to land a run later, wait for it with a second task."
        )
    if operator.derivatives and not operator.wait_for_completion:
        raise InvalidRequestError(
            "derivatives with wait_for_completion=False: nothing would land to make them of. Give them to the task "
            "that lands the run."
        )
    if operator.item_key is not None and known(operator.item_key):
        _check_item_key(operator.item_key)
    check_common(operator, rendered=rendered)
    if operator.filename_pattern is not None and known(operator.filename_pattern):
        from airflow_provider_runflow.landing.names import check_pattern

        # What other parameters leave open is checked again when they are rendered.
        check_pattern(operator.filename_pattern, num_images=asked_images(model_input))
    return model_input


def check_common(operator: RunflowBaseOperator, *, rendered: bool = False) -> None:
    """
    Check what all operators share.

    :param rendered: every template has been rendered; before that, templates are left for later.
    :raises InvalidRequestError: naming parameter, value and rule.
    """
    known = _known(operator, rendered)
    for name in ("poll_interval", "timeout"):
        seconds(name, getattr(operator, name))
    check_reuse_within(operator.reuse_within)
    if operator.on_unknown not in get_args(OnUnknown):
        raise InvalidRequestError(f"on_unknown={operator.on_unknown!r}: must be 'fail' or 'resubmit'.")
    if operator.on_blocked not in ("fail", "skip"):
        raise InvalidRequestError(f"on_blocked={operator.on_blocked!r}: must be 'fail' or 'skip'.")
    for name, check in _CHECKS.items():
        value = getattr(operator, name)
        if value is not None and known(value):
            check(value)
    for name in ("destination", "sidecars"):
        value = getattr(operator, name)
        if value is not None and value != "beside" and known(value):
            from airflow_provider_runflow.stores import check_destination

            check_destination(value)


def wire_input(
    model: str, given: Mapping[str, Any], wire_names: Mapping[str, str], *, later: Collection[str] = ()
) -> dict[str, Any]:
    """
    Check a model's parameters, and return the ``input`` to send.

    :param given: by the operator's names.
    :param wire_names: what Runflow calls those that it calls otherwise.
    :param later: names whose values are not known yet; the input lacks them.
    :raises InvalidRequestError: naming parameter, value and rule.
    """
    from airflow_provider_runflow.models import get_model

    wire = {name: wire_names.get(name, name) for name in given}
    values = {wire[name]: value for name, value in given.items()}
    called = {wire[name]: name for name in wire}
    return get_model(model).validate(values, skip={wire[name] for name in later}, called=called)


def _known(operator: RunflowBaseOperator, rendered: bool) -> Callable[[Any], bool]:
    return lambda value: rendered or is_literal(value, operator.template_ext)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise InvalidRequestError(f"metadata={metadata!r}: must be a JSON object.")
    if METADATA_KEY in metadata:
        raise InvalidRequestError(f"metadata: the key {METADATA_KEY!r} is taken by this provider; use another one.")
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"metadata: must be a JSON object ({error}).") from None


def _check_callback(url: Any) -> None:
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > MAX_CALLBACK_URL:
        shown = repr(url if not isinstance(url, str) or len(url) <= 80 else f"{url[:77]}...")
        raise InvalidRequestError(
            f"callback_url={shown}: must be an http(s) address of at most {MAX_CALLBACK_URL} characters."
        )


def _check_limit(amount: Any) -> None:
    from airflow_provider_runflow.runs.budget import read_limit

    read_limit("max_cost_usd", amount)


def _check_derivatives(derivatives: Any) -> None:
    from airflow_provider_runflow.landing.derivatives import parse_derivatives

    parse_derivatives(derivatives)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "metadata": _check_metadata,
    "callback_url": _check_callback,
    "max_cost_usd": _check_limit,
    "derivatives": _check_derivatives,
}


def _check_item_key(key: Any) -> None:
    if isinstance(key, bool) or not isinstance(key, (str, int)) or not str(key).strip():
        raise InvalidRequestError(
            f"item_key={key!r}: must be a name or a number; it may not be (or render to) nothing."
        )


def check_quality(request: Request, max_quality: str | None, conn_id: str) -> None:
    """
    Hold a request against its connection's staging guard; a quality that is not sent counts as the model's default.

    :raises InvalidRequestError: it asks for more than ``max_quality`` allows.
    """
    from airflow_provider_runflow.models import quality_of

    quality = quality_of(request.model, request.input) if max_quality is not None else None
    if max_quality is None or quality not in QUALITIES:
        return
    if max_quality not in QUALITIES or QUALITIES.index(quality) > QUALITIES.index(max_quality):
        raise InvalidRequestError(
            f"quality={quality!r}: connection {conn_id!r} allows at most {max_quality!r} (its extra max_quality)."
        )
