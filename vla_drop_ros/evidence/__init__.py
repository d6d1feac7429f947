# SPDX-License-Identifier: Apache-2.0
"""The claims of the papers, tried on the reference policy: what is run, and what is written."""
