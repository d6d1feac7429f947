# SPDX-License-Identifier: Apache-2.0
"""Intervals cover, order is stable where scores differ, and agreement is what it says."""

import numpy as np
from scipy.stats import kendalltau, spearmanr

from vla_drop_ros.pruning.uncertainty import (
    agreement,
    interval,
    kendall,
    resample,
    spearman,
    stability,
)


def test_intervals_cover_the_mean() -> None:
    """About 95 of 100 intervals hold the true mean."""
    rng, covered = np.random.default_rng(0), 0
    for trial in range(100):
        low, high = interval(resample(rng.normal(2.0, 1.0, (60, 1)), trial))
        covered += bool(low[0] <= 2.0 <= high[0])
    assert 87 <= covered <= 100


def test_resampling_keeps_columns_together_and_repeats() -> None:
    """A resample takes whole samples, the same ones for the same seed."""
    samples = np.random.default_rng(1).normal(size=(20, 1)) * np.array([[1.0, 2.0]])
    found = resample(samples, 5)
    assert np.allclose(found[:, 1], 2 * found[:, 0])
    assert np.array_equal(found, resample(samples, 5))
    assert not np.array_equal(found, resample(samples, 6))


def test_unscored_blocks_stay_unscored() -> None:
    """A column of NaN stays NaN and does not disturb the others."""
    samples = np.column_stack([np.arange(10.0), np.full(10, np.nan)])
    found = resample(samples, 0)
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()


def test_clear_orders_are_stable_and_ties_are_not() -> None:
    """Scores far apart keep their order in every resample; equal ones do not."""
    rng = np.random.default_rng(2)
    clear = rng.normal(size=(50, 4)) * 0.1 + np.array([0.0, 1.0, 2.0, 3.0])
    unclear = rng.normal(size=(50, 4))
    assert stability(clear.mean(0), resample(clear, 0)) > 0.999
    assert stability(unclear.mean(0), resample(unclear, 0)) < 0.9


def test_correlations_are_those_of_scipy() -> None:
    """Ties included."""
    rng = np.random.default_rng(3)
    values, rows = rng.integers(0, 5, 9).astype(float), rng.integers(0, 4, (20, 9)).astype(float)
    assert np.allclose(kendall(values, rows),
                       [kendalltau(values, row).statistic for row in rows])
    assert np.allclose(spearman(values, rows),
                       [spearmanr(values, row).statistic for row in rows])
    assert np.isnan(kendall(np.ones(3), np.eye(3))).all()


def test_agreement_is_a_rank_correlation() -> None:
    """The same order is +1, the reverse is -1; a constant agrees with nothing."""
    oracle = np.array([1.0, 2.0, 3.0, 4.0])
    replicates = np.tile(oracle, (10, 1))
    assert agreement(np.array([1.0, 10.0, 11.0, 90.0]), oracle, replicates) == (1.0, 1.0, 1.0)
    assert agreement(-oracle, oracle, replicates).value == -1.0
    assert np.isnan(agreement(np.ones(4), oracle, replicates).value)
    assert np.isnan(agreement(np.array([np.nan, np.nan, 1.0, 2.0]), oracle, replicates).value)
