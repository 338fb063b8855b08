# SPDX-License-Identifier: Apache-2.0
"""Landing: download, verify and store the pictures of a paid run, each with a sidecar of its origin."""
