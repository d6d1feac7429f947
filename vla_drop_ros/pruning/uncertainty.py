# SPDX-License-Identifier: Apache-2.0
"""How sure a ranking is: intervals, stability of the order, agreement with an oracle."""

from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau, spearmanr

from vla_drop_ros.types import FloatArray

REPLICATES = 400
LEVEL = 0.95


class Agreement(NamedTuple):
    """A rank correlation and its bootstrap interval; NaN where there is none."""

    value: float
    low: float
    high: float


def resample(samples: FloatArray, seed: int, replicates: int = REPLICATES) -> FloatArray:
    """Return means over resampled rows, shape (replicates, L), of samples (S, L)."""
    rng = np.random.default_rng([seed, 4])
    rows = rng.integers(0, len(samples), (replicates, len(samples)))
    weights = np.apply_along_axis(np.bincount, 1, rows, minlength=len(samples)) / len(samples)
    kept: FloatArray = weights @ np.where(np.isnan(samples), 0.0, samples)
    share = weights @ (~np.isnan(samples)).astype(float)
    return np.where(share > 0, kept / np.where(share > 0, share, 1.0), np.nan)


def interval(replicates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the percentile interval of each column."""
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(replicates, [tail, 100 - tail], axis=0)
    return low, high


def stability(values: FloatArray, replicates: FloatArray) -> float:
    """Return the mean Kendall tau between an order and the orders of its replicates."""
    usable = np.isfinite(values) & np.isfinite(replicates).all(0)
    if usable.sum() < 2:
        return float('nan')
    taus = [kendalltau(values[usable], row[usable]).statistic for row in replicates]
    finite = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(finite)) if finite else float('nan')


def agreement(importance: FloatArray, oracle: FloatArray, oracle_replicates: FloatArray,
              ) -> Agreement:
    """Return Spearman's correlation with the oracle; the interval is over its resamples.

    Args:
        importance: of the criterion, shape (L,), a high one means keep.
        oracle: the same of the oracle.
        oracle_replicates: resampled, shape (replicates, L).

    """
    usable = np.isfinite(importance) & np.isfinite(oracle)
    if usable.sum() < 3 or np.ptp(importance[usable]) == 0 or np.ptp(oracle[usable]) == 0:
        return Agreement(float('nan'), float('nan'), float('nan'))
    value = float(spearmanr(importance[usable], oracle[usable]).statistic)
    spread = [float(spearmanr(importance[usable], row[usable]).statistic)
              for row in oracle_replicates if np.ptp(row[usable]) > 0]
    low, high = np.percentile(spread, [2.5, 97.5]) if spread else (float('nan'), float('nan'))
    return Agreement(value, float(low), float(high))
