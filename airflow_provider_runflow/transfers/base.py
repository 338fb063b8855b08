# SPDX-License-Identifier: Apache-2.0
"""What the transfers have in common: a run that ended, whoever bought it, into a destination."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_runflow.boundary import airflow_errors
from airflow_provider_runflow.compat import BaseOperator
from airflow_provider_runflow.exceptions import (
    AuthenticationError,
    InvalidRequestError,
    LandingError,
    NotFoundError,
    PermissionDeniedError,
    RunPartialError,
)
from airflow_provider_runflow.hooks.runflow import RunflowHook
from airflow_provider_runflow.links import RUN_XCOM_KEY, RunflowRunLink, run_url
from airflow_provider_runflow.operators.checks import is_literal
from airflow_provider_runflow.operators.common import push_result
from airflow_provider_runflow.operators.shown import store_conn_id

if TYPE_CHECKING:
    from airflow_provider_runflow.client.wire import Run
    from airflow_provider_runflow.landing.job import Job

# A run has the same names whichever task lands it, so that doing it twice changes nothing.
DEFAULT_PATTERN = "{runflow_run_id}-{index}.{ext}"


class RunflowTransferOperator(BaseOperator):
    """
    Land the pictures of a run that was bought elsewhere. Base of the transfers.

    It lands as the operators that buy do: the untouched bytes, verified, each with its sidecar, and the same return
    value. It buys nothing, and landing twice is a no-op with the same result: what is there already, by its sidecar and
    its sha256, is not downloaded again.

    It does not wait: put a :class:`~airflow_provider_runflow.sensors.run_completion.RunCompletionSensor` before it.
    Land soon, since Runflow does not keep pictures for ever. A run that delivered in part lands what it delivered, and
    succeeds with a warning.

    :param runflow_run_id: Runflow's id of the run, such as ``submit.output["run_id"]``. (templated)
    :param model: the model's id for sidecar and return value, where Runflow's run does not name it. (templated)
    :param runflow_conn_id: id of the Airflow connection of type ``runflow``. (templated)
    :param filename_pattern: name of each picture, from ``{runflow_run_id} {index} {ext} {task_id} {map_index} {key}
        {take} {request}``. (templated)
    :param replace: overwrite another picture that has the name. With ``False`` the picture lands under a name with 8
        characters of its hash, and a warning.
    :param sidecars: where the JSON beside each picture goes: ``beside``, another prefix, or ``None``. (templated)
    :param derivatives: exact channel sizes, made beside each untouched master for $0: a list of presets by name, such
        as ``["meta_feed", "stories"]``, or mappings ``{name or preset, width, height, fit, focal_point, max_bytes,
        format, background, quantize}`` (docs/channel-sizes.md). Needs the extra ``[derivatives]``. (templated)
    :param aws_conn_id: connection for S3. (templated)
    :param encrypt: S3: encrypt on the server side (AES256).
    :param acl_policy: S3: canned ACL of the pictures.
    :param cache_control: S3: ``Cache-Control`` of the pictures.
    :param extra_args: S3: any other argument of ``put_object``, such as ``{"ContentDisposition": "inline"}``.
    :return: ``{schema_version, run_id, model, status, cost_usd, duration_ms, client_ref, images}``, each also pushed as
        an XCom of its own; ``images`` lists ``{index, uri, content_type, width, height, size_bytes, sha256}``, and
        ``derivatives`` where there are any.
    """

    template_fields: Sequence[str] = (
        "runflow_run_id",
        "model",
        "runflow_conn_id",
        "filename_pattern",
        "sidecars",
        "derivatives",
        "aws_conn_id",
    )
    # What makes the names of the pictures: checked when the DAG is parsed, if all of it is literal then.
    place_fields: ClassVar[tuple[str, ...]] = ("filename_pattern",)
    operator_extra_links = (RunflowRunLink(),)
    ui_color = "#efe7fb"

    def __init__(
        self,
        *,
        runflow_run_id: str,
        model: str | None = None,
        runflow_conn_id: str = RunflowHook.default_conn_name,
        filename_pattern: str | None = None,
        replace: bool = False,
        sidecars: str | None = "beside",
        derivatives: Sequence[Any] | None = None,
        aws_conn_id: str | None = "aws_default",
        encrypt: bool = False,
        acl_policy: str | None = None,
        cache_control: str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.runflow_run_id = runflow_run_id
        self.model = model
        self.runflow_conn_id = runflow_conn_id
        self.filename_pattern = filename_pattern
        self.replace = replace
        self.sidecars = sidecars
        self.derivatives = derivatives
        self.aws_conn_id = aws_conn_id
        self.encrypt = encrypt
        self.acl_policy = acl_policy
        self.cache_control = cache_control
        self.extra_args = extra_args
        # The run as soon as it is read: from then on no error may say that nothing was bought.
        self._bought: str | None = None

    def place(self) -> tuple[str, str]:
        """Return the destination prefix and the pattern below it; with a pattern of its own it holds one picture."""
        raise NotImplementedError

    @property
    def one_name(self) -> str | None:
        """The parameter that names the one picture which is expected, if one does."""
        return None

    def check_parameters(self) -> None:
        """
        Check what is literal when the DAG is parsed; what is a template is checked before anything is read.

        Called at the end of every subclass's ``__init__``.

        :raises InvalidRequestError: naming parameter, value and rule.
        """
        if not getattr(self, "_BaseOperator__from_mapped", False):
            names = {name for name in self.template_fields if is_literal(getattr(self, name))}
            self._check(names)
            if names.issuperset(self.place_fields):
                self._checked_place()

    @cached_property
    def hook(self) -> RunflowHook:
        """The hook of this task's connection."""
        return RunflowHook(self.runflow_conn_id)

    def execute(self, context: Any) -> dict[str, Any]:
        """Read the run, and land what is not there yet."""
        with airflow_errors(self, lambda: self._bought, context):
            self._check(set(self.template_fields))
            destination, pattern = self._checked_place()
            run = self._read()
            self._bought = run.id
            self.run_url = run_url(self.hook.settings.run_url_template, run.id, context["ti"])
            if self.do_xcom_push:
                facts = {"run_id": run.id, "conn_id": store_conn_id(self, destination)}
                context["ti"].xcom_push(key=RUN_XCOM_KEY, value=facts)
            return self._land(context, run, destination, pattern)

    def _land(self, context: Any, run: Run, destination: str, pattern: str) -> dict[str, Any]:
        from airflow_provider_runflow.landing.names import check_pattern
        from airflow_provider_runflow.operators.delivery import LandingPlace, place_facts
        from airflow_provider_runflow.runs.result import make_result

        self._check_delivered(run)
        check_pattern(pattern, num_images=len(run.output_urls))
        place = LandingPlace(**place_facts(self, destination))
        job = self._job(context, run, pattern)
        found = place.find_job(job)
        try:
            if found is not None:
                there = ", ".join(image.uri for image in found.images)
                self.log.info("Landed before: %s. Nothing is downloaded.", there)
                landed = place.complete_job(job, found.images, run.id, found.cost_usd)
            else:
                place.store.check()
                landed = place.land_job(job, run)
        except LandingError as error:
            images = [image.as_dict() for image in getattr(error, "landed", [])]
            push_result(self, context, make_result(job, run, images))
            raise
        result = make_result(job, run, [image.as_dict() for image in landed])
        if unmade := [why for image in landed for why in image.unmade]:
            push_result(self, context, result)
            raise RunPartialError(
                f"All {len(landed)} pictures of Runflow run {run.id} are landed, but {'; '.join(unmade)}. A retry "
                "would find the same, so it is not tried; correct `derivatives` and clear the task: what is missing is "
                "made of what is landed, for $0."
            )
        return result

    def _read(self) -> Run:
        from airflow_provider_runflow.runs.waiting import OF_AN_ONLOOKER, unreachable

        run_id = self.runflow_run_id.strip()
        try:
            return self.hook.get_run(run_id)
        except (AuthenticationError, NotFoundError, PermissionDeniedError) as error:
            raise unreachable(run_id, error, OF_AN_ONLOOKER) from error

    def _check_delivered(self, run: Run) -> None:
        from airflow_provider_runflow.runs.outcome import money, not_delivered

        if not run.is_terminal:
            raise LandingError(
                f"Runflow run {run.id} is still {run.status_code}, so there is nothing to land yet. It goes on and is "
                "billed if it succeeds. Put a RunCompletionSensor before this task; a retry looks again, for $0."
            )
        if not run.is_delivered:
            raise not_delivered([run])
        if not run.output_urls:
            raise LandingError(
                f"Runflow run {run.id} is {run.status_code} but lists no pictures ({money(run)}). A retry of the task "
                "reads it again for $0; submitting another `variation` buys a new picture."
            )
        if self.one_name is not None and len(run.output_urls) != 1:
            raise InvalidRequestError(
                f"{self.one_name}={getattr(self, self.one_name)!r} names one picture, but run {run.id} delivered "
                f"{len(run.output_urls)}. Name a prefix instead"
            )
        if run.status_code == "partial_succeeded":
            self.log.warning("Runflow run %s delivered in part: %d picture(s).", run.id, len(run.output_urls))

    def _job(self, context: Any, run: Run, pattern: str) -> Job:
        from airflow_provider_runflow.client.redact import strip_queries
        from airflow_provider_runflow.landing.derivatives import parse_derivatives
        from airflow_provider_runflow.landing.job import Job
        from airflow_provider_runflow.runs.identity import METADATA_KEY

        ti = context["ti"]
        map_index = -1 if ti.map_index is None else ti.map_index
        model_input = dict(run.input or {})
        prompt = model_input.get("prompt")
        if isinstance(prompt, str):
            prompt = model_input["prompt"] = strip_queries(prompt)
        # A run that an operator of this package bought says in its metadata what for.
        bought = (run.metadata or {}).get(METADATA_KEY)
        known: Mapping[str, Any] = bought if isinstance(bought, Mapping) else {}

        def told(name: str, kind: type) -> Any:
            return known[name] if type(known.get(name)) is kind else None

        return Job(
            model=self.model or None,
            input=model_input,
            prompt=prompt if isinstance(prompt, str) else None,
            variation=told("variation", str),
            labels={},
            alt_text=None,
            client_ref=run.client_ref,
            item_key=told("item_key", str) or "",
            fingerprint=told("fingerprint", str),
            fingerprint_version=told("fingerprint_version", int),
            ordinal=told("ordinal", int),
            request=hashlib.sha256(run.id.encode()).hexdigest()[:12],
            num_images=len(run.output_urls),
            ext=str(model_input.get("output_format") or ""),
            filename_pattern=pattern,
            replace=self.replace,
            airflow={"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": map_index},
            task_id=ti.task_id,
            map_index=map_index,
            run_id=run.id,
            suffix=self.one_name is None,
            derivatives=parse_derivatives(self.derivatives),
        )

    def _check(self, names: set[str]) -> None:
        from airflow_provider_runflow.stores import check_destination

        run_id: Any = self.runflow_run_id
        if "runflow_run_id" in names and (not isinstance(run_id, str) or not run_id.strip()):
            raise InvalidRequestError(f"runflow_run_id={run_id!r}: must be the id that submitting a run returned.")
        if "sidecars" in names and self.sidecars not in (None, "beside"):
            check_destination(str(self.sidecars))
        if "derivatives" in names and self.derivatives is not None:
            from airflow_provider_runflow.landing.derivatives import parse_derivatives

            parse_derivatives(self.derivatives)

    def _checked_place(self) -> tuple[str, str]:
        from airflow_provider_runflow.landing.names import check_pattern
        from airflow_provider_runflow.stores import check_destination

        destination, pattern = self.place()
        check_destination(destination)
        check_pattern(pattern, num_images=1)
        return destination, pattern
