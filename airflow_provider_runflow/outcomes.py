# SPDX-License-Identifier: Apache-2.0
"""How a request can end: one closed list for errors, manifests, metrics and retry policies."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """
    How a request ended.

    ``succeeded``: all pictures are there, as asked for. ``partial``: fewer pictures, or derivatives of them, than asked
    for, or pictures of other pixels. ``blocked``: content moderation refused it, or flagged all that came of it.
    ``invalid``: a parameter breaks a rule. ``throttled``: too many requests. ``unavailable``: no usable answer.
    ``insufficient_credit``: the balance, or ``max_cost_usd``, does not cover it. ``failed``: anything else; the error's
    ``code`` is Runflow's own. ``cancelled``: somebody cancelled the run. ``timed_out``: it outlived the wait.
    ``unknown``: it may have been bought.
    """

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    BLOCKED = "blocked"
    INVALID = "invalid"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
