# SPDX-License-Identifier: Apache-2.0
"""Prune a vision-language-action model, run it on a robot safely, prove that it is no worse."""

__version__ = '0.6.0'
