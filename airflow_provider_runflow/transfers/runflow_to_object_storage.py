# SPDX-License-Identifier: Apache-2.0
"""Runflow to any object storage that Airflow knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_runflow.transfers.base import DEFAULT_PATTERN, RunflowTransferOperator


class RunflowToObjectStorageOperator(RunflowTransferOperator):
    """
    Land the pictures of a run that was bought elsewhere, in any object storage.

    All parameters of :class:`~airflow_provider_runflow.transfers.base.RunflowTransferOperator` apply as well.

    :param destination: prefix where they land, such as ``gs://bucket/heroes``, ``abfs://container/heroes`` or any
        scheme that ``ObjectStoragePath`` knows. ``gs://my_conn@bucket/heroes`` names its Airflow connection.
        (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal.
    """

    template_fields: Sequence[str] = ("destination", *RunflowTransferOperator.template_fields)
    place_fields = ("destination", *RunflowTransferOperator.place_fields)

    def __init__(self, *, destination: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.check_parameters()

    def place(self) -> tuple[str, str]:
        """Return the destination and the pattern."""
        return self.destination, self.filename_pattern or DEFAULT_PATTERN
