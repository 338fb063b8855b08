# SPDX-License-Identifier: Apache-2.0
"""What waiting costs: API calls, CPU, memory, and how late the event is."""
