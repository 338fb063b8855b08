# SPDX-License-Identifier: Apache-2.0
"""Sphinx: `make docs`, which installs Sphinx the first time. The build itself reads nothing from the network."""

from __future__ import annotations

from airflow_provider_runflow import __version__

project = "airflow-provider-runflow"
author = "The airflow-provider-runflow authors"
copyright = "2026, the airflow-provider-runflow authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = f"airflow-provider-runflow {version}"
html_copy_source = False

# `#a-heading` in a link is checked as a page is.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "template_fields"}
autodoc_class_signature = "mixed"
nitpicky = False
