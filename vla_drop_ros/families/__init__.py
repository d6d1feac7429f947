# SPDX-License-Identifier: Apache-2.0
"""What a model family is: its classes, where its blocks sit, its loss; one file a family."""
