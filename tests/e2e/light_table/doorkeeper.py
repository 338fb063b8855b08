# SPDX-License-Identifier: Apache-2.0
"""An auth manager for tests: the simple one, but eve may not see the DAG `secret_campaign`."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

SECRET_DAG = "secret_campaign"


class Doorkeeper(SimpleAuthManager):
    def is_authorized_dag(self, *, user: Any, details: Any = None, **more: Any) -> bool:
        if user.get_name() == "eve" and (details is None or details.id in (None, SECRET_DAG)):
            return False
        return super().is_authorized_dag(user=user, details=details, **more)
