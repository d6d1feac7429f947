# SPDX-License-Identifier: Apache-2.0
"""A simulated pick-and-place cell: contact physics, cameras, tasks, an expert; no ROS, no torch.

Frames follow REP 103: ``base_link`` at the foot of the arm, x forward over the table, y left,
z up; the table top is the plane z = 0. Units are SI.
"""
