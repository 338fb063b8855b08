# SPDX-License-Identifier: Apache-2.0
"""Any model of Runflow, its input as a dict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.base import RunflowRunOperator
from airflow_provider_runflow.operators.batch import RunflowBatchOperator
from airflow_provider_runflow.operators.checks import filled_in, is_literal

if TYPE_CHECKING:
    from airflow_provider_runflow.runs.identity import Request
    from airflow_provider_runflow.runs.items import Item


class RunflowModelOperator(RunflowRunOperator):
    """
    Buy one run of any image model of Runflow and land what it made; it is paid once.

    For models that have no operator of their own, and for parameters that an operator does not know yet: ``input`` is
    sent as it is, and Runflow is the judge of it. All parameters of
    :class:`~airflow_provider_runflow.operators.base.RunflowRunOperator` apply as well.

    :param model: model id, such as ``google/nano-banana-pro``. (templated)
    :param input: the model's parameters, by the names of its page. It is data, not a template: copy may contain
        ``{{ }}``, and every text is sent letter by letter. Outputs of other tasks within it are filled in. Of an
        http(s) address the query does not count for whether two requests are the same: a presigned one differs at each
        try.
    :param render_items: render the texts within ``input`` as templates after all.
    :param check_schema: before submitting, ask Runflow which parameters the model has (``GET /v1/models/…``), and
        submit nothing when one does not exist or a required one is missing.
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal, else before
        anything is submitted.
    """

    input_fields: ClassVar[tuple[str, ...]] = ("model", "input")
    template_fields: Sequence[str] = (*input_fields, *RunflowRunOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RunflowRunOperator.template_fields_renderers,
        "input": "json",
    }

    def __init__(
        self,
        *,
        model: str,
        input: Mapping[str, Any],
        render_items: bool = False,
        check_schema: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.input = input
        self.render_items = render_items
        self.check_schema = check_schema
        self.check_parameters()

    def is_known(self, name: str) -> bool:
        """Whether a parameter has its final value when the DAG is parsed; of data only outputs of tasks have not."""
        if name != "input":
            return super().is_known(name)
        return is_literal(self.input, self.template_ext, templated=self.render_items)

    def model_input(self, *, rendered: bool) -> dict[str, Any]:
        """Check what can be known of a model that nothing here knows."""
        from airflow_provider_runflow.client.protocol import runs_path

        if rendered or self.is_known("model"):
            runs_path(self.model)
        if rendered or self.is_known("input"):
            return as_json_object(self.final("input") if rendered else self.input)
        return {}

    def take(self, parameters: Mapping[str, Any]) -> None:
        """Put parameters that became known on the worker only into ``input``."""
        self.keep("input", {**self.final("input"), **parameters})

    def render_template(self, content: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Render everything but the data."""
        if content is not self.input or self.render_items:
            return super().render_template(content, context, *args, **kwargs)
        return filled_in(content, context)

    def check_request(self, request: Request) -> None:
        """Ask Runflow whether the model takes these parameters, if that is wanted."""
        if not self.check_schema:
            return
        from airflow_provider_runflow.models.schema import check_declared

        declared = self.hook.get_model(request.model).inputs
        if not declared:
            self.log.warning("Runflow tells no parameters of %s, so check_schema has nothing to check.", request.model)
        check_declared(request.model, request.input, declared)


class RunflowModelBatchOperator(RunflowBatchOperator):
    """
    Buy runs of any image models of Runflow for many requests in one task, and land what they made; each is paid once.

    An item is ``{key, labels, alt_text, variation, model, input}``; its ``input`` is put over the one given here, and
    sent as it is. All parameters of :class:`~airflow_provider_runflow.operators.batch.RunflowBatchOperator` apply as
    well.

    :param requests: a list of items, or a path to them. (a path: templated)
    :param model: model id of the items that have none of their own. (templated)
    :param input: the model's parameters for all items; data, not a template. Outputs of other tasks within it are
        filled in.
    :raises InvalidRequestError: a parameter or an item breaks a rule; when the DAG is parsed if it is a literal, else
        before anything is submitted.
    """

    single = RunflowModelOperator
    shared_fields: ClassVar[tuple[str, ...]] = RunflowModelOperator.input_fields
    input_fields: ClassVar[tuple[str, ...]] = ("requests", *shared_fields)
    template_fields: Sequence[str] = (*shared_fields, *RunflowBatchOperator.template_fields)

    def __init__(
        self, *, requests: Any, model: str | None = None, input: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(requests=requests, **kwargs)
        self.model = model  # type: ignore[assignment]  # of the items, then
        self.input = input
        self.check_parameters()

    def is_known(self, name: str) -> bool:
        """Whether a parameter has its final value when the DAG is parsed; of data only outputs of tasks have not."""
        if name != "input":
            return super().is_known(name)
        return is_literal(self.input, self.template_ext, templated=self.render_items)

    def render_template(self, content: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Render everything but the data."""
        if content is self.input and not self.render_items:
            return filled_in(content, context)
        return super().render_template(content, context, *args, **kwargs)

    def model_of(self, item: Item) -> str:
        """Return the model that draws an item."""
        return str(item.parameters.get("model") or self.model or "")

    def item_input(self, item: Item, *, rendered: bool) -> dict[str, Any]:
        """Check what can be known of a model that nothing here knows."""
        from airflow_provider_runflow.client.protocol import runs_path

        if rendered or "model" in item.parameters or self.is_known("model"):
            if not self.model_of(item):
                raise InvalidRequestError("model: is required, here or for the whole task.")
            runs_path(self.model_of(item))
        if not rendered and not self.is_known("input"):
            return as_json_object(item.parameters.get("input") or {})
        return as_json_object({**(self.final("input") or {}), **_mapping(item.parameters.get("input") or {})})


def _mapping(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidRequestError(f"input={str(data)[:80]!r}: must be a JSON object with the model's parameters.")
    return data


def as_json_object(data: Any) -> dict[str, Any]:
    """
    Return a model's input as the JSON that is sent.

    :raises InvalidRequestError: it is no JSON object, or asks for ``sync_mode``.
    """
    from airflow_provider_runflow.models.base import SYNC_MODE_REFUSED

    if not isinstance(data, Mapping):
        raise InvalidRequestError(f"input={repr(data)[:80]}: must be a JSON object with the model's parameters.")
    if "sync_mode" in data:
        raise InvalidRequestError(f"input: {SYNC_MODE_REFUSED}")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(data, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"input: must be a JSON object ({error}).") from None
    return plain
