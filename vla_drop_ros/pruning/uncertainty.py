# SPDX-License-Identifier: Apache-2.0
"""How sure a ranking is: intervals, stability of the order, agreement with an oracle."""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

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
    """Return the mean Kendall tau-b between an order and the orders of its replicates."""
    usable = np.isfinite(values) & np.isfinite(replicates).all(0)
    if usable.sum() < 2:
        return float('nan')
    taus = kendall(values[usable], replicates[:, usable])
    return float(np.nanmean(taus)) if np.isfinite(taus).any() else float('nan')


def kendall(values: FloatArray, rows: FloatArray) -> FloatArray:
    """Return Kendall's tau-b of a vector (L,) with each of the rows (R, L); NaN for a constant."""
    first, second = np.triu_indices(len(values), 1)
    own = np.sign(values[first] - values[second])
    others = np.sign(rows[:, first] - rows[:, second])
    scale = np.sqrt((own ** 2).sum() * (others ** 2).sum(1))
    return np.where(scale > 0, others @ own / np.where(scale > 0, scale, 1.0), np.nan)


def spearman(values: FloatArray, rows: FloatArray) -> FloatArray:
    """Return Spearman's correlation of a vector (L,) with each of the rows (R, L)."""
    own = rankdata(values) - (len(values) + 1) / 2
    others = rankdata(rows, axis=1) - (len(values) + 1) / 2
    scale = np.sqrt((own ** 2).sum() * (others ** 2).sum(1))
    return np.where(scale > 0, others @ own / np.where(scale > 0, scale, 1.0), np.nan)


def agreement(importance: FloatArray, oracle: FloatArray, oracle_replicates: FloatArray,
              ) -> Agreement:
    """Return Spearman's correlation with the oracle; the interval is over its resamples.

    Args:
        importance: of the criterion, shape (L,), a high one means keep.
        oracle: the same of the oracle.
        oracle_replicates: resampled, shape (replicates, L).

    """
    usable = np.isfinite(importance) & np.isfinite(oracle)
    if usable.sum() < 3:
        return Agreement(float('nan'), float('nan'), float('nan'))
    value = spearman(importance[usable], oracle[usable][None])[0]
    spread = spearman(importance[usable], oracle_replicates[:, usable])
    if not np.isfinite(value) or not np.isfinite(spread).any():
        return Agreement(float(value), float('nan'), float('nan'))
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Agreement(float(value), float(low), float(high))
