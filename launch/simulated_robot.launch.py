# SPDX-License-Identifier: Apache-2.0
"""Start the simulated arm alone, behind the topics of a real robot."""

from launch import LaunchDescription

from vla_drop_ros.launch_description import describe


def generate_launch_description() -> LaunchDescription:
    """Return the graph that `vla_drop up simulated_robot` starts, with the same arguments."""
    return describe('simulated_robot')
