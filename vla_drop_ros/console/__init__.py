# SPDX-License-Identifier: Apache-2.0
"""The operator's web console: a page on a phone, and a server that trusts nobody."""
