# SPDX-License-Identifier: Apache-2.0
"""The name under which a component of the spread-out Airflow is on record (`[core] hostname_callable`)."""

from __future__ import annotations

import os

NAME = "E2E_COMPONENT"


def component_name() -> str:
    """Whose process this is: all of them run on one machine."""
    return os.environ.get(NAME, "migration")
