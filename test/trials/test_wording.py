# SPDX-License-Identifier: Apache-2.0
"""Sentences say the numbers, in plain words, for every verdict."""

from dataclasses import replace

import pytest

from vla_drop_ros.trials.evidence import Terms
from vla_drop_ros.trials.pairs import Pair
from vla_drop_ros.trials.verdict import judge, Verdict, Word
from vla_drop_ros.trials.wording import (
    could_not_have_seen,
    MEANING,
    points,
    sentence,
    still_needed,
)


@pytest.fixture(name='verdict', scope='module')
def _verdict() -> Verdict:
    pairs = [Pair(place, 'a', place % 5 > 0, place % 4 > 0) for place in range(40)]
    return judge(pairs, Terms(0.15, 0.05, 'fixed', 40))


@pytest.mark.parametrize('word', list(Word))
def test_every_word_has_a_sentence(verdict: Verdict, word: Word) -> None:
    """The verdict is named first, the numbers last, and nothing is left to fill in."""
    text = sentence(replace(verdict, word=word), 'full', 'half')
    assert text.startswith(f'{word.value}. ')
    assert '{' not in text
    assert 'Over 40 pairs it solved 32, full 30: +5 points' in text
    assert set(MEANING) == set(Word)


def test_blind_spots_are_named(verdict: Verdict) -> None:
    """Both edges are told in points, the sign in words."""
    assert verdict.blindness is not None
    text = could_not_have_seen(verdict)
    assert points(verdict.blindness.sees_loss_from) in text
    assert 'truly better by' in text
    lucky = replace(verdict, blindness=replace(verdict.blindness, shows_no_worse_from=-0.05))
    assert 'truly loses 5 points or less' in could_not_have_seen(lucky)


def test_what_is_needed_is_told_only_where_it_is_open(verdict: Verdict) -> None:
    """A verdict needs no more pairs; an open question names them, or says that none help."""
    open_ = replace(verdict, word=Word.INCONCLUSIVE)
    assert still_needed(replace(verdict, word=Word.BETTER)) == ''
    assert 'about 123 pairs' in still_needed(replace(open_, needed=123))
    assert 'no number of pairs' in still_needed(replace(open_, needed=0))


def test_points_are_short() -> None:
    """One decimal at most, a sign where asked for, a dash for nothing."""
    assert [points(0.15), points(-0.1234, True), points(0.05, True), points(float('nan'))] == [
        '15', '-12.3', '+5', '-']
