# SPDX-License-Identifier: Apache-2.0
"""Start policy and command gate, and the simulated arm unless a real robot is there."""

from launch import LaunchDescription

from vla_drop_ros.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    """Return the graph that `vla_drop up pick_place` starts, with the same arguments."""
    return describe('pick_place')
