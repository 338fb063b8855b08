# SPDX-License-Identifier: Apache-2.0
"""The light table: what a DAG run made, inside the Airflow UI."""
