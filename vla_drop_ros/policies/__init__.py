# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as policies: observation in, action chunk out; one adapter a family."""
