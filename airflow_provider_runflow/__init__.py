# SPDX-License-Identifier: Apache-2.0
"""Apache Airflow provider for Runflow's image models."""

__version__ = "0.1.0"
