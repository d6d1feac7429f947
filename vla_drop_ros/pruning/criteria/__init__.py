# SPDX-License-Identifier: Apache-2.0
"""One file a criterion: formula, source, and whether a high score means keep or drop."""
