# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: they declare parameters, translate messages and call the ROS-free core."""
