# SPDX-License-Identifier: Apache-2.0
"""Left-out trials are counted by arm, and turned against the candidate."""

import pytest
from scipy.stats import fisher_exact

from vla_drop_ros.trials.invalid_trials import audit, first_attempts, worst_case
from vla_drop_ros.trials.pairs import Outcome, Pair


def attempts(arm: str, results: dict[int, list[bool | None]]) -> list[Outcome]:
    """Return the attempts of one arm: round -> results in order."""
    return [Outcome(round_, 'a', arm, success, attempt=number, index=10 * round_ + number)
            for round_, found in results.items() for number, success in enumerate(found)]


OUTCOMES = [*attempts('new', {0: [None, True], 1: [True], 2: [None, None, False]}),
            *attempts('old', {0: [True], 1: [None, False], 2: [False]})]


def test_audit_counts_attempts_by_arm() -> None:
    """Three of six attempts of one arm, one of four of the other, and Fisher's p of it."""
    found = audit(OUTCOMES, 'old', 'new')
    assert (found.baseline, found.candidate) == ((1, 4), (3, 6))
    assert found.p_value == pytest.approx(fisher_exact([[1, 3], [3, 3]])[1])
    assert found.to_dict()['candidate'] == [3, 6]


def test_differential_invalids_are_significant() -> None:
    """An operator who drops a third of one arm only is found."""
    outcomes = [Outcome(k, 'a', arm, None if arm == 'new' and k % 3 == 0 else True)
                for k in range(30) for arm in ('new', 'old')]
    assert audit(outcomes, 'old', 'new').p_value < 0.01


def test_worst_case_ignores_the_repetition() -> None:
    """Where the candidate was left out it failed, where the baseline was it succeeded."""
    assert worst_case(OUTCOMES, 'old', 'new') == (
        Pair(0, 'a', False, True), Pair(1, 'a', True, True), Pair(2, 'a', False, False))


def test_first_attempts_drop_repeated_pairs() -> None:
    """A pair in which anything was repeated is not there."""
    assert first_attempts(OUTCOMES, 'old', 'new') == ()
    clean = [*attempts('new', {7: [True]}), *attempts('old', {7: [False]})]
    assert first_attempts(OUTCOMES + clean, 'old', 'new') == (Pair(7, 'a', True, False),)
