# SPDX-License-Identifier: Apache-2.0
"""Seeded trials of the real operators: crashes, lost replies and clears at every point, and what was billed for it."""
