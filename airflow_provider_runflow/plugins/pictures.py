# SPDX-License-Identifier: Apache-2.0
"""
The plugin that puts *Pictures* into the Airflow UI: in the navigation, on a DAG run, and on a task instance.

Every Airflow process imports this module, task processes and the DAG processor too, so it holds nothing but
declarations. The application behind them is imported with the first request that an API server passes to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from airflow_provider_runflow.compat import conf, plugin_base
from airflow_provider_runflow.links import PICTURES_PREFIX, RUN_ROUTE, TASK_ROUTE

ICON = "runflow/static/icon.svg"
ICON_DARK = "runflow/static/icon-dark.svg"
# No slash in front: the UI puts them below its own base path.
PAGE = "runflow/pictures"
RUN_PAGE = f"{PAGE}?dag_id={{DAG_ID}}&run_id={{RUN_ID}}"
TASK_PAGE = f"{RUN_PAGE}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}"


class LazyApp:
    """The light table as an ASGI application, imported when the first request comes."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer a request."""
        if self._app is None:
            from airflow_provider_runflow.plugins.app import make_app
            from airflow_provider_runflow.plugins.headers import SecureHeaders

            # Around all of it: what FastAPI answers to an error of our own passes no middleware of the application.
            self._app = SecureHeaders(make_app())
        await self._app(scope, receive, send)


def _view(destination: str, route: str, href: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "Pictures",
        "href": href,
        "destination": destination,
        # Airflow drops the later of two views with one route, whatever plugin they belong to.
        "url_route": route,
        "icon": ICON,
        "icon_dark_mode": ICON_DARK,
        **more,
    }


class RunflowPicturesPlugin(plugin_base()):  # type: ignore[misc]
    """Pictures of all DAG runs, of one, and of one task instance."""

    name = "runflow_pictures"
    fastapi_apps: ClassVar[list[Any]] = [
        {"app": LazyApp(), "url_prefix": PICTURES_PREFIX, "name": "Runflow pictures"},
    ]
    external_views: ClassVar[list[Any]] = [
        _view("nav", "runflow-pictures", PAGE, category="browse"),
        _view("dag_run", RUN_ROUTE, RUN_PAGE),
        _view("task_instance", TASK_ROUTE, TASK_PAGE),
    ]


def __getattr__(name: str) -> Any:
    """
    Return what the entry point ``airflow.plugins`` names.

    Airflow loads the plugins that providers' infos name only with ``[core] lazy_discover_providers = False``. Without
    that setting the entry point brings the plugin; with it, the entry point brings nothing, or the plugin would be
    there twice, which Airflow reports as an error.
    """
    if name != "RunflowPicturesEntryPoint":
        raise AttributeError(name)
    return RunflowPicturesPlugin if conf.getboolean("core", "lazy_discover_providers", fallback=True) else None
