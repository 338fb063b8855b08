# SPDX-License-Identifier: Apache-2.0
"""Where an operator's pictures go: the landing engine with this task's stores and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_runflow.client.log import Log
from airflow_provider_runflow.exceptions import NotFoundError, OutputsGoneError
from airflow_provider_runflow.landing.seen import SeenStore, listed_names
from airflow_provider_runflow.models import format_of
from airflow_provider_runflow.runs.identity import FINGERPRINT_VERSION, Request, Scope, request_token
from airflow_provider_runflow.runs.journal import Record
from airflow_provider_runflow.runs.result import money_text

if TYPE_CHECKING:
    from airflow_provider_runflow.client.storage import StorageClient
    from airflow_provider_runflow.client.wire import Run
    from airflow_provider_runflow.hooks.runflow import RunflowHook
    from airflow_provider_runflow.landing.derivatives import Derivative
    from airflow_provider_runflow.landing.job import Job, Landed
    from airflow_provider_runflow.landing.land import Found
    from airflow_provider_runflow.landing.store import Store


def place_facts(operator: Any, destination: str) -> dict[str, Any]:
    """
    Return what a :class:`LandingPlace` is made of.

    :param operator: with the parameters that all operators share which land pictures, rendered.
    :param destination: rendered destination prefix.
    """
    options = ("aws_conn_id", "encrypt", "acl_policy", "cache_control", "extra_args")
    return {
        "destination": destination,
        "sidecars": operator.sidecars,
        "store_options": {
            **{name: getattr(operator, name) for name in options},
            "tagged": getattr(operator, "tag_objects", False),
        },
        "hook": operator.hook,
        "log": operator.log,
    }


@dataclass
class LandingPlace:
    """
    A destination with its sidecars, and the way there.

    :param destination: rendered destination prefix.
    :param sidecars: ``beside``, another prefix, or ``None``.
    :param store_options: arguments of ``open_store``.
    :param client: reads from storage hosts; shared by several landings, and closed by who gave it. Default: one each.
    """

    destination: str
    sidecars: str | None
    store_options: Mapping[str, Any]
    hook: RunflowHook
    log: Log
    client: StorageClient | None = None
    _names: Mapping[str, str | None] | None = field(default=None, init=False)
    _sidecar_names: Mapping[str, str | None] | None = field(default=None, init=False)

    @cached_property
    def store(self) -> Store:
        """The destination's store."""
        from airflow_provider_runflow.stores import open_store

        return open_store(self.destination, **self.store_options)

    @cached_property
    def sidecar_store(self) -> Store | None:
        """Where sidecars go, if anywhere."""
        from airflow_provider_runflow.stores import open_store

        if self.sidecars is None:
            return None
        if self.sidecars == "beside":
            return self.store
        return open_store(self.sidecars, **{**self.store_options, "tagged": False})  # only pictures have tags

    def open_stores(self) -> None:
        """Open both stores, before several threads use them; raises as ``open_store`` does. Nothing is asked yet."""
        _ = self.store, self.sidecar_store

    @property
    def known_store(self) -> Store:
        """The destination's store, which does not ask for what :meth:`look_around` did not see."""
        return self.store if self._names is None else SeenStore(self.store, self._names)

    @property
    def known_sidecar_store(self) -> Store | None:
        """As :attr:`known_store`, for sidecars."""
        store = self.sidecar_store
        return store if store is None or self._sidecar_names is None else SeenStore(store, self._sidecar_names)

    @property
    def seen_names(self) -> Mapping[str, str | None] | None:
        """All names that :meth:`look_around` saw; ``None`` when there are too many."""
        return self._names

    def look_around(self) -> None:
        """List what is there already, so that not every name has to be asked for; of a very full place nothing."""
        self._names = listed_names(self.store)
        beside = self.sidecar_store is self.store or self.sidecar_store is None
        self._sidecar_names = self._names if beside else listed_names(self.sidecar_store)

    def find_job(self, job: Job) -> Found | None:
        """Find this very request's pictures where they would land."""
        from airflow_provider_runflow.landing.land import find_landed

        return find_landed(job, self.known_store, self.known_sidecar_store)

    def still_there(self, result: Mapping[str, Any]) -> bool:
        """Whether everything that a recorded result names is still in the destination, unchanged."""
        from airflow_provider_runflow.landing.land import still_there

        return still_there(result.get("images") or [], self.known_store)

    def land_job(self, job: Job, run: Run, log: Log | None = None) -> list[Landed]:
        """
        Copy the run's pictures to the destination.

        :param log: where to tell of it, if not to the task's.
        :raises LandingError: some are paid but not landed; its ``landed`` lists those that are.
        """
        from airflow_provider_runflow.landing.land import land

        with nullcontext(self.client) if self.client else self.open_client() as client:
            return land(
                job,
                run.id,
                run.output_urls,
                money_text(run.cost),
                self.store,
                self.sidecar_store,
                client,
                reread=lambda: self._reread(run.id),
                sleep=self.hook.clock.sleep,
                log=log or self.log,
                now=self.hook.clock.now,
                flagged=run.flagged,
            )

    def complete_job(
        self, job: Job, images: Sequence[Landed], run_id: str, cost_usd: str | None, log: Log | None = None
    ) -> list[Landed]:
        """
        Make what lacks of the derivatives of pictures that landed before.

        :raises LandingError: a store refuses; its ``landed`` lists all pictures, with what there is of them.
        """
        from airflow_provider_runflow.landing.derived import complete

        return complete(
            job,
            images,
            self.known_store,
            self.known_sidecar_store,
            run_id=run_id,
            cost_usd=cost_usd,
            log=log or self.log,
            now=self.hook.clock.now,
        )

    def open_client(self) -> StorageClient:
        """Make a client for the hosts that hold Runflow's pictures; used as a context manager."""
        from airflow_provider_runflow.client.protocol import ssl_context
        from airflow_provider_runflow.client.storage import StorageClient

        allow_http = self.hook.settings.account.allows_http
        return StorageClient(ssl_context(), allow_http=allow_http, transport=self.hook.transport)

    def _reread(self, run_id: str) -> list[str]:
        try:
            return self.hook.get_run(run_id).output_urls
        except NotFoundError as error:
            raise OutputsGoneError(
                f"Runflow run {run_id} is paid, but Runflow does not know it any more ({error}). "
                "A retry cannot help; submitting another `variation` buys a new picture."
            ) from error


@dataclass
class Delivery:
    """
    Land the runs of one request.

    :param place: where, and the way there; shared by the items of a task.
    :param filename_pattern: checked pattern.
    :param replace: whether a foreign picture may be overwritten.
    :param labels: the item's labels.
    :param alt_text: alternative text for its pictures.
    :param tags: of its pictures, where the store has tags.
    :param derivatives: what to make of each picture.
    :param log: of the item, if it has one of its own.
    :param remembered: what a manifest says has landed for it before, by fingerprint.
    """

    place: LandingPlace
    filename_pattern: str
    replace: bool
    scope: Scope
    labels: Mapping[str, str] = field(default_factory=dict)
    alt_text: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    derivatives: tuple[Derivative, ...] = ()
    remembered: Mapping[str, Found] = field(default_factory=dict)
    log: Log | None = None

    def check(self, request: Request) -> None:
        """Find before the money is spent what would keep a picture from landing."""
        from airflow_provider_runflow.landing.land import check_before_money

        if self.derivatives:
            from airflow_provider_runflow.landing.derivatives import check_available

            check_available()
        check_before_money(self.job(request), self.place.known_store, self.place.known_sidecar_store)

    def find(self, request: Request, scope: Scope) -> Found | None:
        """Find this very request's pictures: where a manifest says they are, else where they would land."""
        told = self.remembered.get(request.fingerprint) if scope is self.scope else None
        if told is not None and self.place.still_there({"images": [image.as_dict() for image in told.images]}):
            return told
        return self.place.find_job(self.job(request, scope))

    def still_there(self, result: Mapping[str, Any]) -> bool:
        """Whether everything that a recorded result names is still in the destination, unchanged."""
        return self.place.still_there(result)

    def land(self, record: Record, run: Run) -> list[Landed]:
        """Copy the run's pictures to the destination; raises as :meth:`LandingPlace.land_job` does."""
        return self.place.land_job(self._job_of(record), run, self.log)

    def complete(self, record: Record, result: Mapping[str, Any]) -> list[Landed]:
        """
        Make what lacks of the derivatives of pictures that landed before.

        :param result: lists them; they are all in the destination.
        :raises LandingError: as :meth:`LandingPlace.complete_job` does.
        """
        from airflow_provider_runflow.landing.sidecar import image_of

        prefix = self.place.store.uri("")
        told = [image_of({"image": each}, each["uri"][len(prefix) :]) for each in result["images"]]
        images = [image for image in told if image is not None]
        return self.place.complete_job(self._job_of(record), images, result["run_id"], result["cost_usd"], self.log)

    def _job_of(self, record: Record) -> Job:
        scope = replace(self.scope, client_ref=record.client_ref, item_key=record.item_key)
        return self.job(record.request, scope, record.ordinal)

    def job(self, request: Request, scope: Scope | None = None, ordinal: int = 0) -> Job:
        """Tell landing of a request."""
        from airflow_provider_runflow.landing.job import Job

        scope = scope or self.scope
        task, prompt = scope.task, request.input.get("prompt")
        return Job(
            model=request.model,
            input=request.input,
            prompt=prompt if isinstance(prompt, str) else None,
            variation=request.variation,
            labels=self.labels,
            alt_text=self.alt_text,
            client_ref=scope.client_ref,
            item_key=scope.item_key,
            fingerprint=request.fingerprint,
            fingerprint_version=FINGERPRINT_VERSION,
            ordinal=ordinal,
            request=request_token(scope, request.fingerprint),
            num_images=request.num_images,
            ext=format_of(request.model, request.input),
            filename_pattern=self.filename_pattern,
            replace=self.replace,
            airflow=task.facts(),
            task_id=task.task_id,
            map_index=task.map_index,
            tags=self.tags,
            derivatives=self.derivatives,
        )
