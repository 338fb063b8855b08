# SPDX-License-Identifier: Apache-2.0
"""An auth manager for tests: the simple one, but eve may not see the DAG `secret_campaign`."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

SECRET_DAG = "secret_campaign"
#: A kind of thing, such as ``RUN``, that bob may not read.
NOT_FOR_BOB = ""


class Doorkeeper(SimpleAuthManager):
    def is_authorized_dag(self, *, user: Any, details: Any = None, **more: Any) -> bool:
        if user.get_name() == "eve" and (details is None or details.id in (None, SECRET_DAG)):
            return False
        entity = more.get("access_entity")
        if user.get_name() == "bob" and entity is not None and entity.name == NOT_FOR_BOB:
            return False
        return super().is_authorized_dag(user=user, details=details, **more)
