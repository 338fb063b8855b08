# SPDX-License-Identifier: Apache-2.0
"""``@task.runflow_image``: a function says what the picture shows, an operator buys and lands it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, context_merge, task_decorator_factory
from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION

from airflow_provider_runflow.compat import call_with_context
from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.operators.base import RunflowRunOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_provider_runflow.operators.paid_run import PaidRun

DEFAULT_MODEL = "openai/gpt-image-2"
# The operator of each model; every other model has RunflowModelOperator.
_OPERATORS = {
    "openai/gpt-image-2": "gpt_image_2:GptImage2Operator",
    "openai/gpt-image-2/edit": "gpt_image_2:GptImage2EditOperator",
    "openai/gpt-image-1.5": "gpt_image_1_5:GptImage15Operator",
    "openai/gpt-image-1.5/edit": "gpt_image_1_5:GptImage15EditOperator",
    "black-forest-labs/flux-1-1-pro": "flux:Flux11ProOperator",
    "black-forest-labs/flux-1-1-pro-ultra": "flux:Flux11ProUltraOperator",
}


class RunflowImageTask(DecoratedOperator, RunflowRunOperator):
    """The operator of a model, whose parameters a function returns."""

    custom_operator_name = "@task.runflow_image"
    # What the function returned takes the place of the placeholders in the UI.
    overwrite_rtif_after_execution = True
    # What the operator insists on, and what to give it until the function has been asked.
    placeholders: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **{**self.placeholders, **kwargs},
        )

    def before_request(self, context: Any) -> None:
        """
        Ask the function.

        :raises InvalidRequestError: it returned neither a prompt nor parameters.
        """
        context_merge(context, self.op_kwargs)
        told = call_with_context(self.python_callable, self.op_args, context)
        if not isinstance(told, (str, Mapping)):
            raise InvalidRequestError(
                f"{self.python_callable.__name__} returned {type(told).__name__}: a task of @task.runflow_image must "
                "return the prompt (a text) or the model's parameters (a dict)."
            )
        self.request_is_literal = False
        self.take({"prompt": told} if isinstance(told, str) else told)
        for name in self.placeholders:
            if getattr(self, name) is SET_DURING_EXECUTION:
                self.keep(name, None)

    def show_run(self, context: Any, job: PaidRun, result: Mapping[str, Any] | None = None) -> None:
        """Show the run and what it was asked for: after a wait the function is not asked again."""
        super().show_run(context, job, result)
        own = {wire: name for name, wire in self.wire_names.items()}
        # Another version of this package may have bought it: what cannot be shown must not keep it from landing.
        with suppress(InvalidRequestError):
            self.take({own.get(name, name): value for name, value in job.request.input.items()})


@cache
def task_class(path: str) -> type[RunflowImageTask]:
    """
    Make the class of a decorated task.

    :param path: ``module:class`` of the operator, below ``operators``.
    """
    module, _, name = path.partition(":")
    operator: type[RunflowRunOperator] = getattr(import_module(f"airflow_provider_runflow.operators.{module}"), name)
    required = [
        each.name
        for each in signature(operator.__init__).parameters.values()
        if each.kind is Parameter.KEYWORD_ONLY and each.default is Parameter.empty
    ]
    body: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": operator.__doc__,
        "placeholders": {each: {} if each == "input" else SET_DURING_EXECUTION for each in required},
        "template_fields": (*DecoratedOperator.template_fields, *operator.template_fields),
        "template_fields_renderers": {
            **DecoratedOperator.template_fields_renderers,
            **operator.template_fields_renderers,
        },
    }
    return new_class(f"{name}FromFunction", (RunflowImageTask, operator), exec_body=lambda made: made.update(body))


def runflow_image_task(
    python_callable: Callable[..., Any] | None = None,
    *,
    model: str = DEFAULT_MODEL,
    multiple_outputs: bool = True,
    **kwargs: Any,
) -> TaskDecorator:
    """
    Turn a function into a task that buys and lands pictures: ``@task.runflow_image``.

    The function returns the prompt (a text) or parameters of the model (a dict; they win over those given here). What
    it returns is data, not a template. It runs on the worker before the request is made, at each try again; a retry
    resumes the first request on record, so a function that then returns something else buys nothing more.

    :param model: model id. Each model of the catalogue has the parameters of its own operator, any other one those of
        :class:`~airflow_provider_runflow.operators.runflow.RunflowModelOperator`.
    :param multiple_outputs: push each part of the result as an XCom of its own, too.
    :param kwargs: of the model's operator, such as ``quality``, ``destination``, ``deferrable`` and ``retries``.
    """
    if model not in _OPERATORS:
        kwargs["model"] = model
    decorator: TaskDecorator = task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=task_class(_OPERATORS.get(model, "runflow:RunflowModelOperator")),
        **kwargs,
    )
    return decorator
