# SPDX-License-Identifier: Apache-2.0
"""The Runflow HTTP API: wire models, retry policy, a sync client and a small async client."""
