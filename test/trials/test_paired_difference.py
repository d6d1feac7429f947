# SPDX-License-Identifier: Apache-2.0
"""Sign flips and bets on differences that are no mere success."""

import numpy as np
import pytest
from scipy.stats import permutation_test

from vla_drop_ros.trials.betting import log_e
from vla_drop_ros.trials.paired_difference import (
    mean_difference,
    progress_differences,
    sign_flip,
)
from vla_drop_ros.trials.pairs import final, Outcome


def by_scipy(differences: np.ndarray) -> float:
    """Return scipy's p value of the same test."""
    found = permutation_test((differences,), np.mean, permutation_type='samples',
                             n_resamples=100_000, alternative='greater', vectorized=True)
    return float(found.pvalue)


@pytest.mark.parametrize('seed', range(3))
def test_few_pairs_are_exact(seed: int) -> None:
    """Up to 13 pairs every flip is tried, as scipy does; zeros and ties included."""
    differences = np.random.default_rng(seed).choice([-0.5, 0.0, 0.25, 0.5], 11)
    assert sign_flip(differences) == pytest.approx(by_scipy(differences))


def test_many_pairs_are_sampled() -> None:
    """With 40 pairs random flips come close, repeat with the seed, and are never zero."""
    differences = np.random.default_rng(0).normal(0.08, 0.3, 40).clip(-1, 1)
    found = sign_flip(differences, seed=4)
    assert found == sign_flip(differences, seed=4)
    assert found == pytest.approx(by_scipy(differences), abs=0.012)
    assert sign_flip(np.ones(40)) == pytest.approx(1e-4)


def test_margin_shifts_the_null() -> None:
    """A loss within the margin is shown to be within it."""
    differences = np.array([-0.05, 0.0, 0.05, -0.1, 0.0, 0.05, -0.05, 0.0, 0.05, 0.0])
    assert sign_flip(differences, 0.2) < 0.01 < sign_flip(differences)


def test_no_difference_at_all() -> None:
    """Zeros, or no pairs, speak for nothing."""
    assert sign_flip([0.0] * 20) == sign_flip([]) == 1.0
    nothing = mean_difference([])
    assert np.isnan(nothing.mean)
    assert nothing.log_e == 0.0


def test_bet_is_that_of_the_counts() -> None:
    """On -1, 0, 1 the e-value is the one of success."""
    found = mean_difference([1] * 9 + [-1] * 4 + [0] * 27, 0.1)
    assert found.log_e == pytest.approx(float(log_e(9, 4, 40, 0.1)))
    assert found.mean == pytest.approx(5 / 40)
    assert found.anytime.low < found.mean < found.anytime.high


def test_partial_credit_sees_more_than_success() -> None:
    """Success equal, progress higher in every pair: both tests see it."""
    found = mean_difference([0.15, 0.25] * 20)
    assert found.p_value < 0.001
    assert found.log_e > np.log(20)


def test_type_one_error_of_the_bet_on_progress() -> None:
    """Of studies without a difference, peeked at after every pair, 5 % at most win the bet."""
    rng, won, studies = np.random.default_rng(8), 0, 300
    for _ in range(studies):
        differences = rng.choice([-1, -0.5, 0, 0.5, 1], 40)
        won += any(mean_difference_log(differences[:n]) >= np.log(20) for n in range(4, 41, 4))
    assert won <= 27  # 5 % plus three standard errors


def mean_difference_log(differences: np.ndarray) -> float:
    """Return the logarithm of the e-value alone."""
    from vla_drop_ros.trials.betting import log_e_of_differences
    return log_e_of_differences(differences)


def test_progress_needs_both_arms() -> None:
    """Pairs in which one arm has no rubric are left out."""
    outcomes = [Outcome(0, 'a', 'new', True, progress=1.0),
                Outcome(0, 'a', 'old', False, progress=0.5),
                Outcome(1, 'a', 'new', True, progress=1.0), Outcome(1, 'a', 'old', True),
                Outcome(2, 'a', 'new', False, progress=0.25)]
    assert list(progress_differences(final(outcomes), 'old', 'new')) == [0.5]
