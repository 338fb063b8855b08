# SPDX-License-Identifier: Apache-2.0
"""The emulator itself: `handle(request, now) -> response`. No clock, no sleep, no socket, no global dice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from . import account, admin, assets, callbacks, create, logs, models, outputs, reading, routes
from .catalogue import CATALOGUE, Model
from .config import EmulatorConfig
from .effects import damaged, fault_response, rate_limit_headers
from .faults import ArmedFault, Fault, Plan
from .ledger import Ledger, ledger
from .pictures import PictureCache
from .runs import Run
from .state import COUNTED, Call, LoggedRequest, State
from .wire import ApiError, Request, Response

Rule = Fault | Mapping[str, Any]
# Called with the state, the call, and the variable parts of the path.
Handler = Callable[..., Response]

STORAGE: Mapping[str, Handler] = {"asset_put": assets.store, "asset_file": assets.serve}
HANDLERS: Mapping[str, Handler] = {
    "create": create.create_run,
    "get": reading.get_run,
    "list": reading.list_runs,
    "cancel": reading.cancel_run,
    "statuses": reading.statuses,
    "logs": logs.list_logs,
    "log": logs.get_log,
    "callback": callbacks.history,
    "callback_secret": callbacks.create_secret,
    "asset_upload": assets.create_upload,
    "asset_confirm": assets.confirm,
    "asset_types": assets.types,
    "asset": assets.get_asset,
    "models": models.list_models,
    "model": models.get_model,
    "pricing": models.pricing,
    "me": account.me,
    "balance": account.balance,
}


class Emulator:
    """A Runflow of one's own.

    Switches are the fields of `EmulatorConfig`, given as one value or by name: `Emulator(time_scale=100)`.
    All methods may be called from several threads.
    """

    def __init__(
        self,
        config: EmulatorConfig | None = None,
        *,
        faults: Iterable[Rule] = (),
        models: Mapping[str, Model] = CATALOGUE,
        **switches: Any,
    ) -> None:
        self._initial = (config or EmulatorConfig()).changed(switches)
        self._initial_rules = [_fault(rule) for rule in faults]
        self._models = models
        self._lock = threading.RLock()
        self._cache = PictureCache()
        self.state = State.fresh(self._initial, models, self._initial_rules)

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer one request at one moment."""
        if now.tzinfo is None:
            raise ValueError("`now` needs a time zone")
        with self._lock:
            response, decisive = self._answer(request, now)
        response = response.rendered()
        return response if decisive is None else damaged(response, decisive)

    def ledger(self, now: datetime) -> Ledger:
        """Give what has been billed by now, and how often each route was asked."""
        with self._lock:
            return ledger(self.state, now)

    @property
    def config(self) -> EmulatorConfig:
        """The switches as they are."""
        return self.state.config

    def configure(self, **switches: Any) -> EmulatorConfig:
        """Change switches for what comes; runs that exist keep their timeline and their pictures."""
        with self._lock:
            self.state.config = self.state.config.changed(switches)
            return self.state.config

    @property
    def faults(self) -> list[ArmedFault]:
        """The armed rules with their counters."""
        return list(self.state.faults.armed)

    def add_fault(self, rule: Rule | None = None, **keys: Any) -> ArmedFault:
        """Arm one rule, given as a `Fault`, a dict, or by name: `add_fault(route="get", effect="status")`."""
        return self.add_faults([_fault(keys if rule is None else rule)])[0]

    def add_faults(self, rules: Iterable[Rule]) -> list[ArmedFault]:
        """Arm several rules, or none of them when one is wrong."""
        checked = [_fault(rule) for rule in rules]
        with self._lock:
            return [self.state.faults.add(fault) for fault in checked]

    def clear_faults(self, fault_id: str | None = None) -> int:
        """Disarm one rule, or all; tell how many."""
        with self._lock:
            return self.state.faults.remove(fault_id)

    def reset(self) -> None:
        """Forget all runs and requests; switches and rules are again what they were at the start."""
        with self._lock:
            self.state = State.fresh(self._initial, self._models, self._initial_rules)

    @property
    def runs(self) -> list[Run]:
        """All runs in the order of their numbers."""
        with self._lock:
            return list(self.state.runs.values())

    @property
    def request_log(self) -> list[LoggedRequest]:
        """The latest requests in the order of their arrival."""
        with self._lock:
            return list(self.state.log)

    def picture(self, run_id: str, index: int = 0) -> bytes:
        """Give the bytes of a picture as they are served."""
        return self._cache.get(self.state.runs[run_id].picture(index))

    def picture_urls(self, run_id: str, now: datetime, base_url: str) -> list[str]:
        """Sign the URLs of a run's pictures for a page or a test."""
        with self._lock:
            call = Call(Request("GET", "/", base_url=base_url), now, Plan())
            return outputs.signed_urls(self.state, self.state.runs[run_id], call)

    def callbacks_due(self, now: datetime, base_url: str) -> list[callbacks.Delivery]:
        """Give the callbacks whose time has come, for a skin that can send them."""
        with self._lock:
            return callbacks.due(self.state, now, base_url)

    def callback_tried(self, delivery: callbacks.Delivery, result: callbacks.Result, now: datetime) -> None:
        """Say what became of a try to deliver a callback."""
        with self._lock:
            callbacks.record(delivery, result, now)

    def _answer(self, request: Request, now: datetime) -> tuple[Response, Fault | None]:
        if request.path == "/":
            return Response(307, {"location": admin.PREFIX}), None
        if request.path == admin.PREFIX or request.path.startswith(f"{admin.PREFIX}/"):
            return self._admin(request, now), None
        route = routes.match(request.method, request.path)
        plan = self.state.faults.plan(routes.subject(self.state, route, request))
        decisive = plan.decisive
        if decisive is not None and plan.prevents:
            response = fault_response(decisive, now)
        else:
            response = self._process(route, Call(request, now, plan))
        response = replace(response, delay=plan.delay, bytes_per_second=plan.bytes_per_second)
        if self.config.rate_limit_headers and request.path.startswith("/v1/"):
            response = rate_limit_headers(self.state, request, response, now)
        self._record(request, now, route.name, response, decisive)
        return response, None if plan.prevents else decisive

    def _admin(self, request: Request, now: datetime) -> Response:
        try:
            return admin.answer(self, request, now)
        except ApiError as error:
            return error.response()

    def _process(self, route: routes.Match, call: Call) -> Response:
        state = self.state
        try:
            if route.name == "output":
                return outputs.serve_output(state, self._cache, call, *route.parts)
            if route.name in STORAGE:
                return STORAGE[route.name](state, call, *route.parts)
            if route.name == "health":
                return account.health()
            routes.check(route)
            key, org_id = account.authenticate(state, call.request)
            return HANDLERS[route.name](state, replace(call, api_key=key, org_id=org_id), *route.parts)
        except ApiError as error:
            return error.response()

    def _record(self, request: Request, now: datetime, route: str, response: Response, decisive: Fault | None) -> None:
        self.state.requests[COUNTED.get(route, "other")] += 1
        status: int | None = response.status
        if decisive is not None and decisive.effect is not None:
            dropped = decisive.effect.startswith("drop")
            status = None if dropped else damaged(response, decisive, head_only=True).status
        key = request.headers.get("idempotency-key")
        self.state.log.append(LoggedRequest(now, route, request.method, request.path, status, key))


def _fault(rule: Rule) -> Fault:
    return rule if isinstance(rule, Fault) else Fault.from_dict(rule)
