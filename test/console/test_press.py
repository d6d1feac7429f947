# SPDX-License-Identifier: Apache-2.0
"""A body is a press of a button exactly as the page sends it, or it is refused."""

import json
from typing import Any

import pytest

from vla_drop_ros.console.press import BadPressError, BODY_LIMIT, parse_press, PRESSES
from vla_drop_ros.trials.conductor import Verb

NOTE = 'a\nb \U0001f916'
GOOD = {'verb': 'partial', 'code': '17', 'who': 'ada', 'stage': 'reached', 'note': NOTE}


def body(**changes: Any) -> bytes:
    """Return a good body with some fields changed."""
    return json.dumps({**GOOD, **changes}).encode()


def test_a_press_becomes_a_verb() -> None:
    """Every field arrives as it was sent, from the web."""
    answers = {'reached': True, 'grasped': False}
    assert parse_press(body(confidence='unsure', answers=answers)) == Verb(
        'partial', 'web', who='ada', code='17', stage='reached', note=NOTE, confidence='unsure',
        answers=answers)
    assert parse_press(body()) == Verb('partial', 'web', who='ada', code='17', stage='reached',
                                       note=NOTE)


@pytest.mark.parametrize('verb', PRESSES)
def test_every_button_of_the_page_is_known(verb: str) -> None:
    """What the page can press is accepted."""
    assert parse_press(body(verb=verb)).name == verb


@pytest.mark.parametrize('bad, why', [
    (b'', 'no JSON'),
    (b'\xff\xfe', 'no JSON'),
    (b'[' * 4000, 'no JSON'),
    (b'["start"]', 'expected an object'),
    (b'{"verb": "start", "verb": "stop", "code": "1"}', 'twice'),
    (b'{"verb": "start", "code": NaN}', 'NaN'),
    (b' ' * (BODY_LIMIT + 1), 'at most'),
    (body(verb='detect'), 'unknown verb'),
    (body(verb=['start']), 'unknown verb'),
    (body(verb=None), 'unknown verb'),
    (body(code=''), 'code'),
    (body(code=17), 'code: must be text'),
    (body(code='1' * 21), 'at most 20'),
    (body(who='a\nb'), 'control'),
    (body(note='\x00'), 'control'),
    (b'{"verb": "start", "code": "1", "note": "\\ud800"}', 'control'),
    (body(note='x' * 1001), 'at most 1000'),
    (body(value=1), 'value'),
    (body(confidence='maybe'), 'unknown confidence'),
    (body(confidence=['sure']), 'unknown confidence'),
    (body(answers=['reached']), 'answers'),
    (body(answers={'reached': 1}), 'true or false'),
    (body(answers={'a\nb': True}), 'control'),
    (body(answers={'x' * 61: True}), 'at most 60'),
    (body(answers={str(number): True for number in range(31)}), 'at most 30'),
    (body(source='simulator'), 'unknown field'),
    (body(**{'\ud800': ''}), 'unknown field'),
])
def test_anything_else_is_refused(bad: bytes, why: str) -> None:
    """Wrong types, unknown fields, and what no file can hold are named in the error."""
    with pytest.raises(BadPressError, match=why) as caught:
        parse_press(bad)
    assert str(caught.value).encode()  # whatever was sent, the answer can be
