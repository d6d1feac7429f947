# SPDX-License-Identifier: Apache-2.0
"""Compare checkpoints on a robot: schedule, session, log, statistics and report; no ROS, no torch."""
