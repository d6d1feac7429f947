# SPDX-License-Identifier: Apache-2.0
"""What runs beside the robot: schedules, limits, watchdogs. Numpy only; time is an argument."""
