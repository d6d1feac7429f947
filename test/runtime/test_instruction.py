# SPDX-License-Identifier: Apache-2.0
"""Any line of text is an instruction; what a tokenizer should never see is named."""

import pytest

from vla_drop_ros.runtime.instruction import instruction_fault, MAX_LENGTH


@pytest.mark.parametrize('text', [
    '', 'put the red cube in the left bin', 'lege den Würfel in die Kiste', '赤い箱を左へ',
    'ضع المكعب', 'grab the 🍎', 'a' * MAX_LENGTH])
def test_text_in_any_script_is_taken(text: str) -> None:
    """Nothing is wrong with letters of other alphabets, or with the longest allowed."""
    assert not instruction_fault(text)


@pytest.mark.parametrize('text', ['go\n', 'a\tb', 'bell\x07', 'nul\x00', '\x1b[31mred', 'c1\x85'])
def test_control_characters_are_named(text: str) -> None:
    """The character is shown as people write it."""
    control = next(sign for sign in text if not sign.isprintable())
    assert repr(control) in instruction_fault(text)


def test_too_long_is_named() -> None:
    """Length and limit are in the sentence."""
    fault = instruction_fault('a' * (MAX_LENGTH + 1))
    assert str(MAX_LENGTH) in fault and str(MAX_LENGTH + 1) in fault
