# SPDX-License-Identifier: Apache-2.0
"""What Airflow's provider manager reads about this package."""

from __future__ import annotations

from typing import Any


def _optional(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _option(description: str, default: str | None, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": default,
    }


CONN_FIELDS: dict[str, Any] = {
    "organization_id": _optional(
        "Organization id", "Sent as X-Organization-Id. Empty: the organisation that the API key belongs to."
    ),
    "request_timeout": {
        "label": "Request timeout (s)",
        "description": "Seconds that one HTTP request may take.",
        "schema": {"type": ["number", "null"], "default": 30, "minimum": 1, "maximum": 3600},
    },
    "run_url_template": _optional(
        "Run page",
        "Address of a run's page for the task's extra link, with {run_id}. Empty: the task's Pictures tab.",
    ),
    "max_quality": _optional(
        "Highest quality",
        "A staging guard: no request of a higher quality is submitted. Empty: no guard.",
        enum=["low", "medium", "high"],
    ),
    "callback_secret": _optional(
        "Callback secret",
        "Verifies Runflow's callbacks (whsec_...). Not needed to wait for runs.",
        format="password",
    ),
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port"],
    "relabeling": {"host": "Base URL", "password": "API key"},
    "placeholders": {"host": "https://api.runflow.io", "password": "rf_..."},
}

CONFIG: dict[str, Any] = {
    "runflow": {
        "description": "Options of the Runflow provider.",
        "options": {
            "namespace": _option(
                "Tells Airflow installations apart that share one Runflow organisation: a run of one is never taken "
                "for a run of another. Set it, to the same value on each, when workers run on more than one machine. "
                "Empty: the value of [api] base_url, itself empty unless somebody set it.",
                None,
                "production",
            ),
            "allowed_local_paths": _option(
                "Folders of a worker's disk, separated by commas, from which operators may read file:// references. "
                "Empty: none.",
                None,
                "/srv/product-shots",
            ),
            "default_max_cost_usd": _option(
                "USD that a task without a max_cost_usd may cost in all its attempts. Empty: no limit.",
                None,
                "25.00",
            ),
            "default_destination": _option(
                "Where operators without a destination land their pictures. Empty: nowhere, with a warning.",
                None,
                "s3://brand-assets/generated",
            ),
        },
    }
}


# Module -> integration; these are named by the providers amazon and common.io.
TRANSFERS = {
    "runflow_to_s3": "Amazon Simple Storage Service (S3)",
    "runflow_to_object_storage": "Common IO",
}


def get_provider_info() -> dict[str, Any]:
    """Describe the package; called through the entry point ``apache_airflow_provider``."""
    package = "airflow_provider_runflow"
    name = "Runflow"
    return {
        "package-name": "airflow-provider-runflow",
        "name": name,
        "description": "Generate pictures with Runflow's image models: each paid once, landed in object storage.",
        "integrations": [
            {"integration-name": name, "external-doc-url": "https://docs.runflow.io", "tags": ["service"]}
        ],
        "hooks": [{"integration-name": name, "python-modules": [f"{package}.hooks.runflow"]}],
        "operators": [
            {
                "integration-name": name,
                "python-modules": [
                    f"{package}.operators.{module}" for module in ("gpt_image_2", "gpt_image_1_5", "flux", "runflow")
                ],
            }
        ],
        "sensors": [{"integration-name": name, "python-modules": [f"{package}.sensors.run_completion"]}],
        "transfers": [
            {
                "source-integration-name": name,
                "target-integration-name": target,
                "how-to-guide": "/docs/transfers.md",
                "python-module": f"{package}.transfers.{module}",
            }
            for module, target in TRANSFERS.items()
        ],
        "triggers": [{"integration-name": name, "python-modules": [f"{package}.triggers.run_completion"]}],
        "connection-types": [
            {
                "connection-type": "runflow",
                "hook-class-name": f"{package}.hooks.runflow.RunflowHook",
                "hook-name": name,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
        "task-decorators": [
            {"class-name": f"{package}.decorators.runflow_image.runflow_image_task", "name": "runflow_image"}
        ],
        "plugins": [{"name": "runflow_pictures", "plugin-class": f"{package}.plugins.pictures.RunflowPicturesPlugin"}],
        "extra-links": [f"{package}.links.RunflowRunLink"],
        "config": CONFIG,
    }
