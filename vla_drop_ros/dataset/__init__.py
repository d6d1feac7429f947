# SPDX-License-Identifier: Apache-2.0
"""Demonstrations as LeRobotDataset v3 folders: the public format, read and written here."""
