# SPDX-License-Identifier: Apache-2.0
"""Run a blinded study of checkpoints on a robot, real or simulated, with its web console."""

from launch import LaunchDescription

from vla_drop_ros.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    """Return the graph that `vla_drop up ab_trial` starts, with the same arguments."""
    return describe('ab_trial')
