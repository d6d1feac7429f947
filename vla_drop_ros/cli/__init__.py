# SPDX-License-Identifier: Apache-2.0
"""The command line ``vla_drop``: one verb a file, listed in ``main``."""
