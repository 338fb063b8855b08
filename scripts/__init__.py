# SPDX-License-Identifier: Apache-2.0
"""Tools of this repository: set-up, the local Airflow stack, the demo, the import benchmark.

Not part of the package; run them from the repository's root (`python -m scripts.demo`).
"""
