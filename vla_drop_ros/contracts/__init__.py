# SPDX-License-Identifier: Apache-2.0
"""How a robot contract is written: its keys, its YAML, its rules, and its words."""
