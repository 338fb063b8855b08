# SPDX-License-Identifier: Apache-2.0
"""The paid-run engine: who asks for what, what is on record, and what to do next. It does not know Airflow."""
