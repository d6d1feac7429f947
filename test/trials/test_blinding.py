# SPDX-License-Identifier: Apache-2.0
"""Bang's index tells guessing from knowing."""

import math

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.blinding import blinding_index, UNKNOWN

ARMS = ('full', 'half')


def test_index_of_a_worked_table() -> None:
    """41 right, 14 wrong, 27 unsure of 82: index 27/82, variance by the trinomial formula."""
    guesses = ([('full', 'full')] * 41 + [('full', 'half')] * 14 + [('full', UNKNOWN)] * 27)
    found = blinding_index(guesses, ARMS)[0]
    right, wrong = 41 / 82, 14 / 82
    variance = (right * (1 - right) + wrong * (1 - wrong) + 2 * right * wrong) / 82
    assert (found.right, found.wrong, found.unknown) == (41, 14, 27)
    assert found.index.estimate == pytest.approx(27 / 82)
    assert found.index.high - found.index.estimate == pytest.approx(1.96 * math.sqrt(variance),
                                                                    rel=1e-3)


def test_knowing_guessing_and_believing_the_opposite() -> None:
    """One, about zero, and minus one; an arm by itself."""
    knowing = [('full', 'full')] * 10 + [('half', 'full')] * 10
    full, half = blinding_index(knowing, ARMS)
    assert (full.index.estimate, half.index.estimate) == (1.0, -1.0)
    coin = blinding_index([('full', arm) for arm in ARMS] * 20, ARMS)[0]
    assert coin.index.low < coin.index.estimate == 0.0 < coin.index.high


def test_an_arm_without_guesses_is_unknown() -> None:
    """Nobody was asked: no index, and the whole range."""
    found = blinding_index([('full', UNKNOWN)], ARMS)
    assert found[0].index.estimate == 0.0
    assert math.isnan(found[1].index.estimate)
    assert (found[1].index.low, found[1].index.high) == (-1.0, 1.0)


def test_unknown_arms_are_named() -> None:
    """A guess of an arm that is none is refused with the valid ones."""
    with pytest.raises(TrialError, match='full, half'):
        blinding_index([('full', 'hafl')], ARMS)


def test_a_few_right_answers_are_luck() -> None:
    """Five of five may be a coin, six of six are not; unsure answers say nothing."""
    for right, wrong, told in ((2, 0, False), (5, 0, False), (6, 0, True), (0, 6, True),
                               (20, 15, False), (41, 14, True)):
        guesses = [('full', 'full')] * right + [('full', 'half')] * wrong
        assert blinding_index([*guesses, ('full', UNKNOWN)], ARMS)[0].beyond_luck == told
    assert not blinding_index([('full', UNKNOWN)], ARMS)[1].beyond_luck
