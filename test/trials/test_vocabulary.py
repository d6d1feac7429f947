# SPDX-License-Identifier: Apache-2.0
"""Words that were used come first, and nothing else about trials is in their order."""

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.vocabulary import LONGEST, notes_by_use, reasons_by_use

REASONS = ('wrong_object', 'missed_grasp', 'dropped')


def attempt(verdict: str, reason: str = '', note: str = '', token: str = 'x') -> Attempt:
    """Return a judged attempt."""
    return Attempt('1', 0, 0, 'a', token, verdict=verdict, reason=reason, note=note)


def test_reasons_by_use() -> None:
    """Most used first, the design's order between equals; a reason to leave out does not count."""
    assert reasons_by_use([], REASONS) == list(REASONS)
    used = [attempt('failure', 'dropped'), attempt('failure', 'missed_grasp'),
            attempt('failure', 'dropped', token='y'), *[attempt('invalid', 'wrong_object')] * 3]
    assert reasons_by_use(used, REASONS) == ['dropped', 'missed_grasp', 'wrong_object']


def test_notes_by_use() -> None:
    """Spaces do not matter; long ones are left out; at most six, of equal ones the latest."""
    said = [attempt('success', note=note) for note in (
        'slow', 'the bin moved', ' the bin\n moved', 'x' * (LONGEST + 1), '', 'late')]
    assert notes_by_use(said) == ['the bin moved', 'late', 'slow']
    many = [attempt('failure', note=str(number)) for number in range(20)]
    assert notes_by_use(many) == ['19', '18', '17', '16', '15', '14']
