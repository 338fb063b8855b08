# SPDX-License-Identifier: Apache-2.0
"""Measured comparisons with what people would use instead."""
