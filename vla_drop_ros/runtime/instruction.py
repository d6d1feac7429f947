# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a policy: one line of text in any script."""

import unicodedata

MAX_LENGTH = 4096
"""Longest instruction, [characters]; tokenizers take what they get, and so would the model."""


def instruction_fault(text: str) -> str:
    """Return why a text is no instruction, with the fix, or ''."""
    if len(text) > MAX_LENGTH:
        return (f'the instruction has {len(text)} characters, at most {MAX_LENGTH} are taken: '
                'publish a shorter one')
    control = next((sign for sign in text if unicodedata.category(sign) == 'Cc'), None)
    if control is not None:
        return (f'the instruction holds the control character {control!r}: publish one line of '
                'plain text')
    return ''
