# SPDX-License-Identifier: Apache-2.0
"""Runflow to S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_runflow.exceptions import InvalidRequestError
from airflow_provider_runflow.transfers.base import DEFAULT_PATTERN, RunflowTransferOperator


class RunflowToS3Operator(RunflowTransferOperator):
    """
    Land the pictures of a run that was bought elsewhere, in an S3 bucket.

    All parameters of :class:`~airflow_provider_runflow.transfers.base.RunflowTransferOperator` apply as well.

    :param s3_bucket: name of the bucket. (templated)
    :param s3_prefix: below which the pictures land, as ``filename_pattern`` names them; empty for the top of the
        bucket. (templated)
    :param s3_key: instead of it, the key of the one picture of the run. Another picture that has the key is an error,
        unless ``replace=True``: who reads this key must not go on finding the old one. (templated)
    :raises InvalidRequestError: a parameter breaks a rule; when the DAG is parsed if it is a literal. Also when
        ``s3_key`` is given and the run delivered more than one picture.
    """

    template_fields: Sequence[str] = ("s3_bucket", "s3_prefix", "s3_key", *RunflowTransferOperator.template_fields)
    place_fields = ("s3_bucket", "s3_prefix", "s3_key", *RunflowTransferOperator.place_fields)

    def __init__(
        self, *, s3_bucket: str, s3_prefix: str | None = None, s3_key: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.s3_bucket = s3_bucket
        self.s3_prefix = s3_prefix
        self.s3_key = s3_key
        self.check_parameters()

    @property
    def one_name(self) -> str | None:
        """``s3_key``, when it is given."""
        return "s3_key" if self.s3_key is not None else None

    def check_parameters(self) -> None:
        """Check what is literal when the DAG is parsed, and which parameters are given."""
        super().check_parameters()
        if not getattr(self, "_BaseOperator__from_mapped", False):
            self._check_choice()

    def place(self) -> tuple[str, str]:
        """Return the destination and the pattern; a key is a prefix and a name."""
        self._check_choice()
        bucket: Any = self.s3_bucket
        if not isinstance(bucket, str) or not bucket or set(bucket) & set("/:@"):
            raise InvalidRequestError(f"s3_bucket={bucket!r}: must be the bare name of a bucket.")
        if self.s3_key is None:
            prefix = str(self.s3_prefix).strip("/")
            return f"s3://{bucket}/{prefix}", self.filename_pattern or DEFAULT_PATTERN
        folder, _, name = self.s3_key.rpartition("/")
        if not name or self.s3_key.startswith("/") or set(self.s3_key) & set("{}"):
            raise InvalidRequestError(
                f"s3_key={self.s3_key!r}: must name an object, without a slash in front or at its end, and without "
                "braces."
            )
        return f"s3://{bucket}/{folder}", name

    def _check_choice(self) -> None:
        key, prefix = self.s3_key, self.s3_prefix
        if (key is None) == (prefix is None):
            raise InvalidRequestError(f"s3_prefix={prefix!r}, s3_key={key!r}: give one of the two.")
        if key is not None and self.filename_pattern is not None:
            raise InvalidRequestError(
                f"filename_pattern={self.filename_pattern!r} with s3_key={key!r}: the key is the whole name already."
            )
