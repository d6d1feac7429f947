# SPDX-License-Identifier: Apache-2.0
"""Closed-loop episodes by the thousand: in this process, in several, or on a cluster."""
