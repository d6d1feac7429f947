# SPDX-License-Identifier: Apache-2.0
"""What `vla_drop top` shows: the diagnostics of all robots, collected and drawn without ROS."""
