# SPDX-License-Identifier: Apache-2.0
"""The public names with their signatures and defaults: DAG files depend on them, so a change here is a breaking one."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

OPERATOR = {
    "runflow_conn_id": "runflow_default",
    "deferrable": False,
    "poll_interval": 5.0,
    "timeout": 1800.0,
    "destination": None,
    "filename_pattern": None,
    "replace": False,
    "sidecars": "beside",
    "derivatives": None,
    "reuse_within": "dag_run",
    "on_unknown": "fail",
    "on_blocked": "fail",
    "max_cost_usd": None,
    "check_balance": False,
    "metadata": None,
    "callback_url": None,
    "cancel_on_kill": False,
    "partition_assets": False,
    "aws_conn_id": "aws_default",
    "encrypt": False,
    "acl_policy": None,
    "cache_control": None,
    "extra_args": None,
}
REQUIRED = inspect.Parameter.empty
EMPTY: dict[str, Any] = {}
TRANSFER = {
    "runflow_run_id": REQUIRED,
    "model": None,
    "runflow_conn_id": "runflow_default",
    "filename_pattern": None,
    "replace": False,
    "sidecars": "beside",
    "derivatives": None,
    "aws_conn_id": "aws_default",
    "encrypt": False,
    "acl_policy": None,
    "cache_control": None,
    "extra_args": None,
}

SIGNATURES: dict[str, dict[str, Any]] = {
    "policies.RunflowRetryPolicy": {},
    "policies.RunflowRetryPolicy.evaluate": {
        "exception": REQUIRED,
        "try_number": REQUIRED,
        "max_tries": REQUIRED,
        "context": None,
    },
    "brief.expand_brief": {"brief": REQUIRED, "axes": None, "exclude": (), "overrides": ()},
    "pictures.picture_url": {
        "task_id": REQUIRED,
        "index": 0,
        "key": None,
        "map_index": -1,
        "thumbnail": False,
        "dag_id": None,
        "run_id": None,
    },
    "pictures.picture_markdown": {"task_id": REQUIRED, "alt_text": REQUIRED, "index": 0},
    "pictures.copy_picture": {
        "image": REQUIRED,
        "destination": REQUIRED,
        "name": None,
        "approved_sha256": None,
        "conn_id": None,
        "destination_conn_id": None,
    },
    "operators.common.RunflowBaseOperator": OPERATOR,
    "operators.base.RunflowRunOperator": {"wait_for_completion": True, "variation": None, "item_key": None},
    "operators.gpt_image_2.GptImage2Operator": {
        "prompt": REQUIRED,
        "quality": "high",
        "num_images": 1,
        "image_size": None,
        "output_format": "png",
    },
    "operators.gpt_image_2.GptImage2EditOperator": {
        "prompt": REQUIRED,
        "references": REQUIRED,
        "mask": None,
        "references_conn_id": None,
        "quality": "high",
        "num_images": 1,
        "image_size": None,
        "output_format": "png",
    },
    "operators.gpt_image_1_5.GptImage15Operator": {
        "prompt": REQUIRED,
        "quality": "high",
        "num_images": 1,
        "image_size": None,
        "background": None,
        "output_format": "png",
    },
    "operators.gpt_image_1_5.GptImage15EditOperator": {
        "prompt": REQUIRED,
        "references": REQUIRED,
        "mask": None,
        "references_conn_id": None,
        "quality": None,
        "num_images": None,
        "image_size": None,
        "background": None,
        "output_format": None,
    },
    "operators.flux.Flux11ProOperator": {"prompt": REQUIRED, "width": None, "height": None, "seed": None},
    "operators.flux.Flux11ProUltraOperator": {
        "prompt": REQUIRED,
        "aspect_ratio": None,
        "raw": None,
        "num_images": None,
        "output_format": None,
    },
    "operators.batch.RunflowBatchOperator": {
        "requests": REQUIRED,
        "render_items": False,
        "requests_conn_id": None,
        "min_success": None,
        "max_in_flight": 16,
        "requests_per_minute": None,
        "tag_objects": False,
    },
    "operators.gpt_image_2.GptImage2BatchOperator": {
        "requests": REQUIRED,
        "prompt": None,
        "quality": "high",
        "num_images": 1,
        "image_size": None,
        "output_format": "png",
    },
    "operators.gpt_image_2.GptImage2EditBatchOperator": {
        "requests": REQUIRED,
        "prompt": None,
        "references": None,
        "mask": None,
        "references_conn_id": None,
        "quality": "high",
        "num_images": 1,
        "image_size": None,
        "output_format": "png",
    },
    "operators.runflow.RunflowModelBatchOperator": {"requests": REQUIRED, "model": None, "input": None},
    "manifest.read_manifest": {"uri": REQUIRED, "conn_id": None},
    "manifest.ManifestRow": {
        "key": REQUIRED,
        "outcome": REQUIRED,
        "reason": None,
        "code": None,
        "model": None,
        "prompt": None,
        "input": EMPTY,
        "labels": EMPTY,
        "alt_text": None,
        "variation": None,
        "runflow_run_id": None,
        "cost_usd": None,
        "reused": False,
        "dropped": False,
        "client_ref": None,
        "fingerprint": None,
        "images": (),
    },
    "operators.runflow.RunflowModelOperator": {
        "model": REQUIRED,
        "input": REQUIRED,
        "render_items": False,
        "check_schema": False,
    },
    "decorators.runflow_image.runflow_image_task": {
        "python_callable": None,
        "model": "openai/gpt-image-2",
        "multiple_outputs": True,
    },
    "estimate.estimate_cost": {"requests": REQUIRED, "model": "openai/gpt-image-2"},
    "models.register": {"model": REQUIRED},
    "models.base.ImageModel": {
        "id": REQUIRED,
        "input": REQUIRED,
        "price": REQUIRED,
        "output_format": "png",
        "sizes": None,
    },
    "models.nearest.nearest_generation_size": {
        "width": REQUIRED,
        "height": REQUIRED,
        "model": "openai/gpt-image-2",
    },
    "sensors.run_completion.RunCompletionSensor": {
        "run_id": None,
        "run_ids": None,
        "runflow_conn_id": "runflow_default",
        "deferrable": False,
        "poke_interval": None,
        "timeout": 1800.0,
        "end_from_trigger": False,
    },
    "transfers.base.RunflowTransferOperator": TRANSFER,
    "transfers.runflow_to_s3.RunflowToS3Operator": {"s3_bucket": REQUIRED, "s3_prefix": None, "s3_key": None},
    "transfers.runflow_to_object_storage.RunflowToObjectStorageOperator": {"destination": REQUIRED},
    "triggers.run_completion.RunCompletionTrigger": {
        "run_id": REQUIRED,
        "runflow_conn_id": REQUIRED,
        "poll_interval": REQUIRED,
        "deadline": REQUIRED,
        "not_before": 0.0,
        "cancel_on_kill": False,
        "end_from_trigger": False,
        "client_ref": None,
        "count": 0,
        "since": 0.0,
    },
    "hooks.runflow.RunflowHook": {"runflow_conn_id": "runflow_default"},
    "hooks.runflow.RunflowHook.create_run": {
        "model": REQUIRED,
        "input": REQUIRED,
        "client_ref": None,
        "metadata": None,
        "callback_url": None,
        "idempotency_key": None,
    },
    "hooks.runflow.RunflowHook.get_run": {"run_id": REQUIRED},
    "hooks.runflow.RunflowHook.find_runs": {"client_ref": REQUIRED},
    "hooks.runflow.RunflowHook.list_runs": {"q": None, "fields": None, "sort_by": None, "limit": None, "cursor": None},
    "hooks.runflow.RunflowHook.wait_for_run": {"run_id": REQUIRED, "poll_interval": 5.0, "timeout": 1800.0},
    "hooks.runflow.RunflowHook.get_run_logs": {"run_id": REQUIRED},
    "hooks.runflow.RunflowHook.list_statuses": {},
    "hooks.runflow.RunflowHook.get_balance": {},
    "hooks.runflow.RunflowHook.list_models": {"q": None},
    "hooks.runflow.RunflowHook.get_model": {"model": REQUIRED},
    "hooks.runflow.RunflowHook.get_pricing": {"model": REQUIRED},
    "hooks.runflow.RunflowHook.upload_asset": {"file": REQUIRED, "filename": REQUIRED, "mime_type": None},
    "hooks.runflow.RunflowHook.get_asset": {"asset_id": REQUIRED},
    "hooks.runflow.RunflowHook.verify_callback": {"body": REQUIRED, "signature": REQUIRED, "tolerance": None},
    "hooks.runflow.RunflowHook.test_connection": {},
    "hooks.runflow.RunflowHook.get_conn": {},
    "client.callbacks.verify_signature": {
        "body": REQUIRED,
        "signature": REQUIRED,
        "secret": REQUIRED,
        "tolerance": None,
        "now": None,
    },
}

EXCEPTIONS = {
    "ApiError": "default",
    "AuthenticationError": "never",
    "BeforeMoneyError": "default",
    "AfterMoneyError": "default",
    "BatchEndedError": "never",
    "BatchError": "default",
    "BudgetExceededError": "never",
    "CallbackExpiredError": "never",
    "CallbackMalformedError": "never",
    "CallbackRejectedError": "never",
    "ConfigurationError": "never",
    "ConnectionUnreadableError": "default",
    "ConflictError": "never",
    "DestinationError": "default",
    "InsufficientCreditError": "never",
    "InvalidRequestError": "never",
    "ReferenceUnreadableError": "default",
    "JournalError": "default",
    "LandingError": "default",
    "MalformedResponseError": "default",
    "NameTakenError": "never",
    "NotFoundError": "never",
    "OutputsGoneError": "never",
    "PermissionDeniedError": "never",
    "RateLimitedError": "after",
    "RequestRejectedError": "never",
    "RunBilledError": "never",
    "RunBlockedError": "never",
    "RunCancelledError": "never",
    "RunFailedError": "default",
    "RunInvalidError": "never",
    "RunNotDeliveredError": "never",
    "RunFlaggedError": "never",
    "RunPartialError": "never",
    "RunTimeoutError": "default",
    "RunUnreachableError": "never",
    "RunflowError": "default",
    "ServiceUnavailableError": "default",
    "SignatureMismatchError": "never",
    "SignatureMissingError": "never",
    "SubmissionUncertainError": "default",
    "SubmissionUnknownError": "never",
    "TransportError": "default",
}


def resolve(path: str) -> Any:
    found: Any = import_module("airflow_provider_runflow")
    for name in path.split("."):
        if not hasattr(found, name):
            import_module(f"{found.__name__}.{name}")
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", SIGNATURES)
def test_a_public_signature_is_what_dag_files_rely_on(path: str) -> None:
    found = resolve(path)
    parameters = inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters.values()
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    given = {p.name: p.default for p in parameters if p.kind not in variadic and p.name != "self"}
    assert {name: {} if "factory" in repr(default) else default for name, default in given.items()} == SIGNATURES[path]


def test_a_transfer_names_its_parameters_as_the_operators_that_buy_do() -> None:
    same = TRANSFER.keys() & OPERATOR.keys()
    assert TRANSFER.keys() - same == {"runflow_run_id", "model"}
    assert {name: TRANSFER[name] for name in same} == {name: OPERATOR[name] for name in same}


def test_the_pytest_plugin_has_its_fixture_and_what_tests_ask_of_it() -> None:
    from airflow_provider_runflow import testing

    assert testing.runflow_emulator.__doc__
    names = {name for name in vars(testing.RunflowEmulator) if not name.startswith("_")}
    assert names == {"ledger", "billed", "cost_usd", "runs", "configure", "add_fault", "advance"}
    assert set(testing.RunflowEmulator.__dataclass_fields__) == {"emulator", "clock", "connection"}


def test_each_exception_says_whether_a_retry_can_help() -> None:
    from airflow_provider_runflow import exceptions

    found = {
        name: value.retry
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, exceptions.RunflowError)
    }
    assert found == EXCEPTIONS
    assert all(getattr(exceptions, name).__doc__ for name in EXCEPTIONS)


@pytest.mark.parametrize("path", [path for path in SIGNATURES if path.count(".") >= 2])
def test_everything_public_is_documented_with_each_of_its_parameters(path: str) -> None:
    found = resolve(path)
    doc = inspect.getdoc(found) or ""
    assert doc
    for name in SIGNATURES[path]:
        if inspect.isclass(found) or path.endswith(("create_run", "list_runs")):
            assert f":param {name}:" in doc, f"{path} does not document {name}"
