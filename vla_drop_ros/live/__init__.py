# SPDX-License-Identifier: Apache-2.0
"""A running graph against a contract: what was heard, and what follows from it."""
