# SPDX-License-Identifier: Apache-2.0
"""Train a pruned checkpoint until it acts again."""
