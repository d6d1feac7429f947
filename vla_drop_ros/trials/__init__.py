# SPDX-License-Identifier: Apache-2.0
"""Compare checkpoints on a robot: session, log, statistics, report (no ROS, no torch)."""
