# SPDX-License-Identifier: Apache-2.0
"""Outcomes become pairs and rounds, whatever the order of the lines."""

import random

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.pairs import (
    common_rounds,
    Outcome,
    Pair,
    pairs_of,
    path_of,
    rounds_of,
)


def outcome(place: tuple[int, str, str], success: bool | None, attempt: int = 0) -> Outcome:
    """Return an outcome at a place."""
    return Outcome(*place, success, attempt=attempt, index=attempt)


def test_a_repeated_attempt_replaces_an_invalid_one() -> None:
    """The last valid attempt counts, the invalid one does not."""
    outcomes = [outcome((0, 'a', 'new'), None), outcome((0, 'a', 'new'), True, 1),
                outcome((0, 'a', 'old'), False)]
    assert pairs_of(outcomes, 'old', 'new') == (Pair(0, 'a', True, False),)
    assert pairs_of(outcomes[:1] + outcomes[2:], 'old', 'new') == ()


def test_order_and_merging_do_not_matter() -> None:
    """Shuffled lines, and the same lines twice, give the same counts."""
    rng = random.Random(1)
    pairs = [Pair(k // 3, 'abc'[k % 3], rng.random() < 0.7, rng.random() < 0.5)
             for k in range(30)]
    expected = path_of(rounds_of(pairs, 3))
    merged = pairs + pairs[10:]
    rng.shuffle(merged)
    assert path_of(rounds_of(merged, 3)) == expected
    assert expected[-1][2] == 30


def test_only_complete_rounds_from_the_first_on() -> None:
    """A round that lacks a condition ends what is looked at."""
    pairs = [Pair(number, condition, True, False) for number in range(4) for condition in 'ab']
    del pairs[5]
    assert path_of(rounds_of(pairs, 2)) == ((2, 0, 2), (4, 0, 4))


def test_contradicting_logs_are_refused() -> None:
    """The same pair with two outcomes cannot be merged."""
    with pytest.raises(TrialError, match='two outcomes'):
        rounds_of([Pair(0, 'a', True, False), Pair(0, 'a', False, False)], 1)


def test_a_round_too_full_is_refused() -> None:
    """More conditions in a round than the design has cannot be of this study."""
    with pytest.raises(TrialError, match='has 2 conditions, not 1'):
        rounds_of([Pair(0, 'a', True, False), Pair(0, 'b', False, False)], 1)


def test_common_rounds_are_complete_with_every_candidate() -> None:
    """The candidate that is behind decides; without candidates there is no round."""
    pairs = [Pair(number, condition, True, True) for number in range(3) for condition in 'ab']
    assert common_rounds({'third': pairs, 'half': pairs[:-1]}, 2) == 2
    assert common_rounds({'third': pairs, 'half': pairs[1:]}, 2) == 0
    assert common_rounds({}, 2) == 0
