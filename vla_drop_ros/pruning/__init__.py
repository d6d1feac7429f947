# SPDX-License-Identifier: Apache-2.0
"""Make a checkpoint smaller without copying a modelling file: edit the live model, save it."""
