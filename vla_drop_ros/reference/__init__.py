# SPDX-License-Identifier: Apache-2.0
"""Train the reference VLA of this repository from nothing: frames, pretraining, adaptation."""
