# SPDX-License-Identifier: Apache-2.0
"""`make bench-campaign`: a campaign in one batch task, against a mapped task for each picture."""
