# SPDX-License-Identifier: Apache-2.0
"""Whether the account can pay for what a task is about to buy, asked before the first of it is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.exceptions import ApiError, AuthenticationError, InsufficientCreditError

if TYPE_CHECKING:
    from airflow_provider_runflow.hooks.runflow import RunflowHook


def check_balance(hook: RunflowHook, prices: Sequence[Decimal | None], log: Log) -> None:
    """
    Hold the balance against what is about to be bought (``GET /v1/billing/balance``; reference, 14).

    A balance that cannot be read stops nothing: Runflow itself refuses what it does not cover (402).

    :param prices: the estimate of each request; ``None`` where nothing knows one, which counts as nothing.
    :raises InsufficientCreditError: it does not suffice.
    :raises AuthenticationError: the API key is wrong.
    """
    if not prices:
        return
    need = sum((price for price in prices if price is not None), Decimal(0))
    try:
        balance = hook.get_balance().balance
    except AuthenticationError:
        raise
    except ApiError as error:
        log.warning("check_balance: the balance cannot be read (%s). Going on without.", error)
        return
    if balance > 0 and balance >= need:
        return
    what = f"{len(prices)} requests cost about ${need:f}" if len(prices) > 1 else f"the request costs about ${need:f}"
    raise InsufficientCreditError(
        f"check_balance: {what}, and the balance of connection {hook.runflow_conn_id!r} is ${balance:f}. Nothing was "
        "submitted."
    )
