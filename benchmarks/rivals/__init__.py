# SPDX-License-Identifier: Apache-2.0
"""Other ways to buy a picture from a DAG, on the same trials as this package."""
