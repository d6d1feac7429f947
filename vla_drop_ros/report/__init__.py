# SPDX-License-Identifier: Apache-2.0
"""The report of a blinded study: what its logs show, in numbers, words and pictures."""
